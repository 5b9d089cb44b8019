//! The coordinator puts barriers into the stream, gathers what each part reports of an epoch, and
//! applies complete epochs to the store. It also decides when the pipeline ends: at the end of all
//! sources, on request, or at the first failure.
//!
//! One epoch is being gathered or applied at a time; the next barrier waits for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;

use crate::dataflow::{Event, Failure, Network};
use crate::state::{DirtySlots, Store};

/// Runs a pipeline to its end.
pub struct Coordinator<'a> {
    network: Network,
    store: Option<Arc<Store>>,
    interval: Duration,
    /// Called with the number of an epoch before it begins: the moment to settle which
    /// generations it runs under.
    before_epoch: Box<dyn FnMut(u64) + 'a>,
    /// The epoch that sources are in.
    epoch: u64,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All sources came to their end.
    Completed,
    /// It was asked to stop, and drained.
    Drained,
}

/// An epoch between its barrier and its commit.
struct Gathering {
    epoch: u64,
    missing: usize,
    dirty: Vec<DirtySlots>,
    /// The least of all stages: what has expired by it, no operator can still read.
    watermark: i64,
}

impl<'a> Coordinator<'a> {
    /// `epoch` is the first epoch of the run.
    pub fn new(
        network: Network,
        store: Option<Arc<Store>>,
        interval: Duration,
        epoch: u64,
        before_epoch: impl FnMut(u64) + 'a,
    ) -> Self {
        Self { network, store, interval, before_epoch: Box::new(before_epoch), epoch }
    }

    /// Runs until the pipeline ends.
    ///
    /// # Errors
    /// The first failure of a part. Epochs committed before it are in the store.
    pub fn run(mut self) -> Result<Outcome, Failure> {
        let outcome = self.steer();
        let closed = self.network.finish();
        let outcome = outcome?;
        closed?;
        if let Some(store) = &self.store {
            store.flush().map_err(|e| Failure::new("state", e))?;
        }
        Ok(outcome)
    }

    fn steer(&mut self) -> Result<Outcome, Failure> {
        let mut running = self.network.sources();
        let mut gathering: Option<Gathering> = None;
        let mut due = Instant::now() + self.interval;
        let mut outcome = Outcome::Completed;
        let mut last = false;
        // Why a source ended early: what was read before is finished, then the run fails with it.
        let mut failed: Option<Failure> = None;
        loop {
            if gathering.is_none() {
                if last {
                    return failed.map_or(Ok(outcome), Err);
                }
                if running == 0 || Instant::now() >= due {
                    // Behind the last row of all sources comes the barrier that ends the run.
                    last = running == 0;
                    gathering = Some(self.begin_barrier());
                    due = Instant::now() + self.interval;
                    continue;
                }
            }
            let event = match self.network.events().recv_deadline(due) {
                Ok(event) => event,
                Err(RecvTimeoutError::Timeout) if gathering.is_some() => {
                    // The barrier of an interval that is over waits for the epoch before it.
                    due = Instant::now() + self.interval.min(Duration::from_millis(10));
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Err(Failure::new("pipeline", "all threads are gone")),
            };
            let mut complete = false;
            match event {
                Event::SourceDone(_, result) => {
                    running = running.saturating_sub(1);
                    if let Err(failure) = result {
                        self.network.stop_sources();
                        running = 0;
                        failed.get_or_insert(failure);
                    }
                }
                Event::Failed(failure) => return Err(failure),
                Event::NeedsBarrier => due = Instant::now(),
                Event::Drain => {
                    self.network.stop_sources();
                    if running > 0 {
                        outcome = Outcome::Drained;
                    }
                    running = 0;
                }
                Event::HandedOver { epoch, dirty, watermark } => {
                    if let Some(g) = gathering.as_mut().filter(|g| g.epoch == epoch) {
                        g.dirty.extend(dirty);
                        g.watermark = g.watermark.min(watermark);
                        g.missing -= 1;
                        complete = g.missing == 0;
                    }
                }
                Event::Flushed { epoch } => {
                    if let Some(g) = gathering.as_mut().filter(|g| g.epoch == epoch) {
                        g.missing -= 1;
                        complete = g.missing == 0;
                    }
                }
            }
            if complete && let Some(g) = gathering.take() {
                self.commit(g)?;
            }
        }
    }

    fn begin_barrier(&mut self) -> Gathering {
        let epoch = self.epoch;
        self.epoch += 1;
        // Settled before any row of the next epoch exists, so that every worker sees the same.
        (self.before_epoch)(self.epoch);
        self.network.barrier();
        Gathering { epoch, missing: self.network.reports(), dirty: Vec::new(), watermark: i64::MAX }
    }

    fn commit(&mut self, gathered: Gathering) -> Result<(), Failure> {
        if let Some(store) = &self.store {
            store.apply(gathered.epoch, &gathered.dirty).map_err(|e| Failure::new("state", e))?;
            if gathered.watermark != i64::MIN && gathered.watermark != i64::MAX {
                store.collect_expired(gathered.watermark);
            }
        }
        self.network.applied(gathered.epoch);
        self.network.stats().epoch_committed();
        Ok(())
    }
}
