//! How long to wait before a call is sent again: full jitter, which spreads the retries of many
//! clients best, with `Retry-After` as a floor and the deadline as the end.

use std::time::Duration;

/// `Retry-After` is heeded up to this; a server that asks for more has most likely mixed up units.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Waits between attempts.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    base: Duration,
    max: Duration,
}

impl Backoff {
    /// Waits of at most `base` before the first retry, twice that before the second, … and `max` in the end.
    pub fn new(base: Duration, max: Duration) -> Self {
        Self { base, max }
    }

    /// The longest wait before retry number `retry`; the first is 0.
    pub fn ceiling(&self, retry: u32) -> Duration {
        let factor = 1_u32.checked_shl(retry).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.max)
    }

    /// How long to wait before retry number `retry` (the first is 0), or none when the wait would not
    /// end before the deadline, which is `remaining` away.
    pub fn wait(
        &self,
        retry: u32,
        retry_after: Option<Duration>,
        remaining: Duration,
        rng: &mut fastrand::Rng,
    ) -> Option<Duration> {
        let jittered = self.ceiling(retry).mul_f64(rng.f64());
        let floor = retry_after.unwrap_or_default().min(MAX_RETRY_AFTER);
        Some(jittered.max(floor)).filter(|wait| *wait < remaining)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);
    const LONG: Duration = Duration::from_secs(3_600);

    #[test]
    fn the_longest_wait_doubles_up_to_the_maximum() {
        let backoff = Backoff::new(25 * MS, Duration::from_secs(1));
        let ceilings: Vec<u128> = (0..8).map(|k| backoff.ceiling(k).as_millis()).collect();
        assert_eq!(ceilings, [25, 50, 100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(backoff.ceiling(u32::MAX), Duration::from_secs(1));
    }

    #[test]
    fn waits_fill_the_whole_range() {
        let backoff = Backoff::new(100 * MS, LONG);
        let mut rng = fastrand::Rng::with_seed(1);
        let waits: Vec<f64> =
            (0..10_000).filter_map(|_| backoff.wait(0, None, LONG, &mut rng)).map(|w| w.as_secs_f64()).collect();
        let mean = waits.iter().sum::<f64>() / waits.len() as f64;
        assert!((0.049..0.051).contains(&mean), "{mean}");
        assert!(waits.iter().any(|w| *w < 0.001) && waits.iter().any(|w| *w > 0.099));
    }

    #[test]
    fn retry_after_is_a_floor_with_a_ceiling() {
        let backoff = Backoff::new(25 * MS, LONG);
        let mut rng = fastrand::Rng::with_seed(1);
        let mut wait = |after: Duration, remaining| backoff.wait(0, Some(after), remaining, &mut rng);
        assert_eq!(wait(Duration::from_secs(7), LONG), Some(Duration::from_secs(7)));
        assert_eq!(wait(Duration::MAX, LONG), Some(MAX_RETRY_AFTER));
        assert_eq!(wait(Duration::from_secs(7), Duration::from_secs(7)), None, "the deadline comes first");
    }

    proptest! {
        #[test]
        fn a_wait_is_within_its_bounds(
            base in 0_u64..10_000, max in 0_u64..100_000, retry in 0_u32..100,
            after in proptest::option::of(0_u64..1_000_000), remaining in 0_u64..1_000_000, seed: u64,
        ) {
            let backoff = Backoff::new(base as u32 * MS, max as u32 * MS);
            let after = after.map(Duration::from_millis);
            let remaining = Duration::from_millis(remaining);
            if let Some(wait) = backoff.wait(retry, after, remaining, &mut fastrand::Rng::with_seed(seed)) {
                let floor = after.unwrap_or_default().min(MAX_RETRY_AFTER);
                prop_assert!(wait >= floor && wait < remaining);
                prop_assert!(wait <= backoff.ceiling(retry).max(floor));
                prop_assert!(backoff.ceiling(retry) <= max as u32 * MS);
            }
        }
    }
}
