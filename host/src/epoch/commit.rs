//! What the coordinator gathers of an epoch, and what it wants done with it.

use std::time::{Duration, Instant};

use crate::dataflow::{Failure, Prepared, Standing};
use crate::record::InFlight;
use crate::state::DirtySlots;

/// Everything that belongs to an epoch.
#[derive(Debug)]
pub struct Gathered {
    /// Its number.
    pub epoch: u64,
    /// By source: where its partitions go on in the next epoch.
    pub positions: Vec<Vec<Standing>>,
    /// State that changed.
    pub dirty: Vec<DirtySlots>,
    /// Index of each asynchronous operator, and the rows that it has not answered yet.
    pub in_flight: Vec<(usize, Vec<InFlight>)>,
    /// The least of all keyed stages: what has expired by it, no operator can still read.
    pub watermark: Option<i64>,
    /// Index of each sink and what it has.
    pub sinks: Vec<(usize, Prepared)>,
    /// When its barrier was put in.
    pub began: Instant,
    /// From then until everything was here.
    pub barrier: Duration,
}

impl Gathered {
    pub(super) fn new(epoch: u64, positions: Vec<Vec<Standing>>, began: Instant) -> Self {
        let (dirty, in_flight, sinks) = (Vec::new(), Vec::new(), Vec::new());
        Self { epoch, positions, dirty, in_flight, watermark: None, sinks, began, barrier: Duration::ZERO }
    }

    /// What a keyed stage of a worker has.
    pub(super) fn hand_over(&mut self, dirty: Vec<DirtySlots>, watermark: i64, newest: &[Vec<i64>]) {
        self.dirty.extend(dirty.into_iter().filter(|d| !d.is_empty()));
        self.watermark = Some(self.watermark.map_or(watermark, |w| w.min(watermark)));
        for (positions, newest) in self.positions.iter_mut().zip(newest) {
            for Standing { number, position, .. } in positions {
                if let Some(&time) = newest.get(*number as usize) {
                    position.newest_event_time = position.newest_event_time.max(time);
                }
            }
        }
    }
}

/// What was done with an epoch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// Its number.
    pub epoch: u64,
    /// The newest epoch that is in the store; of those behind it, the store has nothing yet.
    pub applied: u64,
    /// Whether it left a record; one in which nothing changed does not.
    pub recorded: bool,
    /// From its barrier until everything was gathered.
    pub barrier: Duration,
    /// In the queue behind the epoch before it.
    pub queue: Duration,
    /// Until its record was durable.
    pub prepare: Duration,
    /// Until it was decided.
    pub commit: Duration,
    /// Until the store had taken its state.
    pub apply: Duration,
    /// Bytes of its record.
    pub bytes: u64,
}

/// Makes epochs durable, one after the other, on a thread of its own.
pub trait Commit: Send {
    /// Prepares, commits and applies an epoch.
    ///
    /// # Errors
    /// When that fails, or is uncertain; nothing after it may be committed then.
    fn commit(&mut self, gathered: Gathered) -> Result<Done, Failure>;

    /// Whether a restart asks again for what was in flight: then a run may end without its answers.
    fn remembers(&self) -> bool {
        true
    }

    /// The run has ended well.
    fn close(&mut self) {}

    /// Lets go of those who wait for a commit, called from another thread.
    fn interrupt(&self) -> Box<dyn Fn() + Send> {
        Box::new(|| {})
    }
}

/// For a pipeline that remembers nothing.
#[derive(Debug, Default)]
pub struct Forget;

impl Commit for Forget {
    fn commit(&mut self, gathered: Gathered) -> Result<Done, Failure> {
        for (_, prepared) in gathered.sinks {
            drop(prepared.sync);
        }
        let epoch = gathered.epoch;
        Ok(Done { epoch, applied: epoch, recorded: true, barrier: gathered.barrier, ..Done::default() })
    }

    fn remembers(&self) -> bool {
        false
    }
}
