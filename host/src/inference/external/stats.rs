//! What an operator counts. Shared with whoever shows it; counted per request, and per row only where
//! rows differ.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::answer::PredictionSource;
use crate::inference::http::ErrorClass;
use crate::inference::resilience::BreakerState;

/// Upper bounds of the buckets of a histogram of times, in microseconds: from what a call on one
/// machine takes to what nobody waits for.
pub const TIME_BOUNDS_US: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

/// Upper bounds of the buckets of a histogram of rows.
pub const ROW_BOUNDS: [u64; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 1_024];

/// A histogram with fixed buckets.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    bounds: &'static [u64; N],
    /// By bound; what is beyond the last is in the count alone.
    buckets: [AtomicU64; N],
    count: AtomicU64,
    sum: AtomicU64,
}

impl<const N: usize> Histogram<N> {
    fn new(bounds: &'static [u64; N]) -> Self {
        let buckets = std::array::from_fn(|_| AtomicU64::new(0));
        Self { bounds, buckets, count: AtomicU64::new(0), sum: AtomicU64::new(0) }
    }

    fn add(&self, value: u64) {
        if let Some(bucket) = self.buckets.get(self.bounds.partition_point(|&bound| bound < value)) {
            bucket.fetch_add(1, Relaxed);
        }
        self.count.fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    /// Upper bound of each bucket and the number of values up to it.
    pub fn cumulated(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut sum = 0;
        self.bounds.iter().zip(&self.buckets).map(move |(&bound, bucket)| {
            sum += bucket.load(Relaxed);
            (bound, sum)
        })
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// Sum of the values.
    pub fn sum(&self) -> u64 {
        self.sum.load(Relaxed)
    }
}

/// Counters of an operator.
#[derive(Debug)]
pub struct ExternalStats {
    /// By endpoint.
    pub endpoints: Vec<EndpointStats>,
    /// Rows answered, by source of the prediction.
    sources: [AtomicU64; PredictionSource::ALL.len()],
    /// Rows that were rejected.
    pub rejected: AtomicU64,
    /// Attempts behind the first.
    pub retries: AtomicU64,
    /// Retries that the budget refused.
    pub retries_refused: AtomicU64,
    /// Second requests for a slow one.
    pub hedges: AtomicU64,
    /// Requests that were cut in halves to find the row that they failed of.
    pub bisections: AtomicU64,
    /// Requests in flight, those that wait for another attempt included.
    pub requests_in_flight: AtomicU64,
    /// Microseconds that rows waited for a request.
    pub queue_us: Histogram<16>,
    /// Rows of a request.
    pub batch_rows: Histogram<10>,
}

/// Counters of an endpoint.
#[derive(Debug)]
pub struct EndpointStats {
    name: OnceLock<String>,
    /// Calls.
    pub requests: AtomicU64,
    /// Calls that were answered.
    pub successes: AtomicU64,
    /// Calls that were not, by class.
    failures: [AtomicU64; ErrorClass::ALL.len()],
    /// Calls in flight.
    pub in_flight: AtomicU64,
    /// Calls that may be.
    pub limit: AtomicU64,
    /// State of its breaker: 0 closed, 1 half-open, 2 open.
    pub breaker: AtomicU64,
    /// Times that its breaker opened.
    pub opened: AtomicU64,
    /// Microseconds of answered calls.
    pub latency_us: Histogram<16>,
}

impl ExternalStats {
    /// Nothing counted yet, for an operator with these endpoints; one without a name is named later.
    pub fn new(endpoints: impl IntoIterator<Item = String>) -> Self {
        let zero = AtomicU64::default;
        let endpoint = |name: String| EndpointStats {
            name: if name.is_empty() { OnceLock::new() } else { name.into() },
            requests: zero(),
            successes: zero(),
            failures: std::array::from_fn(|_| zero()),
            in_flight: zero(),
            limit: zero(),
            breaker: zero(),
            opened: zero(),
            latency_us: Histogram::new(&TIME_BOUNDS_US),
        };
        Self {
            endpoints: endpoints.into_iter().map(endpoint).collect(),
            sources: std::array::from_fn(|_| zero()),
            rejected: zero(),
            retries: zero(),
            retries_refused: zero(),
            hedges: zero(),
            bisections: zero(),
            requests_in_flight: zero(),
            queue_us: Histogram::new(&TIME_BOUNDS_US),
            batch_rows: Histogram::new(&ROW_BOUNDS),
        }
    }

    pub(super) fn answered(&self, source: PredictionSource, rows: u64) {
        self.sources[source as usize].fetch_add(rows, Relaxed);
    }

    pub(super) fn began(&self, rows: usize, waited: Duration) {
        self.batch_rows.add(rows as u64);
        self.queue_us.add(micros(waited));
    }

    /// Rows answered from a source.
    pub fn rows(&self, source: PredictionSource) -> u64 {
        self.sources[source as usize].load(Relaxed)
    }
}

impl EndpointStats {
    /// Its address, without credentials; the execution provider of an embedded model, once it is open.
    pub fn name(&self) -> &str {
        self.name.get().map_or("", String::as_str)
    }

    pub(super) fn call_it(&self, name: &str) {
        // One that has a name keeps it: a rewind opens the same model again.
        let _ = self.name.set(name.to_owned());
    }

    pub(super) fn ended(&self, result: Result<(), ErrorClass>, took: Duration) {
        match result {
            Ok(()) => {
                self.successes.fetch_add(1, Relaxed);
                self.latency_us.add(micros(took));
            }
            Err(class) => drop(self.failures[class as usize].fetch_add(1, Relaxed)),
        }
    }

    pub(super) fn shows(&self, in_flight: usize, limit: usize, breaker: BreakerState, opened: u64) {
        self.in_flight.store(in_flight as u64, Relaxed);
        self.limit.store(limit as u64, Relaxed);
        let state = match breaker {
            BreakerState::Closed => 0,
            BreakerState::HalfOpen => 1,
            BreakerState::Open => 2,
        };
        self.breaker.store(state, Relaxed);
        self.opened.store(opened, Relaxed);
    }

    /// Failed calls of a class.
    pub fn failures(&self, class: ErrorClass) -> u64 {
        self.failures[class as usize].load(Relaxed)
    }
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_first_bucket_that_holds_it_and_those_behind() {
        let histogram = Histogram::new(&ROW_BOUNDS);
        [1, 2, 3, 1_024, 5_000].into_iter().for_each(|v| histogram.add(v));
        let cumulated: Vec<(u64, u64)> = histogram.cumulated().collect();
        assert_eq!(cumulated[..4], [(1, 1), (2, 2), (4, 3), (8, 3)]);
        assert_eq!((cumulated[9], histogram.count(), histogram.sum()), ((1_024, 4), 5, 6_030));
    }
}
