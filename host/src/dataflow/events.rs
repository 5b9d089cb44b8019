//! What the threads of a pipeline and those outside of it tell the coordinator.

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::endpoint::Prepared;
use super::failure::Failure;
use crate::record::InFlight;
use crate::state::DirtySlots;

/// What the coordinator hears.
#[derive(Debug)]
pub enum Event {
    /// A source has come to its end, or failed.
    SourceDone(usize, Result<(), Failure>),
    /// A keyed stage of a worker has passed the barrier of an epoch.
    HandedOver {
        /// The epoch.
        epoch: u64,
        /// State that changed in it.
        dirty: Vec<DirtySlots>,
        /// Watermark of the stage in milliseconds since the Unix epoch; `i64::MIN` without one.
        watermark: i64,
        /// Newest event time by source and number of the partition, as far as the stage knows it.
        newest: Vec<Vec<i64>>,
    },
    /// An asynchronous operator has passed the barrier of an epoch.
    InFlight {
        /// The epoch.
        epoch: u64,
        /// Index of the operator.
        operator: usize,
        /// Rows that it has not handed on.
        rows: Vec<InFlight>,
        /// As of [`Event::HandedOver`].
        watermark: i64,
        /// As of [`Event::HandedOver`].
        newest: Vec<Vec<i64>>,
    },
    /// A sink has all of an epoch.
    Prepared {
        /// The epoch.
        epoch: u64,
        /// Index of the sink.
        sink: usize,
        /// What it has.
        prepared: Prepared,
    },
    /// Too much changed state, or a new generation, waits for the next barrier.
    NeedsBarrier,
    /// Stop reading, finish what is in flight, and end.
    Drain,
    /// A thread of the pipeline could not go on.
    Failed(Failure),
}

/// A way to reach the coordinator from outside.
#[derive(Clone, Debug)]
pub struct Handle(Sender<Event>);

impl Handle {
    /// Stops reading; what is in flight is finished and written.
    pub fn drain(&self) {
        let _ = self.0.send(Event::Drain);
    }

    /// Asks for a barrier now.
    pub fn request_barrier(&self) {
        let _ = self.0.send(Event::NeedsBarrier);
    }
}

/// The channel between a pipeline's threads and its coordinator; made first, so that others can
/// hold a [`Handle`] before the pipeline runs.
#[derive(Debug)]
pub struct Events(pub(super) Sender<Event>, pub(super) Receiver<Event>);

impl Default for Events {
    fn default() -> Self {
        let (sender, receiver) = unbounded();
        Self(sender, receiver)
    }
}

impl Events {
    /// A handle on the coordinator.
    pub fn handle(&self) -> Handle {
        Handle(self.0.clone())
    }
}
