//! The bound on what the workers have before them.
//!
//! A barrier stands behind the blocks that the workers are not done with, so they are what an epoch
//! waits for when the workers are busy. All that many of them are good for is that no worker waits for
//! a source, or for another worker that is a little behind; a few blocks a worker do that, however much
//! more the [budget](super::budget) leaves for what sinks and asynchronous operators have under way. A
//! source takes a place for each block and waits while there is none. The place travels with the parts
//! of the block from worker to worker, and is given up when the last one is done.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::Config;
use super::budget::Closed;

/// Full blocks for each worker: one in hand, one that another worker is a block behind with, one that
/// is taken next, and one until the source, which hears of that, has made another.
const FULL: usize = 4;
/// How many small blocks stand for a full one. A source that need not wait hands over what is there,
/// be it one row; the blocks of one that waits grow.
const SMALL: usize = 8;

#[derive(Debug)]
pub(crate) struct Queue {
    max: Length,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    length: Length,
    closed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Length {
    blocks: usize,
    rows: usize,
    bytes: usize,
}

impl Length {
    /// The longest that a queue may be.
    fn longest(config: &Config) -> Self {
        let full = FULL * config.workers.max(1);
        Self { blocks: SMALL * full, rows: full * config.batch_rows, bytes: full * config.batch_bytes }
    }

    /// Whether a block may stand in a queue of this length. One that is longer than any queue may
    /// stand alone.
    fn takes(self, rows: usize, bytes: usize, longest: Self) -> bool {
        let within =
            self.blocks < longest.blocks && self.rows + rows <= longest.rows && self.bytes + bytes <= longest.bytes;
        within || self.blocks == 0
    }
}

impl Queue {
    pub(crate) fn new(config: &Config) -> Arc<Self> {
        Arc::new(Self { max: Length::longest(config), state: Mutex::default(), freed: Condvar::new() })
    }

    /// Takes a place, waiting for one.
    pub(crate) fn take(self: &Arc<Self>, rows: usize, bytes: usize) -> Result<Queued, Closed> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return Err(Closed);
            }
            if state.length.takes(rows, bytes, self.max) {
                let Length { blocks, rows: before, bytes: below } = state.length;
                state.length = Length { blocks: blocks + 1, rows: before + rows, bytes: below + bytes };
                return Ok(Queued { queue: Arc::clone(self), rows, bytes });
            }
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// From now on nobody is let in; those who wait are told.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.freed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The numbers are consistent at every point where a panic could occur.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue, given up on drop.
#[derive(Debug)]
pub(crate) struct Queued {
    queue: Arc<Queue>,
    rows: usize,
    bytes: usize,
}

impl Drop for Queued {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        let Length { blocks, rows, bytes } = state.length;
        state.length = Length { blocks: blocks - 1, rows: rows - self.rows, bytes: bytes - self.bytes };
        drop(state);
        self.queue.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn config(workers: usize) -> Config {
        Config {
            workers,
            max_in_flight_rows: 65_536,
            max_in_flight_bytes: 16 << 20,
            batch_rows: 10,
            batch_bytes: 1_000,
            checkpoint_interval: Duration::from_secs(1),
        }
    }

    #[test]
    fn a_queue_takes_four_full_blocks_a_worker_and_more_small_ones() {
        let longest = Length::longest(&config(3));
        assert_eq!(longest, Length { blocks: 96, rows: 120, bytes: 12_000 });
        let filled = Length { blocks: 11, rows: 110, bytes: 11_000 };
        assert!(filled.takes(10, 1_000, longest));
        assert!(!filled.takes(11, 1_000, longest));
        assert!(!filled.takes(10, 1_001, longest));
        let many = |blocks| Length { blocks, rows: 0, bytes: 0 };
        assert!(many(95).takes(1, 1, longest));
        assert!(!many(96).takes(1, 1, longest));
    }

    #[test]
    fn a_block_longer_than_the_queue_stands_alone() {
        let longest = Length::longest(&config(1));
        assert!(Length::default().takes(1_000, 1 << 20, longest));
        assert!(!Length { blocks: 1, rows: 1, bytes: 1 }.takes(1_000, 1, longest));
    }

    #[test]
    fn who_finds_no_place_waits_until_one_is_given_up() {
        let queue = Queue::new(&config(1));
        let first = queue.take(10, 1).unwrap();
        let _others = [10, 10, 10].map(|rows| queue.take(rows, 1).unwrap());
        let other = Arc::clone(&queue);
        let waiter = std::thread::spawn(move || other.take(1, 1).map(|place| place.rows));
        std::thread::sleep(Duration::from_millis(20));
        assert!(!waiter.is_finished());
        drop(first);
        assert_eq!(waiter.join().unwrap(), Ok(1));
    }

    #[test]
    fn closing_turns_away_those_who_wait() {
        let queue = Queue::new(&config(1));
        let _held = queue.take(100, 1).unwrap();
        let other = Arc::clone(&queue);
        let waiter = std::thread::spawn(move || other.take(1, 1).err());
        std::thread::sleep(Duration::from_millis(20));
        queue.close();
        assert_eq!(waiter.join().unwrap(), Some(Closed));
    }
}
