//! The bound on what is in flight, counted in rows and bytes.
//!
//! A source takes a [`Ticket`] for each block and waits when the budget is used up; that wait is
//! the backpressure. The ticket travels with everything that comes of the block and gives its
//! share back when the last piece is written or dropped. Nothing between a source and a sink can
//! therefore grow without bound, and no worker ever has to wait for another to make room: two
//! workers that send to each other cannot block each other.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Rows and bytes that may be between sources and sinks.
#[derive(Debug)]
pub(crate) struct Budget {
    max_rows: usize,
    max_bytes: usize,
    used: Mutex<Used>,
    freed: Condvar,
    /// The same for those who must not block.
    room: Notify,
}

#[derive(Debug, Default)]
struct Used {
    rows: usize,
    bytes: usize,
    closed: bool,
    paused: bool,
}

/// The budget was closed: nothing more is taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

impl Budget {
    pub(crate) fn new(max_rows: usize, max_bytes: usize) -> Arc<Self> {
        Arc::new(Self { max_rows, max_bytes, used: Mutex::default(), freed: Condvar::new(), room: Notify::new() })
    }

    /// Takes a share, waiting for room. A share larger than the whole budget is given when nothing
    /// else is in flight.
    pub(crate) fn take(self: &Arc<Self>, rows: usize, bytes: usize) -> Result<Arc<Ticket>, Closed> {
        let mut used = self.lock();
        loop {
            if used.closed {
                return Err(Closed);
            }
            let fits = used.rows + rows <= self.max_rows && used.bytes + bytes <= self.max_bytes;
            if !used.paused && (fits || (used.rows == 0 && used.bytes == 0)) {
                used.rows += rows;
                used.bytes += bytes;
                return Ok(Arc::new(Ticket { budget: Arc::clone(self), rows, bytes }));
            }
            used = self.freed.wait(used).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes a share without waiting, more than is left if need be; for those who look at
    /// [`Self::is_full`] before.
    pub(crate) fn overdraw(self: &Arc<Self>, rows: usize, bytes: usize) -> Arc<Ticket> {
        let mut used = self.lock();
        used.rows += rows;
        used.bytes += bytes;
        Arc::new(Ticket { budget: Arc::clone(self), rows, bytes })
    }

    /// Whether nothing is left.
    pub(crate) fn is_full(&self) -> bool {
        let used = self.lock();
        used.rows >= self.max_rows || used.bytes >= self.max_bytes
    }

    /// Comes back when something was given back since the last time.
    pub(crate) async fn room(&self) {
        self.room.notified().await;
    }

    /// Gives nothing for a while, or again.
    pub(crate) fn pause(&self, on: bool) {
        self.lock().paused = on;
        self.freed.notify_all();
    }

    /// From now on nothing is given; those who wait are told.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.freed.notify_all();
    }

    /// Rows in flight.
    pub(crate) fn rows_in_flight(&self) -> usize {
        self.lock().rows
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        // The numbers are consistent at every point where a panic could occur.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A share of the budget, given back on drop.
#[derive(Debug)]
pub(crate) struct Ticket {
    budget: Arc<Budget>,
    rows: usize,
    bytes: usize,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut used = self.budget.lock();
        used.rows -= self.rows;
        used.bytes -= self.bytes;
        drop(used);
        self.budget.freed.notify_all();
        self.budget.room.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_full_budget_makes_the_next_taker_wait_until_a_ticket_is_dropped() {
        let budget = Budget::new(10, 1000);
        let first = budget.take(8, 100).unwrap();
        let other = Arc::clone(&budget);
        let waiter = std::thread::spawn(move || other.take(3, 1).map(|t| t.rows));
        std::thread::sleep(Duration::from_millis(20));
        assert!(!waiter.is_finished());
        drop(first);
        assert_eq!(waiter.join().unwrap(), Ok(3));
        assert_eq!(budget.rows_in_flight(), 0);
    }

    #[test]
    fn bytes_are_bounded_as_rows_are() {
        let budget = Budget::new(1000, 10);
        let first = budget.take(1, 10).unwrap();
        let other = Arc::clone(&budget);
        let waiter = std::thread::spawn(move || other.take(1, 1).is_ok());
        std::thread::sleep(Duration::from_millis(20));
        assert!(!waiter.is_finished());
        drop(first);
        assert!(waiter.join().unwrap());
    }

    #[test]
    fn a_share_larger_than_the_budget_passes_alone() {
        let budget = Budget::new(10, 10);
        let large = budget.take(100, 100).unwrap();
        assert_eq!(budget.rows_in_flight(), 100);
        drop(large);
        assert_eq!(budget.rows_in_flight(), 0);
    }

    #[test]
    fn a_paused_budget_gives_nothing_until_it_goes_on() {
        let budget = Budget::new(10, 1000);
        budget.pause(true);
        let other = Arc::clone(&budget);
        let waiter = std::thread::spawn(move || other.take(1, 1).is_ok());
        std::thread::sleep(Duration::from_millis(20));
        assert!(!waiter.is_finished());
        budget.pause(false);
        assert!(waiter.join().unwrap());
    }

    #[test]
    fn closing_turns_away_those_who_wait() {
        let budget = Budget::new(1, 1);
        let held = budget.take(1, 1).unwrap();
        let other = Arc::clone(&budget);
        let waiter = std::thread::spawn(move || other.take(1, 1).err());
        std::thread::sleep(Duration::from_millis(20));
        budget.close();
        assert_eq!(waiter.join().unwrap(), Some(Closed));
        drop(held);
    }
}
