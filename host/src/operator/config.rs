//! `[plugins]` and a plugin operator once validated.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Settings that all plugins share.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder of `.wasm` files.
    pub folder: PathBuf,
    /// Whether the folder is watched for new generations.
    pub watch: bool,
    /// Folder of compiled code, private to the user. Default: `millstream/compiled` in the user's
    /// cache folder.
    pub cache: PathBuf,
    /// Largest component file in bytes. Default 32 MiB.
    pub max_component_bytes: u64,
    /// Bounds of every instance.
    pub limits: Limits,
}

impl Config {
    /// The defaults, for plugins in `folder`; `cache` is the user's folder for what can be made again.
    pub fn new(folder: PathBuf, cache: &Path) -> Self {
        Self {
            folder,
            watch: true,
            cache: cache.join("compiled"),
            max_component_bytes: 32 << 20,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(1),
            memory_bytes: 64 << 20,
            recycle_bytes: 32 << 20,
            max_answer_bytes: 32 << 20,
        }
    }
}

/// What one instance of a plugin may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time of one call. Default 1 s.
    pub deadline: Duration,
    /// Linear memory in bytes. Default 64 MiB.
    pub memory_bytes: usize,
    /// Memory beyond which an instance is replaced by a fresh one between two batches.
    /// Default: half of `memory_bytes`.
    pub recycle_bytes: usize,
    /// Bytes of one answer. Default 32 MiB.
    pub max_answer_bytes: usize,
}

/// One plugin operator of a pipeline.
#[derive(Clone, Debug)]
pub struct OperatorConfig {
    /// Name in the pipeline.
    pub name: String,
    /// Name of the plugin (its `describe` name).
    pub plugin: String,
    /// Column of the key, for operators with keyed state.
    pub key: Option<String>,
    /// Passed to `open`, values as text.
    pub config: Vec<(String, String)>,
    /// Interfaces that it may import beyond logging and clock: `collections`, `inference`.
    pub grants: BTreeSet<String>,
    /// Input columns that go on to the output beside the plugin's own; all when absent. A column
    /// of the plugin replaces a forwarded one of the same name.
    pub forward: Option<Vec<String>>,
    /// Name of an output column that takes the number of the generation that processed the row.
    pub generation_column: Option<String>,
}
