//! How an asynchronous operator says that it is done with rows, from whatever thread.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// The way back from an operator to its hub.
#[derive(Clone, Debug, Default)]
pub struct Completions(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    done: Mutex<Vec<u64>>,
    wake: Notify,
}

impl Completions {
    /// The operator is done with these rows, and says what became of them when it is asked.
    pub fn complete(&self, ids: impl IntoIterator<Item = u64>) {
        self.0.done.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
        self.0.wake.notify_one();
    }

    /// There may be room again.
    pub fn nudge(&self) {
        self.0.wake.notify_one();
    }

    pub(super) async fn wait(&self) {
        self.0.wake.notified().await;
    }

    /// Exchanges the rows that are done for an empty list.
    pub(super) fn take(&self, into: &mut Vec<u64>) {
        into.clear();
        std::mem::swap(&mut *self.0.done.lock().unwrap_or_else(PoisonError::into_inner), into);
    }
}
