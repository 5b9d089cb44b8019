//! What a plugin may import: default deny, one interface at a time.
//!
//! The WASI interfaces here are those that every Rust `wasm32-wasip2` guest carries whether it
//! uses them or not; they are linked over an empty context (no files, environment or arguments,
//! standard input closed, standard output swallowed). No function that waits is among them: the
//! deadline does not reach into the host, so a plugin must not be able to sleep there. What
//! `wasi:io/poll` can wait for are the standard streams, which are always ready.

use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasData, HasSelf, Linker, ResourceTable};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings;
use wasmtime_wasi::random::{WasiRandom, WasiRandomView};

use super::bindings::millstream::operator::{clock, log};
use super::error::LoadError;
use super::host::Host;

/// Interfaces that are linked, without their versions (those are matched by the linker).
const OFFERED: &[&str] = &[
    "millstream:operator/types",
    "millstream:operator/log",
    "millstream:operator/clock",
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:io/poll",
    "wasi:io/error",
    "wasi:io/streams",
    "wasi:clocks/wall-clock",
    "wasi:clocks/monotonic-clock",
    "wasi:filesystem/types",
    "wasi:filesystem/preopens",
    "wasi:random/insecure-seed",
];

/// Functions of offered interfaces that make something to wait for.
const WAITING: &[&str] = &["subscribe-duration", "subscribe-instant"];

/// Interfaces of the contract that this host does not have yet, and the grant that each needs.
const BY_GRANT: &[(&str, &str)] =
    &[("millstream:operator/collections", "collections"), ("millstream:operator/inference", "inference")];

struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

/// The linker of all plugins.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    let l = &mut linker;
    log::add_to_linker::<Host, HasSelf<Host>>(l, |host| host)?;
    clock::add_to_linker::<Host, HasSelf<Host>>(l, |host| host)?;
    bindings::cli::environment::add_to_linker::<Host, WasiCli>(l, Host::cli)?;
    bindings::cli::exit::add_to_linker::<Host, WasiCli>(l, Host::cli)?;
    bindings::cli::stdin::add_to_linker::<Host, WasiCli>(l, Host::cli)?;
    bindings::cli::stdout::add_to_linker::<Host, WasiCli>(l, Host::cli)?;
    bindings::cli::stderr::add_to_linker::<Host, WasiCli>(l, Host::cli)?;
    bindings::cli::terminal_input::add_to_linker::<Host, WasiCli>(l, Host::cli)?;
    bindings::cli::terminal_output::add_to_linker::<Host, WasiCli>(l, Host::cli)?;
    bindings::cli::terminal_stdin::add_to_linker::<Host, WasiCli>(l, Host::cli)?;
    bindings::cli::terminal_stdout::add_to_linker::<Host, WasiCli>(l, Host::cli)?;
    bindings::cli::terminal_stderr::add_to_linker::<Host, WasiCli>(l, Host::cli)?;
    bindings::sync::io::poll::add_to_linker::<Host, Table>(l, |host| host.ctx().table)?;
    bindings::sync::io::error::add_to_linker::<Host, Table>(l, |host| host.ctx().table)?;
    bindings::sync::io::streams::add_to_linker::<Host, Table>(l, |host| host.ctx().table)?;
    bindings::clocks::wall_clock::add_to_linker::<Host, WasiClocks>(l, Host::clocks)?;
    bindings::clocks::monotonic_clock::add_to_linker::<Host, WasiClocks>(l, Host::clocks)?;
    bindings::sync::filesystem::types::add_to_linker::<Host, WasiFilesystem>(l, Host::filesystem)?;
    bindings::filesystem::preopens::add_to_linker::<Host, WasiFilesystem>(l, Host::filesystem)?;
    bindings::random::insecure_seed::add_to_linker::<Host, WasiRandom>(l, Host::random)?;
    Ok(linker)
}

/// Refuses a component that imports what is not offered, naming the first such interface, or else
/// the first function that waits.
pub(super) fn check_imports(engine: &Engine, component: &Component) -> Result<(), LoadError> {
    let shape = component.component_type();
    for (name, _) in shape.imports(engine) {
        let interface = name.split('@').next().unwrap_or(name);
        if !OFFERED.contains(&interface) {
            return Err(LoadError::Import { interface: name.to_owned(), why: why_not(interface) });
        }
    }
    for (name, import) in shape.imports(engine) {
        if let ComponentItem::ComponentInstance(instance) = import.ty
            && let Some((function, _)) = instance.exports(engine).find(|(function, _)| WAITING.contains(function))
        {
            let why = format!("its function `{function}` is not granted to plugins; a plugin does not wait");
            return Err(LoadError::Import { interface: name.to_owned(), why });
        }
    }
    Ok(())
}

fn why_not(interface: &str) -> String {
    if let Some((_, grant)) = BY_GRANT.iter().find(|(name, _)| *name == interface) {
        return format!(
            "this version of the host does not offer it yet (a grant would not help; once it does, the operator will need `grants = [\"{grant}\"]`)"
        );
    }
    let reason = match interface.split('/').next().unwrap_or(interface) {
        "wasi:sockets" | "wasi:http" => "a plugin has no network",
        "wasi:random" => "a plugin has no source of randomness, so that the same rows give the same output",
        _ => "the host does not know it",
    };
    format!("not granted to plugins; {reason}")
}
