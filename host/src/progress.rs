//! How far a run is: counters that the dataflow writes once a batch and the progress line reads
//! ten times a second, and events worth a line. Nothing here ever waits for the reader.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Events kept for a reader that is behind; older ones are dropped and counted.
const MAX_EVENTS: usize = 256;

/// Counters and events of one run.
#[derive(Debug, Default)]
pub struct Progress {
    /// Rows read.
    pub rows_in: AtomicU64,
    /// Rows written by sinks.
    pub rows_out: AtomicU64,
    /// Rows that became dead letters.
    pub dead_letters: AtomicU64,
    /// Rows between sources and sinks now.
    pub in_flight: AtomicU64,
    /// Bytes read, as stored.
    pub bytes_in: AtomicU64,
    /// Bytes there are to read; 0 when it is not known.
    pub total_bytes: AtomicU64,
    /// Median latency of late, in microseconds.
    pub p50_us: AtomicU64,
    /// 99th percentile of late, in microseconds.
    pub p99_us: AtomicU64,
    events: Mutex<Events>,
}

#[derive(Debug, Default)]
struct Events {
    lines: VecDeque<String>,
    dropped: usize,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// See [`Progress::rows_in`].
    pub rows_in: u64,
    /// See [`Progress::rows_out`].
    pub rows_out: u64,
    /// See [`Progress::dead_letters`].
    pub dead_letters: u64,
    /// See [`Progress::in_flight`].
    pub in_flight: u64,
    /// See [`Progress::bytes_in`].
    pub bytes_in: u64,
    /// See [`Progress::total_bytes`].
    pub total_bytes: u64,
    /// See [`Progress::p50_us`].
    pub p50_us: u64,
    /// See [`Progress::p99_us`].
    pub p99_us: u64,
}

impl Progress {
    /// The counters now; each is exact, together they may be a batch apart.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            rows_in: self.rows_in.load(Relaxed),
            rows_out: self.rows_out.load(Relaxed),
            dead_letters: self.dead_letters.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            total_bytes: self.total_bytes.load(Relaxed),
            p50_us: self.p50_us.load(Relaxed),
            p99_us: self.p99_us.load(Relaxed),
        }
    }

    /// Tells the user of an event, such as `user-features: generation 2 (1.1.0) since epoch 5`.
    pub fn event(&self, line: impl Into<String>) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.lines.len() >= MAX_EVENTS {
            events.lines.pop_front();
            events.dropped += 1;
        }
        events.lines.push_back(line.into());
    }

    /// Takes the events since the last call.
    pub fn take_events(&self) -> Vec<String> {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let dropped = std::mem::take(&mut events.dropped);
        let note = (dropped > 0).then(|| format!("{dropped} earlier events are not shown"));
        note.into_iter().chain(events.lines.drain(..)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_once_and_bounded() {
        let progress = Progress::default();
        for i in 0..MAX_EVENTS + 3 {
            progress.event(format!("event {i}"));
        }
        let events = progress.take_events();
        assert_eq!(events.len(), MAX_EVENTS + 1);
        assert_eq!(events[0], "3 earlier events are not shown");
        assert_eq!(events[1], "event 3");
        assert!(progress.take_events().is_empty());
    }
}
