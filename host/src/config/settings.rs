//! `[pipeline]`, `[checkpoint]`, `[state]`, `[plugins]`, `[models]` and `[admin]`.

use std::path::PathBuf;
use std::time::Duration;

use super::context::{Context, Text};
use super::reader::Reader;
use super::substitute::Environment;
use super::units;
use crate::{admin, checkpoint, dataflow, inference, operator, record, state};

/// Name of the ONNX Runtime library in the cache, on every platform.
const LIBRARY: &str = "libonnxruntime.so";
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// `[pipeline]` and `[checkpoint]`.
pub(super) struct Settings {
    pub(super) name: String,
    pub(super) dead_letters: Option<Text>,
    pub(super) dataflow: dataflow::Config,
    pub(super) checkpoint: Checkpoint,
}

/// `[checkpoint]`; its default location depends on `[state]`.
pub(super) struct Checkpoint {
    location: Option<checkpoint::Location>,
    snapshot_interval: Duration,
    retain: usize,
    max_log_bytes: u64,
}

impl Checkpoint {
    /// With the state folder that the pipeline has.
    pub(super) fn config(self, state: &state::Config) -> checkpoint::Config {
        let Self { location, snapshot_interval, retain, max_log_bytes } = self;
        let location = location.unwrap_or_else(|| checkpoint::Location::Folder(state.path.join("checkpoints")));
        checkpoint::Config { location, snapshot_interval, retain, max_log_bytes }
    }
}

pub(super) fn pipeline(root: &mut Reader<'_>) -> Settings {
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(usize::from(record::KEY_GROUPS));
    let mut settings = Settings {
        name: String::new(),
        dead_letters: None,
        dataflow: dataflow::Config {
            workers: cores,
            max_in_flight_rows: 65_536,
            max_in_flight_bytes: 16 << 20,
            batch_rows: 1_024,
            batch_bytes: 256 << 10,
            checkpoint_interval: Duration::from_secs(1),
        },
        checkpoint: Checkpoint {
            location: None,
            snapshot_interval: Duration::from_secs(60),
            retain: 3,
            max_log_bytes: 256 * MIB,
        },
    };
    match root.table("pipeline") {
        Some(reader) => pipeline_table(reader, &mut settings),
        None if root.has("pipeline") => {}
        None => root.cx.report(
            root.error("the file has no `[pipeline]`")
                .expected("needs a table `[pipeline]` with a `name`")
                .help("add `[pipeline]` and below it `name = \"my-pipeline\"`"),
        ),
    }
    if let Some(reader) = root.table("checkpoint") {
        checkpoint_table(reader, &mut settings);
    }
    settings
}

fn checkpoint_table(mut reader: Reader<'_>, settings: &mut Settings) {
    // Below 10 ms a run would do little else; above an hour a restart would lose too much time.
    let range = Duration::from_millis(10)..=Duration::from_secs(3_600);
    let interval = &mut settings.dataflow.checkpoint_interval;
    *interval = reader.duration("interval", *interval, range);
    let c = &mut settings.checkpoint;
    c.location = reader.text("path", "out/checkpoints").and_then(|text| location(reader.cx, &text));
    // The epoch log grows for that long.
    let range = Duration::from_millis(10)..=Duration::from_secs(24 * 3_600);
    c.snapshot_interval = reader.duration("snapshot_interval", c.snapshot_interval.max(*interval), range);
    if let Some(node) = reader.take("snapshot_interval").filter(|_| c.snapshot_interval < *interval) {
        let shown = units::show_duration(*interval);
        reader.cx.report(
            reader
                .cx
                .error(&node.at, "`checkpoint.snapshot_interval` is shorter than `checkpoint.interval`")
                .expected(format!(
                    "expected at least `interval`, which is `\"{shown}\"`: a snapshot holds whole epochs"
                ))
                .help("raise `snapshot_interval` or lower `interval`"),
        );
    }
    // A thousand snapshots would share no file with each other any more.
    c.retain = reader.count("retain", c.retain, 1..=1_000);
    c.max_log_bytes = reader.size("max_log", c.max_log_bytes, MIB..=1_024 * GIB);
    reader.finish();
}

/// A folder, which starts at the folder of the pipeline file, or a bucket.
fn location(cx: &Context<'_>, text: &Text) -> Option<checkpoint::Location> {
    if !text.value.contains("://") {
        return cx.path(text).map(checkpoint::Location::Folder);
    }
    match checkpoint::Location::parse(&text.value) {
        Ok(location) => Some(location),
        Err(problem) => {
            let (message, expected) = problem.split_once("; ").unwrap_or((problem.as_str(), ""));
            cx.report(cx.error(&text.at, message).expected(expected));
            None
        }
    }
}

fn pipeline_table(mut reader: Reader<'_>, settings: &mut Settings) {
    if let Some(name) = reader.required_text("name", "my-pipeline") {
        reader.cx.check_name("a pipeline", &name);
        settings.name = name.value;
    }
    settings.dead_letters = reader.text("dead_letters", "rejected");
    let c = &mut settings.dataflow;
    // More workers than key groups would idle.
    c.workers = reader.count("workers", c.workers, 1..=u64::from(record::KEY_GROUPS));
    c.batch_rows = reader.count("batch_rows", c.batch_rows, 1..=65_536);
    // Offsets inside a batch are 32 bits wide.
    c.batch_bytes = reader.bytes("batch_bytes", c.batch_bytes, KIB..=GIB);
    let (rows, bytes) = (c.max_in_flight_rows.max(c.batch_rows), c.max_in_flight_bytes.max(c.batch_bytes));
    c.max_in_flight_rows = reader.count("max_in_flight_rows", rows, 1..=u64::from(u32::MAX));
    c.max_in_flight_bytes = reader.bytes("max_in_flight_bytes", bytes, KIB..=64 * GIB);
    for (limit, batch, key, batch_key) in [
        (c.max_in_flight_rows, c.batch_rows, "max_in_flight_rows", "batch_rows"),
        (c.max_in_flight_bytes, c.batch_bytes, "max_in_flight_bytes", "batch_bytes"),
    ] {
        let node = reader.take(key);
        if let Some(node) = node.filter(|_| limit < batch) {
            reader.cx.report(
                reader
                    .cx
                    .error(&node.at, format!("`pipeline.{key}` is smaller than one batch"))
                    .expected(format!("expected at least `{batch_key}`, which is {batch}"))
                    .help(format!("raise `{key}` or lower `{batch_key}`")),
            );
        }
    }
    reader.finish();
}

/// `[state]`. `keyed` says whether an operator has a key.
pub(super) fn state(root: &mut Reader<'_>, keyed: Option<&str>) -> state::Config {
    // Never created unless an operator has a key, and then a path is required.
    let mut config =
        state::Config { path: root.cx.folder.join("out/state"), cache_bytes: 128 << 20, block_cache_bytes: 32 << 20 };
    match root.table("state") {
        Some(mut reader) => {
            let path = match keyed {
                Some(_) => reader.required_path("path", "out/state").map(|(path, _)| path),
                None => reader.path("path", "out/state"),
            };
            config.path = path.unwrap_or(config.path);
            config.cache_bytes = reader.bytes("cache", config.cache_bytes, MIB..=1_024 * GIB);
            config.block_cache_bytes = reader.bytes("block_cache", config.block_cache_bytes, MIB..=1_024 * GIB);
            reader.finish();
        }
        None if root.has("state") => {}
        None => {
            if let Some(operator) = keyed {
                root.cx.report(
                    root.error(format!("operator `{operator}` has a key, but the file has no `[state]`"))
                        .expected("needs a folder for the state of its keys")
                        .help("add `[state]` and below it `path = \"out/state\"`"),
                );
            }
        }
    }
    config
}

/// `[plugins]`. `user` names an operator that needs it.
pub(super) fn plugins(root: &mut Reader<'_>, user: Option<&str>) -> operator::Config {
    let mut config = operator::Config::new(root.cx.folder.join("plugins"), &cache_folder(root.cx));
    let Some(mut reader) = root.table("plugins") else {
        if let Some(operator) = user.filter(|_| !root.has("plugins")) {
            root.cx.report(
                root.error(format!("operator `{operator}` is a plugin, but the file has no `[plugins]`"))
                    .expected("needs the folder of the plugins")
                    .help("add `[plugins]` and below it `folder = \"plugins\"`"),
            );
        }
        return config;
    };
    let folder = match user {
        Some(_) => reader.required_path("folder", "plugins").map(|(path, _)| path),
        None => reader.path("folder", "plugins"),
    };
    config.folder = folder.unwrap_or(config.folder);
    config.watch = reader.boolean("watch", config.watch);
    config.cache = reader.path("cache", "~/.cache/millstream/compiled").unwrap_or(config.cache);
    config.max_component_bytes = reader.size("max_component", config.max_component_bytes, KIB..=GIB);
    let limits = &mut config.limits;
    let deadline = Duration::from_millis(1)..=Duration::from_secs(600);
    limits.deadline = reader.duration("deadline", limits.deadline, deadline);
    // One page of Wasm memory to all that 32-bit addresses reach.
    limits.memory_bytes = reader.bytes("memory", limits.memory_bytes, 64 * KIB..=4 * GIB);
    let memory = limits.memory_bytes as u64;
    limits.recycle_bytes = reader.bytes("recycle", limits.memory_bytes / 2, 1..=memory);
    limits.max_answer_bytes = reader.bytes("max_answer", limits.max_answer_bytes, KIB..=4 * GIB);
    reader.finish();
    config
}

/// `[admin]`; no server without it.
pub(super) fn admin(root: &mut Reader<'_>) -> Option<admin::Config> {
    let mut reader = root.table("admin")?;
    let text = reader.required_text("listen", "127.0.0.1:9464");
    let listen = text.and_then(|text| match text.value.parse::<std::net::SocketAddr>() {
        Ok(listen) if listen.ip().is_loopback() => Some(listen),
        Ok(_) => {
            let error = reader.cx.error(&text.at, format!("`{}` could be reached from other machines", text.shown));
            reader.cx.report(
                error
                    .expected("expected a loopback address: the admin server knows no users")
                    .help("listen on 127.0.0.1, and let a proxy that authenticates stand before it"),
            );
            None
        }
        Err(_) => {
            let error = reader.cx.error(&text.at, format!("`{}` is not an address with a port", text.shown));
            reader.cx.report(error.expected("expected an address such as `\"127.0.0.1:9464\"`"));
            None
        }
    });
    reader.finish();
    listen.map(|listen| admin::Config { listen })
}

/// A model and where it was named.
pub(super) struct Model {
    pub(super) config: inference::ModelConfig,
    pub(super) key: String,
}

/// `[models]`: the library and the models.
pub(super) fn models(root: &mut Reader<'_>) -> (PathBuf, Vec<Model>) {
    let default = match (root.cx.environment)("MILLSTREAM_ONNXRUNTIME").filter(|v| !v.is_empty()) {
        Some(library) => PathBuf::from(library),
        None => cache_folder(root.cx).join("onnxruntime").join(LIBRARY),
    };
    let Some(mut reader) = root.table("models") else { return (default, Vec::new()) };
    let library = reader.path("library", LIBRARY).unwrap_or(default);
    let mut models = Vec::new();
    for (name, mut table) in reader.named_tables("a model") {
        let key = table.path.clone();
        let path = table.required_path("path", "model.onnx").map(|(path, _)| path);
        table.finish();
        models.push(Model { config: inference::ModelConfig { name, path: path.unwrap_or_default() }, key });
    }
    (library, models)
}

/// The user's folder for what can be made again: `MILLSTREAM_CACHE`, else `millstream` in the
/// user's cache folder, else a folder beside the pipeline file.
fn cache_folder(cx: &Context<'_>) -> PathBuf {
    user_cache(cx.environment).unwrap_or_else(|| cx.folder.join(".millstream"))
}

/// `MILLSTREAM_CACHE`, else `millstream` in the user's cache folder.
pub(super) fn user_cache(environment: &Environment<'_>) -> Option<PathBuf> {
    let variable = |name| environment(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    variable("MILLSTREAM_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|p| p.join("millstream")))
        .or_else(|| variable("HOME").map(|p| p.join(".cache/millstream")))
}
