//! `millstream bench`: every figure that the project promises, measured and put beside its bar.
//!
//! Pipelines run as processes of their own. Timings are taken on whatever machine this is, shared
//! and noisy as it may be; of several runs of a throughput the best counts, since noise only makes
//! runs slower.

mod operator_call;
mod pipelines;
mod report;
mod runs;
mod subject;
mod swap;

use std::path::PathBuf;

pub use report::{Bar, Measure, table};

use subject::Places;

/// Where the benchmarks find what they need.
#[derive(Clone, Debug)]
pub struct Options {
    /// The host's binary.
    pub host: PathBuf,
    /// Folder of built plugins.
    pub plugins: PathBuf,
    /// Folder for input, output and state; input is kept there for the next time.
    pub scratch: PathBuf,
}

/// The benchmarks by name, and what each measures.
pub const NAMES: [(&str, &str); 5] = [
    ("operator-call", "a sandboxed operator against a native closure"),
    ("enrich", "JSON file to JSON file through one keyed plugin"),
    ("vectors", "128 floats through a network, direct and from JSON"),
    ("latency", "from scheduled time to written, at 1,000 and 10,000 rows/s"),
    ("demo", "the fraud pipeline: throughput, memory, start, swap under load"),
];

/// Runs the benchmarks of these names; all when there are none. `progress` is told of each before
/// it begins.
///
/// # Errors
/// When a benchmark is unknown or cannot be run.
pub fn run(names: &[String], options: &Options, mut progress: impl FnMut(&str)) -> Result<Vec<Measure>, String> {
    for name in names {
        if !NAMES.iter().any(|(known, _)| known == name) {
            let known = NAMES.map(|(n, _)| n).join(", ");
            return Err(format!("there is no benchmark `{name}`; there are: {known}"));
        }
    }
    let Options { host, plugins, scratch } = options.clone();
    // What is compared is made afresh each time; only input is kept.
    let run = scratch.join(format!("call-{}", std::process::id()));
    let places = Places { host, plugins, scratch };
    let mut measures = Vec::new();
    for (name, what) in NAMES {
        if !names.is_empty() && !names.iter().any(|n| n == name) {
            continue;
        }
        progress(what);
        let found = match name {
            "operator-call" => operator_call::run(&places.plugins, &run),
            "enrich" => runs::enrich(&places),
            "vectors" => runs::vector_rate(&places),
            "latency" => runs::latency(&places),
            _ => runs::demo(&places),
        };
        measures.extend(found.map_err(|e| format!("{name}: {e}"))?);
    }
    let _ = std::fs::remove_dir_all(run);
    Ok(measures)
}
