//! A host: recovers, gathers epochs, commits them, goes back.

use std::collections::BTreeMap;

use super::Mistake;
use super::broker::Named;
use super::disk::SimDisk;
use super::store::Slots;
use super::world::{Output, PARTITIONS, Snapshot, World, key};
use crate::epoch::log::{Log, LogError, Options};
use crate::epoch::protocol::{Action, CommitPermit, Committed, Held, History, Outcome, Pointer, Resolution, may_cut};
use crate::epoch::{Committer, Decider, Decision, EpochRecord, RecoveryError, State, recover};
use crate::record::{Position, SinkState};
use crate::state::{DirtySlots, OperatorId};

/// A record or two a segment.
const OPTIONS: Options = Options { segment_bytes: 900, record_bytes: 1 << 20 };
const OPERATOR: OperatorId = OperatorId::from_number(3);

/// The committer of a simulated host.
type SimCommitter<'w> = Committer<Log<SimDisk>, SimDecision<'w>, SimState<'w>>;

struct SimDecision<'w> {
    world: &'w World,
    producer: u64,
}

impl SimDecision<'_> {
    /// While this host stands still, another one takes over, and goes on for a while.
    fn stand_still(&self) {
        let world = self.world;
        if !world.takeover.get() || world.dead() || !world.chance(50) {
            return;
        }
        world.takeover.set(false);
        world.tell(|| "   stands still, and another host takes over".into());
        if let Ok(mut other) = Host::start(world, 1) {
            for _ in 0..world.random.below(4) {
                if other.epoch() != Step::Committed {
                    break;
                }
            }
        }
        world.tell(|| "   goes on".into());
    }
}

impl Decision for SimDecision<'_> {
    fn decider(&self) -> Decider {
        decider(self.world)
    }

    fn pointer(&mut self) -> Result<Pointer, Action> {
        let world = self.world;
        if !world.kafka {
            return Ok(Pointer::NotUsed);
        }
        if world.dies() {
            return Err(Action::Stop("dead".into()));
        }
        let mut broker = world.broker.borrow_mut();
        if world.random.percent(50) {
            broker.deliver_late();
        }
        self.producer = if world.mistake == Mistake::NoFence { broker.producer } else { broker.init() };
        let decider = decider(world);
        Ok(broker.pointer().map_or(Pointer::Absent { decider: decider.clone() }, |named| {
            let Named { epoch, run, checksum } = named;
            Pointer::Found { decider, epoch, run, checksum }
        }))
    }

    fn delivered(&mut self, _epoch: u64) -> Result<(), String> {
        self.stand_still();
        if self.world.kafka && self.world.chance(2) { Err("a record could not be delivered".into()) } else { Ok(()) }
    }

    fn commit(&mut self, permit: &CommitPermit, record: &EpochRecord) -> Outcome {
        let world = self.world;
        if !world.kafka {
            return Outcome::Committed;
        }
        if world.dies() {
            return Outcome::Uncertain("dead".into());
        }
        let named = Named { epoch: permit.epoch(), run: permit.run(), checksum: permit.checksum() };
        let offsets = positions(record);
        let mut broker = world.broker.borrow_mut();
        if broker.producer != self.producer {
            return Outcome::Fenced("a newer producer".into());
        }
        if world.chance(3) {
            broker.abort();
        }
        if !broker.name(self.producer, named, offsets) {
            return Outcome::Aborted("the transaction took too long".into());
        }
        let (lost, late) = (world.chance(3), world.chance(3));
        if lost || late {
            if late {
                broker.end_later(self.producer);
            }
            return Outcome::Uncertain("no reply".into());
        }
        broker.end(self.producer);
        drop(broker);
        let reply_lost = world.chance(3);
        self.stand_still();
        if world.dies() || reply_lost { Outcome::Uncertain("no reply".into()) } else { Outcome::Committed }
    }
}

struct SimState<'w> {
    world: &'w World,
    machine: usize,
}

impl State for SimState<'_> {
    fn applied(&self) -> Held {
        self.world.stores[self.machine].borrow().held
    }

    fn apply(&mut self, committed: Committed, slots: Vec<DirtySlots>) -> Result<(), String> {
        if self.world.dies() {
            return Err("dead".into());
        }
        let mut store = self.world.stores[self.machine].borrow_mut();
        store.apply(committed, &slots)?;
        // The store flushes as it likes.
        if self.world.random.percent(20) {
            store.flush();
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<(), String> {
        if self.world.dies() { Err("dead".into()) } else { Ok(()) }
    }

    fn restore(&mut self, snapshot: u64) -> Result<(), String> {
        if self.world.dies() {
            return Err("dead".into());
        }
        let snapshots = self.world.snapshots.borrow();
        let found = snapshots.iter().find(|s| s.summary.epoch == snapshot).ok_or("it is not there")?;
        let held = Held { epoch: snapshot, checksum: Some(found.summary.checksum) };
        self.world.stores[self.machine].borrow_mut().replace(held, found.slots.clone());
        Ok(())
    }
}

/// How a step of a host ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Committed,
    /// There is no input left.
    Finished,
    /// It has stopped, or died.
    Stopped,
    /// It stopped because its recovery was refused.
    Refused(String),
}

pub(super) struct Host<'w> {
    world: &'w World,
    pub(super) machine: usize,
    run: u64,
    /// Absent only while it goes back.
    committer: Option<SimCommitter<'w>>,
    next: u64,
    positions: [u64; PARTITIONS],
    pub(super) counts: BTreeMap<u8, u64>,
}

impl<'w> Host<'w> {
    pub(super) fn start(world: &'w World, machine: usize) -> Result<Self, RecoveryError> {
        world.runs.set(world.runs.get() + 1);
        let run = world.runs.get();
        let open = || Log::open(world.disk.clone(), run, OPTIONS);
        let mut host =
            Self { world, machine, run, committer: None, next: 0, positions: [0; PARTITIONS], counts: BTreeMap::new() };
        let decision = SimDecision { world, producer: 0 };
        host.recover(decision, open, SimState { world, machine })?;
        Ok(host)
    }

    /// Goes back to the committed epoch, in process.
    fn rewind(&mut self) -> Result<(), RecoveryError> {
        let Some(committer) = self.committer.take() else { unreachable!("it is not going back already") };
        let (log, decision, state) = committer.into_parts();
        self.recover(decision, || log.reopen(), state)
    }

    fn recover(
        &mut self,
        decision: SimDecision<'w>,
        open: impl FnOnce() -> Result<Log<SimDisk>, LogError>,
        state: SimState<'w>,
    ) -> Result<(), RecoveryError> {
        let world = self.world;
        let (newest, accept) = {
            let snapshots = world.snapshots.borrow();
            let newest = snapshots.back().map(|snapshot| (snapshot.summary.clone(), snapshot.record.clone()));
            let trusted =
                (world.mistake == Mistake::TrustTheLog).then(|| Log::open(world.disk.clone(), u64::MAX, OPTIONS));
            (newest, trusted.and_then(|log| log.ok()?.history().last()))
        };
        let snapshot = |_: &History| Ok(newest.as_ref().map(|(summary, _)| summary.clone()));
        let recovered = if world.mistake == Mistake::LogBeforePointer {
            let log = open();
            if world.takeover.take() {
                // Whoever is not fenced yet may still commit.
                world.tell(|| "   another host goes on between log and pointer".into());
                if let Ok(mut other) = Host::start(world, 1 - self.machine) {
                    other.epoch();
                }
            }
            recover(decision, || log, state, snapshot, accept)
        } else {
            recover(decision, open, state, snapshot, accept)
        };
        let (committer, resolution) = recovered?;
        world.tell(|| format!("run {} on machine {}: {resolution:?}", self.run, self.machine));
        let committed = resolution.committed();
        let record = match (committed, committer.log.read(committed)) {
            (0, _) => None,
            (_, Ok((record, _))) => Some(record),
            (_, Err(LogError::Unknown { .. })) => newest.map(|(_, record)| record),
            (_, Err(error)) => return Err(error.into()),
        };
        self.positions = record.as_ref().map_or([0; PARTITIONS], positions);
        self.next = resolution.next();
        self.counts = counts(&world.stores[self.machine].borrow().slots);
        if !world.kafka && !world.dead() {
            let length = record.as_ref().map_or(0, |record| match record.sinks["out"] {
                SinkState::File { length, .. } => length as usize,
                _ => unreachable!("the sink is a file"),
            });
            let mut file = world.file.borrow_mut();
            assert!(file.rows.len() >= length, "the file is shorter than a committed epoch left it");
            file.rows.truncate(length);
            file.synced = length;
        }
        debug_assert!(matches!(resolution, Resolution::Fresh { .. }) == record.is_none());
        self.committer = Some(committer);
        Ok(())
    }

    /// Works on some rows, and commits them.
    pub(super) fn epoch(&mut self) -> Step {
        let world = self.world;
        let mut rows = Vec::new();
        for _ in 0..=world.random.below(4) {
            let partition = world.random.below(PARTITIONS as u64) as usize;
            let partition = if self.positions[partition] < world.input { partition } else { 1 - partition };
            let position = self.positions[partition];
            if position == world.input {
                break;
            }
            self.positions[partition] += 1;
            let key = key(partition, position);
            let count = self.counts.entry(key).or_default();
            *count += 1;
            rows.push(Output { partition, position, key, count: *count });
        }
        if rows.is_empty() {
            return Step::Finished;
        }
        if world.kafka {
            let producer = self.committer.as_ref().map_or(0, |committer| committer.decision.producer);
            if !world.broker.borrow_mut().produce(producer, &rows) && world.random.percent(50) {
                return Step::Stopped;
            }
        } else {
            world.file.borrow_mut().rows.extend_from_slice(&rows);
        }
        let (record, mut slots) = self.gathered(&rows);
        self.next += 1;
        loop {
            let Some(committer) = self.committer.as_mut() else { return Step::Stopped };
            let outcome = if world.mistake == Mistake::ApplyBeforeCommit {
                apply_first(committer, &record, &mut slots)
            } else {
                committer.commit(&record, &mut slots).map(|_| ())
            };
            world.tell(|| format!("   epoch {} of run {}: {outcome:?}", record.epoch, self.run));
            match outcome {
                _ if world.dead() => return Step::Stopped,
                Ok(()) => {
                    self.keep_house(&record);
                    return if world.dead() { Step::Stopped } else { Step::Committed };
                }
                Err(Action::Retry(_)) => world.disk.faults().room.set(None),
                Err(Action::Rewind(_)) => {
                    let Err(error) = self.rewind() else { return Step::Committed };
                    world.tell(|| format!("did not go back: {error}"));
                    return if world.dead() || !is_refusal(&error) {
                        Step::Stopped
                    } else {
                        Step::Refused(error.to_string())
                    };
                }
                Err(Action::Stop(_) | Action::Exit(_)) => return Step::Stopped,
            }
        }
    }

    fn gathered(&self, rows: &[Output]) -> (EpochRecord, Vec<DirtySlots>) {
        let world = self.world;
        let committed = self.committer.as_ref().map_or(0, Committer::committed);
        let mut record = EpochRecord::new(self.next, committed, self.run, decider(world));
        let of = |(partition, &next): (usize, &u64)| Position::new(partition.to_string(), next);
        record.sources.insert("in".into(), self.positions.iter().enumerate().map(of).collect());
        let sink = if world.kafka {
            SinkState::Kafka { topic: "out".into() }
        } else {
            let mut file = world.file.borrow_mut();
            file.synced = file.rows.len();
            SinkState::File { path: "out".into(), length: file.rows.len() as u64, identity: 0 }
        };
        record.sinks.insert("out".into(), sink);
        record.operators.insert("count".into(), OPERATOR.number());
        // Two workers, each with half of the keys.
        let slots = [0, 1].map(|worker| {
            let mut slots = DirtySlots::with_capacity(OPERATOR, self.next, 0);
            let changed =
                self.counts.iter().filter(|(key, _)| **key % 2 == worker && rows.iter().any(|row| row.key == **key));
            for (key, count) in changed {
                slots.push(u16::from(*key), &[*key], Some((1, i64::MAX, &count.to_le_bytes())));
            }
            slots
        });
        (record, slots.into())
    }

    /// What goes on beside epochs: flushes, snapshots, the end of old segments.
    fn keep_house(&mut self, record: &EpochRecord) {
        let world = self.world;
        let Some(committer) = self.committer.as_mut() else { return };
        let store = &world.stores[self.machine];
        if world.random.percent(20) {
            let Some(summary) = committer.log.history().get(record.epoch).cloned() else { return };
            if world.dies() {
                return;
            }
            store.borrow_mut().flush();
            let slots = store.borrow().slots.clone();
            let mut snapshots = world.snapshots.borrow_mut();
            // By epoch, not by when they were taken: a host that stood still may come late with an old one.
            let at = snapshots.partition_point(|snapshot| snapshot.summary.epoch < record.epoch);
            snapshots.insert(at, Snapshot { summary, record: record.clone(), slots });
            if snapshots.len() > 2 {
                snapshots.pop_front();
            }
        }
        if world.random.percent(30) {
            let oldest = world.snapshots.borrow().front().map(|snapshot| snapshot.summary.epoch);
            let up_to = match world.mistake {
                Mistake::CutTooMuch => record.epoch,
                _ => may_cut(record.epoch, store.borrow().flushed(), oldest),
            };
            let cut = committer.log.cut(up_to);
            world.tell(|| format!("   cut up to {up_to}: {cut:?}"));
        }
    }
}

/// The wrong order: the state takes an epoch that may never be committed.
fn apply_first(
    committer: &mut SimCommitter<'_>,
    record: &EpochRecord,
    slots: &mut Vec<DirtySlots>,
) -> Result<(), Action> {
    let stop = |error: &dyn ToString| Action::Stop(error.to_string());
    let copy = slots.clone();
    committer.state.apply(Committed::new(record.epoch, 0), copy).map_err(|error| stop(&error))?;
    match committer.commit(record, slots) {
        // It finds the state there already.
        Err(Action::Stop(reason)) if reason.contains("comes after") => Ok(()),
        outcome => outcome.map(|_| ()),
    }
}

fn decider(world: &World) -> Decider {
    if world.kafka {
        Decider::Kafka { transactional_id: "sim".into(), topic: "sim-epochs".into() }
    } else {
        Decider::Log
    }
}

fn positions(record: &EpochRecord) -> [u64; PARTITIONS] {
    let mut out = [0; PARTITIONS];
    record.sources["in"].iter().for_each(|at| out[at.partition.parse::<usize>().unwrap()] = at.next);
    out
}

pub(super) fn counts(slots: &Slots) -> BTreeMap<u8, u64> {
    let count = |value: &[u8]| u64::from_le_bytes(value[value.len() - 8..].try_into().unwrap());
    slots.iter().map(|(key, value)| (key[key.len() - 1], count(value))).collect()
}

/// Whether a run will never begin, as things are. Otherwise it may when it is tried again.
pub(super) fn is_refusal(error: &RecoveryError) -> bool {
    match error {
        RecoveryError::Refused(_) | RecoveryError::Snapshots(_) | RecoveryError::State { .. } => true,
        RecoveryError::Log(error) => {
            !matches!(error, LogError::Io { .. } | LogError::Superseded { .. } | LogError::Poisoned { .. })
        }
        RecoveryError::Decider(_) => false,
    }
}
