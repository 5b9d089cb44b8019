//! A hand on a run from outside, through all its attempts: a signal that comes while a pipeline is
//! being rewound drains it as soon as it runs again.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::dataflow::Handle;

/// Stops a run, or asks it for a barrier.
#[derive(Debug, Default)]
pub struct Control(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    drained: bool,
    current: Option<Handle>,
}

impl Control {
    /// Stops reading; what is in flight is finished and written.
    pub fn drain(&self) {
        let mut state = self.lock();
        state.drained = true;
        state.current.iter().for_each(Handle::drain);
    }

    /// Whether it was asked to stop.
    pub fn drained(&self) -> bool {
        self.lock().drained
    }

    /// Whether rows flow; not while it starts or is rewound.
    pub fn running(&self) -> bool {
        self.lock().current.is_some()
    }

    /// Asks for a barrier now.
    pub(super) fn request_barrier(&self) {
        self.lock().current.iter().for_each(Handle::request_barrier);
    }

    /// An attempt begins.
    pub(super) fn attach(&self, handle: Handle) {
        let mut state = self.lock();
        if state.drained {
            handle.drain();
        }
        state.current = Some(handle);
    }

    /// An attempt has ended.
    pub(super) fn detach(&self) {
        self.lock().current = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
