//! An open-loop schedule: row `i` is due at the start plus `i / rate`, whether or not anybody kept
//! up with the rows before. So a slow pipeline shows as latency, not as fewer rows.

use std::time::{Duration, Instant};

/// A sleeping thread is woken this much too late by default (timer slack); the rest is waited for
/// on the processor.
const SLACK: Duration = Duration::from_micros(60);

/// Longest sleep before looking whether the pipeline was stopped.
const LOOK: Duration = Duration::from_millis(50);

/// When rows are due.
#[derive(Debug)]
pub(super) struct Pace {
    start: Instant,
    /// Rows a second; `None` is at once.
    rate: Option<u64>,
}

impl Pace {
    pub fn new(start: Instant, rate: Option<u64>) -> Self {
        Self { start, rate }
    }

    /// When row number `row`, from 0, is due.
    pub fn due(&self, row: u64) -> Instant {
        let Some(rate) = self.rate else { return Instant::now() };
        let nanos = u128::from(row) * 1_000_000_000 / u128::from(rate.max(1));
        let after = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.start.checked_add(after).unwrap_or(self.start)
    }

    /// How many rows are due at `now`.
    pub fn rows_due(&self, now: Instant) -> u64 {
        let Some(rate) = self.rate else { return u64::MAX };
        let passed = now.saturating_duration_since(self.start).as_nanos();
        // One more: row 0 is due at the start.
        u64::try_from(passed * u128::from(rate.max(1)) / 1_000_000_000).map_or(u64::MAX, |rows| rows.saturating_add(1))
    }

    /// Waits until row number `row` is due; false when `stopped` says so before.
    pub fn wait(&self, row: u64, stopped: impl Fn() -> bool) -> bool {
        let due = self.due(row);
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            if left <= SLACK {
                std::hint::spin_loop();
                continue;
            }
            if stopped() {
                return false;
            }
            std::thread::sleep((left - SLACK).min(LOOK));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_due_by_the_clock_and_not_by_what_was_sent() {
        let start = Instant::now();
        let pace = Pace::new(start, Some(1000));
        assert_eq!(pace.due(0), start);
        assert_eq!(pace.due(1500), start + Duration::from_millis(1500));
        assert_eq!(pace.rows_due(start), 1);
        assert_eq!(pace.rows_due(start + Duration::from_micros(999)), 1);
        assert_eq!(pace.rows_due(start + Duration::from_secs(2)), 2001);
    }

    #[test]
    fn a_row_that_is_due_is_among_the_rows_due() {
        let start = Instant::now();
        for rate in [1, 3, 7, 1000, 999_983] {
            let pace = Pace::new(start, Some(rate));
            for row in [0, 1, 2, 10, 12_345] {
                let rows = pace.rows_due(pace.due(row) + Duration::from_nanos(1));
                assert_eq!(rows, row + 1, "row {row} at {rate} a second");
            }
        }
    }

    #[test]
    fn waiting_ends_when_the_pipeline_is_stopped() {
        let pace = Pace::new(Instant::now() + Duration::from_secs(3600), Some(1));
        assert!(!pace.wait(0, || true));
    }
}
