//! `millstream bench`: every figure that the project promises, measured and put beside its bar.
//!
//! Pipelines run as processes of their own. Timings are taken on whatever machine this is, shared
//! and noisy as it may be; of several runs of a throughput the best counts, since noise only makes
//! runs slower.

mod epochs;
mod operator_call;
mod pipelines;
mod runs;
mod subject;
mod swap;

use std::path::PathBuf;

use crate::report::{Bar, Measurement};
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

/// The benchmarks, in the order in which they run: a sandboxed operator against a native closure;
/// JSON file to JSON file through one keyed plugin; vectors through a network, direct and from JSON;
/// latency at 1,000 and 10,000 rows/s; the fraud pipeline with memory, start, and a swap under load;
/// epochs, recovery and savepoints.
pub const NAMES: &[&str] = &["operator-call", "enrich", "vectors", "latency", "demo", "epochs"];

/// Runs the benchmarks of these names; all when there are none. `each` is told of each figure as it
/// is there.
///
/// # Errors
/// When a benchmark is unknown or cannot be run.
pub fn run(names: &[&str], options: &Options, each: &mut dyn FnMut(&Measurement)) -> Result<(), String> {
    if let Some(name) = names.iter().find(|name| !NAMES.contains(name)) {
        return Err(format!("there is no benchmark `{name}`; there are: {}", NAMES.join(", ")));
    }
    let Options { host, plugins, scratch } = options.clone();
    // What is compared is made afresh each time; only input is kept.
    let fresh = scratch.join(format!("call-{}", std::process::id()));
    let places = Places { host, plugins, scratch };
    for name in NAMES {
        if !names.is_empty() && !names.contains(name) {
            continue;
        }
        let found = match *name {
            "operator-call" => operator_call::run(&places.plugins, &fresh),
            "enrich" => runs::enrich(&places),
            "vectors" => runs::vector_rate(&places),
            "latency" => runs::latency(&places),
            "epochs" => epochs::run(&places),
            _ => runs::demo(&places),
        };
        found.map_err(|e| format!("{name}: {e}"))?.iter().for_each(&mut *each);
    }
    let _ = std::fs::remove_dir_all(fresh);
    Ok(())
}

fn measure(name: impl Into<String>, value: f64, unit: &str, bar: Option<Bar>) -> Measurement {
    Measurement { name: name.into(), value, unit: unit.into(), bar }
}
