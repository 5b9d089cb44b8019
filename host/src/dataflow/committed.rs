//! The newest committed epoch, for those who wait for one: a source that must give a partition up.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
pub(crate) struct Committed {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    epoch: u64,
    closed: bool,
}

impl Committed {
    pub(crate) fn set(&self, epoch: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.epoch = state.epoch.max(epoch);
        drop(state);
        self.changed.notify_all();
    }

    /// No epoch will be committed any more.
    pub(crate) fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_all();
    }

    /// Waits until `epoch` is committed; false when it is not after `patience`, or never will be.
    pub(crate) fn wait(&self, epoch: u64, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.epoch < epoch && !state.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.epoch >= epoch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn who_waits_is_told_of_the_commit_and_of_the_end() {
        let committed = Arc::new(Committed::default());
        let wait = |epoch| {
            let committed = Arc::clone(&committed);
            std::thread::spawn(move || committed.wait(epoch, Duration::from_secs(60)))
        };
        let (second, third) = (wait(2), wait(3));
        committed.set(1);
        assert!(!committed.wait(2, Duration::from_millis(1)));
        committed.set(2);
        assert!(second.join().unwrap());
        committed.close();
        assert!(!third.join().unwrap());
    }
}
