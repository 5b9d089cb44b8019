//! One run of the host beside model servers, and what it cost.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::pipeline::Pipeline;
use super::rows::{Summary, summary};
use super::watch::cpu;
use crate::faults::ModelProcess;
use crate::{Finished, Job};

/// A run that is over.
pub(super) struct Run {
    pub report: Value,
    /// Over the rows behind the warm-up.
    pub rows: Summary,
    /// Seconds of processor time.
    pub host_cpu: f64,
    pub server_cpu: f64,
    /// What the server counted.
    pub counters: Value,
    pub dead_letters: u64,
}

/// A number of a report.
pub(super) fn number(value: &Value, pointer: &str) -> f64 {
    value.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

/// The report of a host that ended well.
pub(super) fn report(finished: &Finished) -> Result<Value, String> {
    if !finished.status.success() {
        return Err(format!("the host ended with {}\n{}\n{}", finished.status, finished.stdout, finished.stderr));
    }
    serde_json::from_str(&finished.stdout).map_err(|e| format!("no report: {e}\n{}", finished.stdout))
}

/// Refuses a pipeline that the host does not understand, with its words, before anything is started.
pub(super) fn check(job: &Job) -> Result<(), String> {
    let checked = job.host(&["check", "pipeline.toml"]);
    if checked.status.success() { Ok(()) } else { Err(checked.stderr + &checked.stdout) }
}

impl Run {
    /// Runs a pipeline to its end. The first rows, while connections are made and code is loaded, do not
    /// count for latencies.
    pub(super) fn of(pipeline: &Pipeline, server: &mut ModelProcess, warm_up: usize) -> Result<Self, String> {
        Self::watched(pipeline, server, warm_up, |_| std::thread::sleep(Duration::from_millis(5)))
    }

    /// The same; `look` is called again and again with the output's path while the host runs.
    pub(super) fn watched(
        pipeline: &Pipeline,
        server: &mut ModelProcess,
        warm_up: usize,
        mut look: impl FnMut(&Path),
    ) -> Result<Self, String> {
        let job = pipeline.job();
        check(&job)?;
        let before = cpu(server.pid());
        let mut running = job.start();
        while running.is_alive() {
            look(&job.path("out.jsonl"));
        }
        let finished = running.finish();
        let server_cpu = cpu(server.pid()) - before;
        let report = report(&finished)?;
        let host_cpu = number(&report, "/cpu_seconds_per_row") * number(&report, "/rows_in");
        let counters = server.counters()?;
        let dead_letters = report["dead_lettered"].as_u64().unwrap_or_default();
        Ok(Self {
            rows: summary(&job.path("out.jsonl"), warm_up)?,
            report,
            host_cpu,
            server_cpu,
            counters,
            dead_letters,
        })
    }

    pub(super) fn seconds(&self) -> f64 {
        number(&self.report, "/elapsed_seconds")
    }

    pub(super) fn rows_per_second(&self) -> f64 {
        number(&self.report, "/rows_per_second")
    }

    /// Megabytes.
    pub(super) fn peak_memory(&self) -> f64 {
        number(&self.report, "/peak_memory_bytes") / 1e6
    }

    /// Rows that the model did not answer at the first try.
    pub(super) fn errors(&self) -> u64 {
        self.rows.rows - self.rows.by_model + self.rows.retried + self.dead_letters
    }
}
