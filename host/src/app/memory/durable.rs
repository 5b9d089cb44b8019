//! What happens to a gathered epoch: its sinks are synced, its record is made, and the committer
//! brings it through. Then what is beside the way: the next transaction is opened, a snapshot is
//! taken when one is due, and the log is cut behind it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{KafkaParts, Storage, action_failure, storage_failure, taken_over};
use crate::checkpoint::{self, Background, Location, Snapshotter};
use crate::config::Pipeline;
use crate::dataflow::{Failure, Prepared, Standing};
use crate::epoch::protocol::{Action, may_cut};
use crate::epoch::{Commit, Decision, Done, EpochRecord, Gathered, GenerationState, InFlightRows, ModelState, Steps};
use crate::kafka::Consumers;
use crate::record::{Position, SinkState};
use crate::rollout::Generations;

/// Between two tries of what waits for room on a disk, and between two words about it.
const PAUSE: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(10);
/// How long another host may go unnoticed where looking is a request.
const LOOK: Duration = Duration::from_secs(1);

/// What records name.
pub(super) struct Parts {
    pub sources: Vec<String>,
    pub sinks: Vec<String>,
    /// All operators, in the order of the graph.
    pub operators: Vec<String>,
    pub generations: Arc<Generations>,
    /// Operators with state.
    pub keyed: Vec<String>,
    /// By operator.
    pub models: BTreeMap<String, ModelState>,
    pub run: u64,
    pub consumers: Arc<Consumers>,
    pub kafka: KafkaParts,
}

pub(super) struct Durable {
    committer: super::Committer<super::Journal, super::Decides, super::Database>,
    /// The record of the committed epoch.
    last: Option<EpochRecord>,
    parts: Parts,
    storage: Arc<Storage>,
    /// How often it looks for a newer run: at each epoch in a folder; in a bucket it is a request.
    look_every: Duration,
    looked: Instant,
    snapshots: Option<Background>,
    interrupted: Arc<AtomicBool>,
}

impl Durable {
    pub(super) fn new(
        pipeline: &Pipeline,
        storage: Arc<Storage>,
        committer: super::Committer<super::Journal, super::Decides, super::Database>,
        last: Option<EpochRecord>,
        parts: Parts,
    ) -> Result<Self, Failure> {
        let snapshots = match committer.state.store() {
            None => None,
            Some(store) => {
                let staging = pipeline.state.path.join("snapshot");
                let (name, run) = (&pipeline.name, parts.run);
                let snapshotter = Snapshotter::new(Arc::clone(&storage), &pipeline.checkpoint, name, run, staging);
                let snapshotter = snapshotter.map_err(storage_failure)?;
                let recent = Arc::clone(&committer.state.recent);
                let started = Background::start(snapshotter, store, recent);
                Some(started.map_err(|e| Failure::new("thread", e))?)
            }
        };
        let look_every = match pipeline.checkpoint.location {
            Location::Folder(_) => Duration::ZERO,
            Location::S3 { .. } => LOOK,
        };
        let looked = Instant::now();
        let interrupted = Arc::default();
        Ok(Self { committer, last, parts, storage, look_every, looked, snapshots, interrupted })
    }

    fn record(
        &self,
        epoch: u64,
        sources: BTreeMap<String, Vec<Position>>,
        sinks: BTreeMap<String, SinkState>,
    ) -> EpochRecord {
        let committed = self.committer.committed();
        let decider = self.committer.decision.decider();
        let mut record = EpochRecord::new(epoch, committed, self.parts.run, decider);
        (record.sources, record.sinks) = (sources, sinks);
        for (operator, generation) in self.parts.generations.running(epoch) {
            let description = generation.plugin.description();
            let state = GenerationState {
                number: generation.number.into(),
                name: description.name.clone(),
                version: description.version.clone(),
                sha256: generation.plugin.sha256().to_string(),
            };
            record.generations.insert(operator, state);
        }
        record.models = self.parts.models.clone();
        if let Some(store) = self.committer.state.store() {
            // Of the operators that the pipeline has: one that was left out is not asked for again.
            let has = |name: &&String| self.parts.keyed.contains(name);
            let numbers = store.operators().iter().filter(|(name, _)| has(name));
            record.operators = numbers.map(|(name, id)| (name.clone(), id.number())).collect();
        }
        record
    }

    /// Commits, and waits as long as the disk has no room.
    fn bring_through(
        &mut self,
        record: &EpochRecord,
        slots: &mut Vec<crate::state::DirtySlots>,
    ) -> Result<Steps, Failure> {
        let mut told: Option<Instant> = None;
        loop {
            self.committer.state.next = serde_json::to_value(record).ok();
            match self.committer.commit(record, slots) {
                Ok(steps) => return Ok(steps),
                Err(Action::Retry(reason)) if !self.interrupted.load(Ordering::Relaxed) => {
                    if told.is_none_or(|told| told.elapsed() >= PATIENCE) {
                        told = Some(Instant::now());
                        tracing::warn!(epoch = record.epoch, %reason, "an epoch waits");
                    }
                    std::thread::sleep(PAUSE);
                }
                Err(action) => return Err(action_failure("epoch", action)),
            }
        }
    }

    /// The transaction of the next epoch is opened: sinks that wait for it go on.
    fn open_next(&self, epoch: u64) -> Result<(), Failure> {
        let begin =
            |t: Arc<crate::kafka::Transactor>| t.begin(epoch + 1).map_err(|e| super::decides::failure("kafka", &e));
        self.committer.decision.transactor().map_or(Ok(()), begin)
    }

    /// The epoch that the state holds, when this one is committed.
    fn applied(&self, epoch: u64) -> u64 {
        self.committer.state.store().map_or(epoch, |store| store.applied_epoch())
    }

    fn settle_when_due(&mut self) -> Result<(), Failure> {
        self.committer.state.settle_when_due().map_err(|e| Failure::new("state", e))
    }

    /// What is done beside the epochs.
    fn look_after(&mut self) -> Result<(), Failure> {
        let committed = self.committer.committed();
        let applied = self.applied(committed);
        let Some(snapshots) = &mut self.snapshots else { return Ok(()) };
        match snapshots.finished() {
            Some(Ok(info)) => {
                let up_to = may_cut(committed, info.id.epoch, Some(info.oldest_retained));
                if let Err(error) = self.committer.log.cut(up_to) {
                    tracing::warn!(%error, "the epoch log could not be cut");
                }
            }
            Some(Err(error @ checkpoint::Error::Superseded { .. })) => return Err(storage_failure(error)),
            // The log grows on meanwhile, and nothing is lost.
            Some(Err(error)) => tracing::warn!(%error, "no snapshot could be taken"),
            None => {}
        }
        snapshots.tick(Instant::now(), applied, self.committer.log.appended);
        Ok(())
    }

    fn look_for_newer_run(&mut self) -> Result<(), Failure> {
        if self.looked.elapsed() < self.look_every {
            return Ok(());
        }
        self.looked = Instant::now();
        let newest = checkpoint::newest_run(&self.storage).map_err(storage_failure)?;
        if newest > self.parts.run {
            return Err(taken_over(&self.storage, self.parts.run, newest));
        }
        Ok(())
    }
}

impl Commit for Durable {
    fn commit(&mut self, gathered: Gathered) -> Result<Done, Failure> {
        let Gathered { epoch, positions, mut dirty, in_flight, watermark, sinks, began, barrier } = gathered;
        let queue = began.elapsed().saturating_sub(barrier);
        let names = || self.parts.sources.iter().cloned();
        let is_open = |partitions: &Vec<Standing>| {
            partitions.iter().filter(|p| p.open).map(|p| p.position.clone()).collect::<Vec<_>>()
        };
        // What a source has not opened belongs to the record, but is not this process's to commit.
        let open: BTreeMap<String, Vec<Position>> = names().zip(positions.iter().map(is_open)).collect();
        let positions = positions.into_iter().map(|partitions| partitions.into_iter().map(|p| p.position).collect());
        let sources: BTreeMap<String, Vec<Position>> = names().zip(positions).collect();
        let mut states = BTreeMap::new();
        let mut syncs = Vec::new();
        for (index, Prepared { state, sync }) in sinks {
            if let Some(name) = self.parts.sinks.get(index) {
                states.insert(name.clone(), state);
            }
            syncs.extend(sync);
        }
        let mut rows_in_flight = BTreeMap::new();
        for (operator, parts) in in_flight {
            let Some(name) = self.parts.operators.get(operator) else { continue };
            let kept = InFlightRows::keep(&parts).map_err(|e| Failure::new(format!("operator `{name}`"), e))?;
            rows_in_flight.extend(kept.map(|kept| (name.clone(), kept)));
        }
        let mut done = Done { epoch, barrier, queue, ..Done::default() };
        let same = self
            .last
            .as_ref()
            .is_some_and(|last| last.sources == sources && last.sinks == states && last.in_flight == rows_in_flight);
        if same && dirty.is_empty() && syncs.is_empty() {
            self.open_next(epoch)?;
            self.settle_when_due()?;
            self.look_after()?;
            done.applied = self.applied(epoch);
            return Ok(done);
        }
        let synced = Instant::now();
        syncs.into_iter().try_for_each(|sync| sync())?;
        self.look_for_newer_run()?;
        let synced = synced.elapsed();
        let mut record = self.record(epoch, sources, states);
        record.in_flight = rows_in_flight;
        self.committer.decision.offsets(&open);
        let steps = self.bring_through(&record, &mut dirty)?;
        self.open_next(epoch)?;
        if let Some(store) = self.committer.state.store()
            && let Some(watermark) = watermark.filter(|&w| w != i64::MIN)
            && store.applied_epoch() == epoch
        {
            store.collect_expired(watermark);
        }
        if self.committer.decision.transactor().is_none() {
            self.parts.consumers.hint(&open);
        }
        self.last = Some(record);
        self.look_after()?;
        done.recorded = true;
        done.applied = self.applied(epoch);
        (done.prepare, done.commit, done.apply) = (synced + steps.prepare, steps.commit, steps.apply);
        done.bytes = steps.bytes;
        Ok(done)
    }

    fn close(&mut self) {
        if let Some(store) = self.committer.state.store()
            && let Err(error) = store.settle().and_then(|()| store.flush())
        {
            // The log has it.
            tracing::warn!(%error, "the state could not be flushed; the next start replays the epoch log");
        }
    }

    fn interrupt(&self) -> Box<dyn Fn() + Send> {
        let (interrupted, closed) = (Arc::clone(&self.interrupted), Arc::clone(&self.parts.kafka.closed));
        let transactor = self.committer.decision.transactor();
        Box::new(move || {
            interrupted.store(true, Ordering::Relaxed);
            closed.store(true, Ordering::SeqCst);
            transactor.iter().for_each(|t| t.close());
        })
    }
}
