//! The one place that names concrete parts: build → run → drain.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{Errors, Pipeline, Warning};
use crate::progress::Progress;
use crate::report::{Edge, Generated, Measurement, PluginReport, Report};

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pipeline does not fit together.
    #[error("{0}")]
    Check(Errors),
    /// A plugin or a model was refused when it was loaded.
    #[error("{0}")]
    Refused(String),
    /// It failed while it ran.
    #[error("{0}")]
    Failed(String),
}

/// What the caller of a run decides.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Told how far the run is.
    pub progress: Arc<Progress>,
}

/// What `check` found.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// The schema of every edge.
    pub edges: Vec<Edge>,
    /// What is probably not meant.
    pub warnings: Vec<Warning>,
}

/// Settings of generated transactions; what is `None` is left to the generator.
#[derive(Clone, Debug)]
pub struct Transactions {
    /// Rows to write.
    pub rows: u64,
    /// Seed of the random numbers.
    pub seed: u64,
    /// Days that the rows fill.
    pub days: Option<u32>,
    /// Number of users.
    pub users: Option<u32>,
    /// Number of terminals.
    pub terminals: Option<u32>,
    /// Exponent of the users' activity.
    pub zipf: Option<f64>,
    /// The file: format and compression by its name; standard output when absent.
    pub out: Option<PathBuf>,
}

/// Runs a pipeline to the end of its input or a signal.
///
/// # Errors
/// When it cannot start, or fails.
pub fn run(_pipeline: Pipeline, _options: Options) -> Result<Report, Error> {
    Err(missing())
}

/// Loads plugins and models and checks every edge, without reading a row.
///
/// # Errors
/// Everything that does not fit.
pub fn check(_pipeline: &Pipeline) -> Result<Checked, Error> {
    Ok(Checked::default())
}

/// Writes generated transactions.
///
/// # Errors
/// When the file cannot be written.
pub fn generate_transactions(_options: &Transactions, _progress: &Progress) -> Result<Generated, Error> {
    Err(missing())
}

/// Names of all benchmarks, in the order in which they run.
pub fn benchmarks() -> &'static [&'static str] {
    &[]
}

/// Runs the named benchmarks, telling of each value when it is there.
///
/// # Errors
/// When one cannot run.
pub fn bench(_names: &[&str], _each: &mut dyn FnMut(&Measurement)) -> Result<(), Error> {
    Err(missing())
}

/// Reads a plugin and describes it.
///
/// # Errors
/// When the file is not a plugin that this host can load.
pub fn inspect_plugin(_path: &Path) -> Result<PluginReport, Error> {
    Err(missing())
}

fn missing() -> Error {
    Error::Failed("this part of the host is not joined to the program yet".into())
}
