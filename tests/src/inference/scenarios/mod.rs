//! What a pipeline makes of servers that fail: one scenario a file, one line of verdict each.

mod down;
mod endpoints;
mod kill;
mod overload;
mod slow;

use std::fmt;

use super::host::{check, report};
use super::pipeline::Pipeline;
use super::watch::Watch;
use crate::faults::ModelProcess;

/// The scenarios, in the order in which they run.
pub const NAMES: &[&str] = &["down", "slow", "endpoints", "overload", "kill"];

/// What came of a scenario.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The scenario.
    pub name: &'static str,
    /// What was promised and not kept.
    pub broken: Vec<String>,
    /// What was seen.
    pub figures: Vec<String>,
}

impl Verdict {
    fn new(name: &'static str) -> Self {
        Self { name, broken: Vec::new(), figures: Vec::new() }
    }

    /// Notes what was seen, and that it was promised otherwise unless `kept`.
    fn expect(&mut self, kept: bool, seen: impl Into<String>) {
        let seen = seen.into();
        if !kept {
            self.broken.push(seen.clone());
        }
        self.figures.push(seen);
    }

    fn note(&mut self, seen: impl Into<String>) {
        self.figures.push(seen.into());
    }

    /// Whether all promises were kept.
    pub fn is_kept(&self) -> bool {
        self.broken.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.is_kept() { "kept" } else { "BROKEN" };
        write!(f, "{word}  {}: {}", self.name, self.figures.join("; "))?;
        if !self.is_kept() {
            write!(f, " — not as promised: {}", self.broken.join("; "))?;
        }
        Ok(())
    }
}

/// Runs one. `quick` shortens it to a fifth: to see that everything works.
///
/// # Errors
/// When it is unknown or cannot be run.
pub fn run(name: &str, quick: bool) -> Result<Verdict, String> {
    let scale = if quick { 0.2 } else { 1.0 };
    match name {
        "down" => down::run(scale),
        "slow" => slow::run(scale),
        "endpoints" => endpoints::run(scale),
        "overload" => overload::run(scale),
        "kill" => kill::run(),
        _ => Err(format!("there is no scenario `{name}`; there are: {}", NAMES.join(", "))),
    }
}

/// Runs a pipeline that ends by itself, under a watch that `meanwhile` steers servers by.
fn watched(
    pipeline: &Pipeline,
    servers: &mut [ModelProcess],
    meanwhile: impl FnOnce(&mut Watch, &mut [ModelProcess]) -> Result<(), String>,
) -> Result<(Watch, serde_json::Value), String> {
    let job = pipeline.job();
    check(&job)?;
    let mut running = job.start();
    let mut watch = Watch::new(running.pid(), job.path("out.jsonl"));
    meanwhile(&mut watch, servers)?;
    watch.until(f64::MAX, || !running.is_alive())?;
    let report = report(&running.finish())?;
    watch.look()?;
    Ok((watch, report))
}

/// Rows that came out or are dead letters, and rows that went in, must be the same.
fn expect_no_row_lost(verdict: &mut Verdict, report: &serde_json::Value) {
    let rows_in = report["rows_in"].as_u64().unwrap_or_default();
    let sinks = report["sinks"].as_array().map_or(&[][..], Vec::as_slice);
    let out =
        sinks.iter().find(|sink| sink["name"] == "out").and_then(|sink| sink["rows"].as_u64()).unwrap_or_default();
    verdict.expect(rows_in == out && out > 0, format!("{out} of {rows_in} rows out"));
}

/// Requests of the fullest second of a server from `from` on, in seconds since it began.
fn busiest_second(counters: &serde_json::Value, from: f64) -> u64 {
    let seconds = counters["seconds"].as_array().map_or(&[][..], Vec::as_slice);
    seconds.iter().skip(from as usize).filter_map(serde_json::Value::as_u64).max().unwrap_or_default()
}
