//! The fastest that a server answers: the least mean of fifty answers in the last while.
//!
//! ```text
//! answers ─▶ fifty together ─▶ their mean ─▶ least of this window ─┐
//!                                            least of the one before ┴▶ the less of the two
//! ```

use std::time::{Duration, Instant};

/// A measurement is remembered for one to two of these: long enough to outlast a queue that builds up,
/// short enough that a server that has become slower for good is soon taken as it is.
const WINDOW: Duration = Duration::from_secs(15);
/// Answers of one measurement: the least of single answers would be that of chance.
const TOGETHER: u32 = 50;

/// The fastest answers of the last while.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fastest {
    answers: u32,
    sum: f64,
    current: f64,
    previous: f64,
    turned: Instant,
}

impl Fastest {
    /// Nothing is known.
    pub(super) fn new(now: Instant) -> Self {
        Self { answers: 0, sum: 0.0, current: f64::INFINITY, previous: f64::INFINITY, turned: now }
    }

    /// An answer took so many seconds. Gives the measurement that it completes, if it does.
    pub(super) fn record(&mut self, seconds: f64) -> Option<f64> {
        self.answers += 1;
        self.sum += seconds;
        if self.answers < TOGETHER {
            return None;
        }
        let mean = self.sum / f64::from(self.answers);
        self.current = self.current.min(mean);
        self.restart();
        Some(mean)
    }

    /// Forgets all but this measurement.
    pub(super) fn set(&mut self, seconds: f64) {
        (self.current, self.previous) = (seconds, f64::INFINITY);
        self.restart();
    }

    /// Begins the measurement at hand anew: the answers to come are of another kind.
    pub(super) fn restart(&mut self) {
        (self.answers, self.sum) = (0, 0.0);
    }

    /// Whether a window has ended, and with it what was known before it is forgotten.
    pub(super) fn turn(&mut self, now: Instant) -> bool {
        let age = now.saturating_duration_since(self.turned);
        if age < WINDOW {
            return false;
        }
        self.previous = if age < 2 * WINDOW { self.current } else { f64::INFINITY };
        self.current = f64::INFINITY;
        self.turned = now;
        true
    }

    /// Seconds of the fastest answers; none while nothing is known.
    pub(super) fn seconds(&self) -> Option<f64> {
        Some(self.current.min(self.previous)).filter(|seconds| seconds.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_mean_is_forgotten_after_two_windows() {
        let start = Instant::now();
        let mut fastest = Fastest::new(start);
        let mut record = |seconds, at| {
            let turned = fastest.turn(start + at * WINDOW / 10);
            let measured = (0..TOGETHER).filter_map(|_| fastest.record(seconds)).collect::<Vec<_>>();
            assert_eq!(measured, [seconds]);
            (turned, fastest.seconds())
        };
        assert_eq!(record(0.5, 0), (false, Some(0.5)));
        assert_eq!(record(0.25, 5), (false, Some(0.25)));
        assert_eq!(record(0.375, 10), (true, Some(0.25)));
        assert_eq!(record(0.625, 19), (false, Some(0.25)));
        assert_eq!(record(0.625, 20), (true, Some(0.375)));
        assert_eq!(record(0.875, 60), (true, Some(0.875)));
    }

    #[test]
    fn fewer_than_fifty_answers_are_no_measurement() {
        let mut fastest = Fastest::new(Instant::now());
        (0..49).for_each(|_| assert_eq!(fastest.record(1.0), None));
        fastest.restart();
        (0..49).for_each(|_| assert_eq!(fastest.record(3.0), None));
        assert_eq!(fastest.seconds(), None);
        assert_eq!(fastest.record(3.0), Some(3.0));
        assert_eq!(fastest.seconds(), Some(3.0));
        fastest.set(5.0);
        assert_eq!(fastest.seconds(), Some(5.0));
    }
}
