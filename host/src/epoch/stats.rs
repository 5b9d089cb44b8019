//! What is counted of epochs: how many, how long each step took, how large they were.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::commit::Done;
use crate::dataflow::Failure;

/// Longest step told apart from longer ones: ten minutes, in microseconds.
const MAX_US: u64 = 600_000_000;

/// The steps of an epoch, in order; `total` is from its barrier until it is committed.
pub const STEPS: [&str; 6] = ["barrier", "queue", "prepare", "commit", "apply", "total"];

/// Counters of a run's epochs.
#[derive(Debug)]
pub struct EpochStats {
    committed: AtomicU64,
    empty: AtomicU64,
    stretched: AtomicU64,
    rewinds: AtomicU64,
    /// By the part that failed.
    failures: Mutex<BTreeMap<String, u64>>,
    bytes: AtomicU64,
    last: AtomicU64,
    steps: Mutex<Vec<Histogram<u64>>>,
}

/// Durations of one step, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct StepSummary {
    /// Median.
    pub p50_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// Longest.
    pub max_us: u64,
}

/// Figures of a run's epochs.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct EpochSummary {
    /// The newest committed epoch.
    pub last: u64,
    /// Epochs that left a record.
    pub committed: u64,
    /// Epochs in which nothing changed.
    pub empty: u64,
    /// Barriers that had to wait for the epochs before them.
    pub stretched: u64,
    /// Returns to the last committed epoch.
    pub rewinds: u64,
    /// Failures by the part that failed.
    pub failures: BTreeMap<String, u64>,
    /// Bytes of all records.
    pub bytes: u64,
    /// By step.
    pub steps: BTreeMap<&'static str, StepSummary>,
}

impl EpochStats {
    /// Nothing counted yet.
    ///
    /// # Errors
    /// When the histograms cannot be made.
    pub fn new() -> Result<Self, String> {
        let histogram = |_| Histogram::new_with_bounds(1, MAX_US, 3).map_err(|e| e.to_string());
        let steps = Mutex::new(STEPS.iter().map(histogram).collect::<Result<_, _>>()?);
        let zero = AtomicU64::default;
        Ok(Self {
            committed: zero(),
            empty: zero(),
            stretched: zero(),
            rewinds: zero(),
            failures: Mutex::default(),
            bytes: zero(),
            last: zero(),
            steps,
        })
    }

    pub(super) fn done(&self, done: &Done) {
        if !done.recorded {
            self.empty.fetch_add(1, Relaxed);
            return;
        }
        self.committed.fetch_add(1, Relaxed);
        self.bytes.fetch_add(done.bytes, Relaxed);
        self.last.store(done.epoch, Relaxed);
        let total = done.barrier + done.queue + done.prepare + done.commit;
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let durations = [done.barrier, done.queue, done.prepare, done.commit, done.apply, total];
        for (histogram, duration) in steps.iter_mut().zip(durations) {
            histogram.saturating_record(microseconds(duration).max(1));
        }
        drop(steps);
        tracing::debug!(
            epoch = done.epoch,
            bytes = done.bytes,
            barrier_us = microseconds(done.barrier),
            queue_us = microseconds(done.queue),
            prepare_us = microseconds(done.prepare),
            commit_us = microseconds(done.commit),
            apply_us = microseconds(done.apply),
            "epoch committed"
        );
    }

    pub(super) fn stretched(&self) {
        self.stretched.fetch_add(1, Relaxed);
    }

    /// Counts a return to the last committed epoch.
    pub fn rewound(&self) {
        self.rewinds.fetch_add(1, Relaxed);
    }

    /// Counts a failure by the part that failed; parts are few, so the map is small.
    pub fn failed(&self, failure: &Failure) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        *failures.entry(failure.node.clone()).or_default() += 1;
    }

    /// Epochs that came through so far, those that left no record among them.
    pub fn settled(&self) -> u64 {
        self.committed.load(Relaxed) + self.empty.load(Relaxed)
    }

    /// Epochs committed so far.
    pub fn committed(&self) -> u64 {
        self.committed.load(Relaxed)
    }

    /// The figures so far.
    pub fn summary(&self) -> EpochSummary {
        let steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let summary = |h: &Histogram<u64>| match h.is_empty() {
            true => StepSummary::default(),
            false => {
                StepSummary { p50_us: h.value_at_quantile(0.5), p99_us: h.value_at_quantile(0.99), max_us: h.max() }
            }
        };
        EpochSummary {
            last: self.last.load(Relaxed),
            committed: self.committed.load(Relaxed),
            empty: self.empty.load(Relaxed),
            stretched: self.stretched.load(Relaxed),
            rewinds: self.rewinds.load(Relaxed),
            failures: self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            bytes: self.bytes.load(Relaxed),
            steps: STEPS.into_iter().zip(steps.iter().map(summary)).collect(),
        }
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
