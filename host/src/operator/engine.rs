//! The one wasmtime engine of the process: settings, the epoch ticker, compiling and its cache.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use wasmtime::component::{Component, Linker};
use wasmtime::{OptLevel, Strategy, WasmBacktraceDetails};

use super::compiled::Cache;
use super::error::LoadError;
use super::host::Host;
use super::linker::{check_imports, linker};
use super::plugin::{Plugin, Sha256Sum};
use super::{Config, Limits};

/// Time between two epochs: the precision of deadlines.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Compiles, links and describes plugins; cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    engine: wasmtime::Engine,
    linker: Linker<Host>,
    cache: Option<Cache>,
    /// Distinguishes code compiled under other settings.
    settings: u64,
    /// One compilation at a time, on one core: the others belong to the data path.
    compiling: Mutex<()>,
    max_component_bytes: u64,
    limits: Limits,
}

impl Engine {
    /// The engine, with its ticker running as long as anything of it lives.
    ///
    /// # Errors
    /// When wasmtime does not support this machine or the ticker cannot be started.
    pub fn new(config: &Config) -> Result<Self, String> {
        let engine = wasmtime::Engine::new(&settings()).map_err(|e| format!("WebAssembly engine: {e:#}"))?;
        tick(&engine).map_err(|e| format!("thread for plugin deadlines: {e}"))?;
        let cache = Cache::open(&config.cache)
            .inspect_err(|error| {
                tracing::warn!(folder = %config.cache.display(), %error, "no cache of compiled plugins; they are compiled at every start");
            })
            .ok();
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self(Arc::new(Inner {
            linker: linker(&engine).map_err(|e| format!("WebAssembly linker: {e:#}"))?,
            engine,
            cache,
            settings: hasher.finish(),
            compiling: Mutex::new(()),
            max_component_bytes: config.max_component_bytes,
            limits: config.limits.clone(),
        })))
    }

    /// Makes a plugin of the bytes of a component: checks them, compiles them or finds them
    /// compiled, links them and asks the plugin to describe itself, within the limits.
    ///
    /// # Errors
    /// When the bytes are not a plugin that this host can run; nothing else is changed by that.
    pub fn load(&self, bytes: &[u8]) -> Result<Arc<Plugin>, LoadError> {
        self.check_kind(bytes)?;
        let sum = Sha256Sum::of(bytes);
        let component = self.component(bytes, &sum)?;
        check_imports(&self.0.engine, &component)?;
        let pre = self.0.linker.instantiate_pre(&component).map_err(|e| LoadError::Contract(format!("{e:#}")))?;
        Plugin::describe(self, pre, sum).map(Arc::new)
    }

    /// Bounds of every instance.
    pub(super) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0.engine
    }

    /// Largest file that [`Engine::load`] takes.
    pub(super) fn max_component_bytes(&self) -> u64 {
        self.0.max_component_bytes
    }

    fn check_kind(&self, bytes: &[u8]) -> Result<(), LoadError> {
        let limit = self.max_component_bytes();
        if bytes.len() as u64 > limit {
            return Err(LoadError::TooLarge { bytes: bytes.len() as u64, limit });
        }
        if wasmtime::Engine::detect_precompiled(bytes).is_some() {
            return Err(LoadError::Precompiled);
        }
        match bytes {
            // The preamble: magic, then version and layer (1 is a component, 0 a core module).
            [b'\0', b'a', b's', b'm', _, _, 1, 0, ..] => Ok(()),
            [b'\0', b'a', b's', b'm', _, _, 0, 0, ..] => Err(LoadError::CoreModule),
            _ => Err(LoadError::NotWasm(match bytes.get(..8.min(bytes.len())) {
                Some([]) | None => "nothing (the file is empty)".into(),
                Some(head) => format!("\"{}\"", head.escape_ascii()),
            })),
        }
    }

    fn component(&self, bytes: &[u8], sum: &Sha256Sum) -> Result<Component, LoadError> {
        let inner = &self.0;
        let name = format!("{sum}-{:016x}", inner.settings);
        let _one = inner.compiling.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(component) = inner.cache.as_ref().and_then(|c| c.get(&inner.engine, &name)) {
            return Ok(component);
        }
        // The text format is not accepted: `from_binary` takes components only.
        let component =
            Component::from_binary(&inner.engine, bytes).map_err(|e| LoadError::Invalid(format!("{e:#}")))?;
        if let Some(cache) = &inner.cache {
            let kept = component.serialize().map_err(|e| format!("{e:#}"));
            if let Err(error) = kept.and_then(|code| cache.put(&name, &code).map_err(|e| e.to_string())) {
                tracing::warn!(%error, "compiled code was not kept; the plugin is compiled again at the next start");
            }
        }
        Ok(component)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

fn settings() -> wasmtime::Config {
    let mut config = wasmtime::Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .wasm_component_model(true)
        // Tasks of component-model concurrency would triple the cost of an empty call.
        .concurrency_support(false)
        .epoch_interruption(true)
        .wasm_memory64(false)
        .shared_memory(false)
        // The same rows give the same output on every machine.
        .relaxed_simd_deterministic(true)
        // A fixed base address can be kept in a register.
        .memory_may_move(false)
        // Compiling must not take the cores of the workers.
        .parallel_compilation(false)
        .wasm_backtrace_max_frames(NonZeroUsize::new(16))
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

/// Starts the thread that advances the epoch. It ends with the engine.
fn tick(engine: &wasmtime::Engine) -> std::io::Result<()> {
    let engine = engine.weak();
    thread::Builder::new().name("plugin-epochs".into()).spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    })?;
    Ok(())
}
