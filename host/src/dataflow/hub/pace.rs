//! When rows leave in rounds. A block costs more than a row, in the hub and behind it, so where many
//! rows are answered one by one they leave together, about once a millisecond; where they are few, each
//! leaves at once.

use std::time::{Duration, Instant};

/// Time between rounds. Timers have no finer grain, so it comes to one and a half on average.
const ROUND: Duration = Duration::from_millis(1);
/// Rows a millisecond that are many.
const MANY: u128 = 8;
/// Time over which they are counted.
const WINDOW: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct Pace {
    since: Instant,
    /// That left since then.
    rows: usize,
    rounds: bool,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, rows: 0, rounds: false }
    }

    /// So many rows leave.
    pub(super) fn count(&mut self, rows: usize) {
        self.rows += rows;
    }

    /// How long others are waited for before the next leave; none when they are few.
    pub(super) fn round(&mut self, now: Instant) -> Option<Duration> {
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed >= WINDOW {
            self.rounds = self.rows as u128 >= elapsed.as_millis() * MANY;
            (self.since, self.rows) = (now, 0);
        }
        self.rounds.then_some(ROUND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn rows_leave_in_rounds_while_they_are_many() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.count(79);
        assert_eq!(pace.round(start + 10 * MS), None);
        pace.count(80);
        assert_eq!(pace.round(start + 20 * MS), Some(ROUND));
        assert_eq!(pace.round(start + 21 * MS), Some(ROUND), "until the next are counted");
        assert_eq!(pace.round(start + 30 * MS), None);
    }

    #[test]
    fn many_rows_at_once_after_a_pause_are_not_many() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.count(500);
        assert_eq!(pace.round(start + 1_000 * MS), None);
    }
}
