//! Exact counts of the last while, in ten buckets: what is older than the window is forgotten, a
//! tenth of the window at a time. An average that fades would hide a burst behind what came before it.

use std::ops::{AddAssign, SubAssign};
use std::time::{Duration, Instant};

/// Buckets of a window. The oldest tenth may be cut off early; finer ones cost memory, coarser ones
/// forget in jumps.
pub(super) const BUCKETS: usize = 10;

/// Counts of the last while.
#[derive(Clone, Debug)]
pub(super) struct Window<T> {
    bucket: Duration,
    start: Instant,
    /// Number of the bucket that is being filled, counted from `start`.
    head: u64,
    buckets: [T; BUCKETS],
    sum: T,
}

impl<T: Copy + Default + AddAssign + SubAssign> Window<T> {
    /// An empty window of `length`.
    pub(super) fn new(length: Duration, now: Instant) -> Self {
        let bucket = (length / BUCKETS as u32).max(Duration::from_nanos(1));
        Self { bucket, start: now, head: 0, buckets: [T::default(); BUCKETS], sum: T::default() }
    }

    /// Counts something.
    pub(super) fn add(&mut self, now: Instant, what: T) {
        self.advance(now);
        if let Some(bucket) = self.buckets.get_mut((self.head % BUCKETS as u64) as usize) {
            *bucket += what;
            self.sum += what;
        }
    }

    /// All that is in the window.
    pub(super) fn sum(&mut self, now: Instant) -> T {
        self.advance(now);
        self.sum
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.buckets = [T::default(); BUCKETS];
        self.sum = T::default();
    }

    /// Empties the buckets that time has passed over. A clock that stands still or goes back leaves
    /// all as it is.
    fn advance(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.start).as_nanos();
        let head = u64::try_from(elapsed / self.bucket.as_nanos()).unwrap_or(u64::MAX);
        if head <= self.head {
            return;
        }
        if head - self.head >= BUCKETS as u64 {
            self.clear();
        } else {
            for passed in self.head + 1..=head {
                if let Some(bucket) = self.buckets.get_mut((passed % BUCKETS as u64) as usize) {
                    self.sum -= std::mem::take(bucket);
                }
            }
        }
        self.head = head;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut window = Window::<u32>::new(Duration::from_secs(1), start);
        window.add(at(50), 1);
        window.add(at(150), 10);
        window.add(at(999), 100);
        assert_eq!(window.sum(at(999)), 111);
        assert_eq!(window.sum(at(1_000)), 110, "the bucket of 0 to 100 ms");
        assert_eq!(window.sum(at(1_099)), 110);
        assert_eq!(window.sum(at(1_100)), 100);
        assert_eq!(window.sum(at(500)), 100, "a clock that goes back changes nothing");
        assert_eq!(window.sum(at(1_899)), 100);
        assert_eq!(window.sum(at(1_900)), 0);
        window.add(at(1_000_000), 7);
        assert_eq!(window.sum(at(1_000_000)), 7);
        window.clear();
        assert_eq!(window.sum(at(1_000_000)), 0);
    }

    proptest! {
        #[test]
        fn it_counts_what_a_list_of_all_events_counts(events in prop::collection::vec((0_u64..400, 1_u32..5), 1..200)) {
            let start = Instant::now();
            let mut window = Window::<u32>::new(Duration::from_millis(1_000), start);
            let (mut clock, mut all) = (0, Vec::new());
            for (gap, what) in events {
                clock += gap;
                window.add(start + Duration::from_millis(clock), what);
                all.push((clock, what));
                let oldest = (clock / 100).saturating_sub(9) * 100;
                let expected: u32 = all.iter().filter(|(at, _)| *at >= oldest).map(|(_, what)| what).sum();
                prop_assert_eq!(window.sum(start + Duration::from_millis(clock)), expected);
            }
        }
    }
}
