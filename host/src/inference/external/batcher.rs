//! Which rows go into the next request, and when: a queue that keeps no slot waiting.
//!
//! As long as a request can be sent at once, it is, with whatever is there. Rows wait for others only
//! when they had to wait anyway: behind a full house, up to `max_delay`, and never so long that their
//! answer would come too late.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::BatchConfig;

/// A row in the queue.
#[derive(Debug)]
struct Waiting<R> {
    row: R,
    since: Instant,
}

#[derive(Debug)]
pub(super) struct Batcher<R> {
    config: BatchConfig,
    queue: VecDeque<Waiting<R>>,
    /// Rows up to here found no slot free when they came.
    delayed: usize,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Send so many rows.
    Send(usize),
    /// Look again then, or when something changes.
    Wait(Instant),
    /// Nothing is there, or no slot.
    Nothing,
}

impl<R> Batcher<R> {
    pub(super) fn new(config: BatchConfig) -> Self {
        Self { config, queue: VecDeque::new(), delayed: 0 }
    }

    /// Takes a row; `free` says whether a request could be sent at once.
    pub(super) fn push(&mut self, row: R, free: bool, now: Instant) {
        self.queue.push_back(Waiting { row, since: now });
        if !free {
            self.delayed = self.queue.len();
        }
    }

    /// What is to be done. `slots` is the number of requests that can be sent at once, `patience` how
    /// long the oldest row may still wait if its answer is to come in time.
    pub(super) fn next(&self, slots: usize, patience: Option<Duration>, now: Instant) -> Next {
        let Some(oldest) = self.queue.front() else { return Next::Nothing };
        if slots == 0 {
            return Next::Nothing;
        }
        let most = self.config.max_rows.max(1);
        let due = oldest.since + self.config.max_delay.min(patience.unwrap_or(Duration::MAX));
        if self.queue.len() >= most || self.delayed == 0 || now >= due {
            return Next::Send(self.queue.len().min(most));
        }
        Next::Wait(due)
    }

    /// How many of the oldest rows, of `count` at most, are like the first.
    pub(super) fn alike<K: PartialEq>(&self, count: usize, of: impl Fn(&R) -> K) -> usize {
        let Some(first) = self.queue.front().map(|w| of(&w.row)) else { return 0 };
        self.queue.iter().take(count).take_while(|w| of(&w.row) == first).count()
    }

    /// Takes the oldest rows out, each with the time since which it waited.
    pub(super) fn take(&mut self, count: usize) -> impl Iterator<Item = (R, Instant)> {
        self.delayed = self.delayed.saturating_sub(count);
        self.queue.drain(..count.min(self.queue.len())).map(|w| (w.row, w.since))
    }

    /// How many of the oldest rows came before `then`.
    pub(super) fn older(&self, then: Instant) -> usize {
        self.queue.iter().take_while(|w| w.since <= then).count()
    }

    /// Since when the oldest row waits.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.queue.front().map(|w| w.since)
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn batcher(max_rows: usize, max_delay: Duration) -> Batcher<u32> {
        Batcher::new(BatchConfig { max_rows, max_delay })
    }

    #[test]
    fn with_a_slot_free_rows_are_sent_at_once() {
        let now = Instant::now();
        let mut b = batcher(4, 10 * MS);
        assert_eq!(b.next(1, None, now), Next::Nothing);
        b.push(1, true, now);
        assert_eq!(b.next(1, None, now), Next::Send(1));
        (2..=6).for_each(|i| b.push(i, true, now));
        assert_eq!(b.next(1, None, now), Next::Send(4));
        assert_eq!(b.take(4).map(|(r, _)| r).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(b.next(1, None, now), Next::Send(2));
    }

    #[test]
    fn rows_that_had_to_wait_wait_for_others_up_to_the_delay() {
        let now = Instant::now();
        let mut b = batcher(3, 10 * MS);
        b.push(1, false, now);
        assert_eq!(b.next(0, None, now), Next::Nothing);
        assert_eq!(b.next(1, None, now + MS), Next::Wait(now + 10 * MS));
        b.push(2, true, now + MS);
        assert_eq!(b.next(1, None, now + 2 * MS), Next::Wait(now + 10 * MS));
        assert_eq!(b.next(1, None, now + 10 * MS), Next::Send(2));
        b.push(3, true, now + 3 * MS);
        assert_eq!(b.next(1, None, now + 3 * MS), Next::Send(3));
    }

    #[test]
    fn nobody_waits_so_long_that_the_answer_would_come_too_late() {
        let now = Instant::now();
        let mut b = batcher(3, 100 * MS);
        b.push(1, false, now);
        assert_eq!(b.next(1, Some(7 * MS), now), Next::Wait(now + 7 * MS));
        assert_eq!(b.next(1, Some(Duration::ZERO), now), Next::Send(1));
    }

    #[test]
    fn without_a_delay_a_free_slot_takes_what_is_there() {
        let now = Instant::now();
        let mut b = batcher(32, Duration::ZERO);
        (0..5).for_each(|i| b.push(i, false, now));
        assert_eq!(b.next(1, None, now), Next::Send(5));
    }

    #[test]
    fn rows_that_are_alike_are_counted_up_to_the_first_that_is_not() {
        let mut b = batcher(32, Duration::ZERO);
        assert_eq!(b.alike(9, |row| row % 2), 0);
        [1, 3, 5, 6, 7].into_iter().for_each(|row| b.push(row, true, Instant::now()));
        assert_eq!([9, 2].map(|count| b.alike(count, |row| row % 2)), [3, 2]);
    }

    #[test]
    fn rows_that_wait_too_long_are_found() {
        let now = Instant::now();
        let mut b = batcher(32, Duration::ZERO);
        (0..5).for_each(|i| b.push(i, false, now + i * MS));
        assert_eq!((b.older(now), b.older(now + 2 * MS), b.oldest()), (1, 3, Some(now)));
        assert_eq!(b.take(3).map(|(_, since)| since).max(), Some(now + 2 * MS));
        assert_eq!((b.len(), b.delayed), (2, 2));
    }
}
