//! What a running pipeline counts, per batch and never per row.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::budget::Budget;

/// Longest latency told apart from longer ones: ten minutes, in microseconds.
const MAX_LATENCY_US: u64 = 600_000_000;

/// Counters of a run, shared by all threads.
#[derive(Debug)]
pub struct Stats {
    /// When the run began.
    pub started: Instant,
    rows_in: AtomicU64,
    bytes_in: AtomicU64,
    dead_letters: AtomicU64,
    epochs: AtomicU64,
    /// Nanoseconds from the start to the first row out; 0 before.
    first_out_ns: AtomicU64,
    /// Of the network that runs now.
    budget: Mutex<Option<Arc<Budget>>>,
    sinks: Vec<SinkStats>,
    latency: Mutex<Latency>,
}

/// Counters of one sink.
#[derive(Debug, Default)]
struct SinkStats {
    rows: AtomicU64,
    bytes: AtomicU64,
}

#[derive(Debug)]
struct Latency {
    histogram: Histogram<u64>,
    last_out: Option<Instant>,
    longest_gap: Duration,
}

/// Percentiles of the latency from source to sink, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct LatencySummary {
    /// Median.
    pub p50_us: u64,
    /// 90th percentile.
    pub p90_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// 99.9th percentile.
    pub p999_us: u64,
    /// Largest.
    pub max_us: u64,
}

impl Stats {
    /// Nothing counted yet.
    ///
    /// # Errors
    /// When the histogram of latencies cannot be made.
    pub fn new(sinks: usize) -> Result<Self, String> {
        let histogram = Histogram::new_with_bounds(1, MAX_LATENCY_US, 3).map_err(|e| e.to_string())?;
        Ok(Self {
            started: Instant::now(),
            rows_in: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            dead_letters: AtomicU64::new(0),
            epochs: AtomicU64::new(0),
            first_out_ns: AtomicU64::new(0),
            budget: Mutex::new(None),
            sinks: (0..sinks).map(|_| SinkStats::default()).collect(),
            latency: Mutex::new(Latency { histogram, last_out: None, longest_gap: Duration::ZERO }),
        })
    }

    /// Rows in flight are those of this budget from now on.
    pub(crate) fn watch(&self, budget: &Arc<Budget>) {
        *self.budget.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(budget));
    }

    pub(crate) fn taken(&self, rows: u64, bytes: u64) {
        self.rows_in.fetch_add(rows, Relaxed);
        self.bytes_in.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn rejected(&self, rows: u64) {
        self.dead_letters.fetch_add(rows, Relaxed);
    }

    /// Counts an epoch.
    pub fn epoch_committed(&self) {
        self.epochs.fetch_add(1, Relaxed);
    }

    pub(crate) fn written(&self, sink: usize, rows: u64, bytes: u64) {
        if let Some(counters) = self.sinks.get(sink) {
            counters.rows.fetch_add(rows, Relaxed);
            counters.bytes.fetch_add(bytes, Relaxed);
        }
    }

    /// Rows of a block are out. Not called for dead letters.
    pub(crate) fn out(&self, rows: u64, since: Instant) {
        let now = Instant::now();
        let _ = self.first_out_ns.compare_exchange(0, (now - self.started).as_nanos() as u64, Relaxed, Relaxed);
        let mut latency = self.lock();
        let us = (now.saturating_duration_since(since).as_nanos() / 1000) as u64;
        latency.histogram.saturating_record_n(us.max(1), rows);
        if let Some(last) = latency.last_out.replace(now) {
            latency.longest_gap = latency.longest_gap.max(now - last);
        }
    }

    /// Rows taken from sources.
    pub fn rows_in(&self) -> u64 {
        self.rows_in.load(Relaxed)
    }

    /// Rows between sources and sinks.
    pub fn in_flight(&self) -> u64 {
        let budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        budget.as_ref().map_or(0, |b| b.rows_in_flight() as u64)
    }

    /// Bytes taken from sources, after decompression.
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in.load(Relaxed)
    }

    /// Rows rejected.
    pub fn dead_letters(&self) -> u64 {
        self.dead_letters.load(Relaxed)
    }

    /// Epochs committed.
    pub fn epochs(&self) -> u64 {
        self.epochs.load(Relaxed)
    }

    /// Rows written by a sink.
    pub fn rows_out(&self, sink: usize) -> u64 {
        self.sinks.get(sink).map_or(0, |s| s.rows.load(Relaxed))
    }

    /// Bytes written by a sink, before compression.
    pub fn bytes_out(&self, sink: usize) -> u64 {
        self.sinks.get(sink).map_or(0, |s| s.bytes.load(Relaxed))
    }

    /// From the start of the run to the first row out.
    pub fn first_out(&self) -> Option<Duration> {
        match self.first_out_ns.load(Relaxed) {
            0 => None,
            ns => Some(Duration::from_nanos(ns)),
        }
    }

    /// Longest time without a row out, between two that were.
    pub fn longest_gap(&self) -> Duration {
        self.lock().longest_gap
    }

    /// Latency so far.
    pub fn latency(&self) -> LatencySummary {
        let latency = self.lock();
        let at = |q| latency.histogram.value_at_quantile(q);
        if latency.histogram.is_empty() {
            return LatencySummary::default();
        }
        LatencySummary {
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: latency.histogram.max(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Latency> {
        self.latency.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
