//! All that outlives a host, what may happen to it, and the oracle that reads what came out.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

use super::Mistake;
use super::broker::Broker;
use super::disk::SimDisk;
use super::random::Random;
use super::store::{SimStore, Slots};
use crate::epoch::EpochRecord;
use crate::epoch::protocol::Summary;

/// Partitions of the input.
pub(super) const PARTITIONS: usize = 2;
/// Keys of the rows.
const KEYS: u64 = 5;

/// A row that came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Output {
    pub(super) partition: usize,
    pub(super) position: u64,
    pub(super) key: u8,
    /// How many rows of the key there were, with this one.
    pub(super) count: u64,
}

/// Key of the row at a position: the same in every reading.
pub(super) fn key(partition: usize, position: u64) -> u8 {
    ((position * 7 + partition as u64 * 3 + position / 4) % KEYS) as u8
}

/// A file as a sink writes it.
#[derive(Default)]
pub(super) struct OutputFile {
    pub(super) rows: Vec<Output>,
    pub(super) synced: usize,
}

/// A snapshot in checkpoint storage.
pub(super) struct Snapshot {
    pub(super) summary: Summary,
    pub(super) record: EpochRecord,
    pub(super) slots: Slots,
}

pub(super) struct World {
    pub(super) random: Random,
    pub(super) mistake: Mistake,
    /// Kafka decides, or else the log, with a file as sink.
    pub(super) kafka: bool,
    /// Rows in each partition of the input.
    pub(super) input: u64,
    pub(super) disk: SimDisk,
    pub(super) broker: RefCell<Broker>,
    pub(super) file: RefCell<OutputFile>,
    pub(super) stores: [RefCell<SimStore>; 2],
    pub(super) snapshots: RefCell<VecDeque<Snapshot>>,
    pub(super) runs: Cell<u64>,
    /// Something is gone that nobody can bring back: a run may be refused.
    pub(super) destroyed: Cell<bool>,
    /// Nothing goes wrong any more.
    pub(super) calm: Cell<bool>,
    /// Whether another host may take over while one is in the middle of an epoch.
    pub(super) takeover: Cell<bool>,
    steps: RefCell<Vec<String>>,
    trace: bool,
}

impl World {
    pub(super) fn new(random: Random, mistake: Mistake, trace: bool) -> Self {
        let (kafka, input) = (random.percent(70), 4 + random.below(24));
        let world = Self {
            random,
            mistake,
            kafka,
            input,
            disk: SimDisk::default(),
            broker: RefCell::default(),
            file: RefCell::default(),
            stores: Default::default(),
            snapshots: RefCell::default(),
            runs: Cell::new(0),
            destroyed: Cell::new(false),
            calm: Cell::new(false),
            takeover: Cell::new(false),
            steps: RefCell::default(),
            trace,
        };
        world.disk.faults().lazy_sync.set(mistake == Mistake::NoSync);
        world.tell(|| format!("kafka {kafka}, {input} rows in each partition"));
        world
    }

    /// Keeps what happened: for the trace, and to compare two ways.
    pub(super) fn tell(&self, what: impl FnOnce() -> String) {
        let what = what();
        if self.trace {
            println!("{what}");
        }
        self.steps.borrow_mut().push(what);
    }

    pub(super) fn way(&self) -> Vec<String> {
        self.steps.borrow().clone()
    }

    pub(super) fn chance(&self, percent: u64) -> bool {
        !self.calm.get() && self.random.percent(percent)
    }

    /// Whether the process is dead, or dies here.
    pub(super) fn dies(&self) -> bool {
        self.disk.faults().step().is_err()
    }

    pub(super) fn dead(&self) -> bool {
        self.disk.faults().crashed.get()
    }

    /// The process is gone, and sometimes the power.
    pub(super) fn die(&self) {
        let faults = self.disk.faults();
        faults.crashed.set(false);
        faults.crash_in.set(None);
        let power = self.chance(40);
        self.tell(|| format!("-- gone, {}", if power { "with the power" } else { "killed" }));
        if power {
            self.disk.lose_power(&self.random);
            let mut file = self.file.borrow_mut();
            let left = file.synced + self.random.below((file.rows.len() - file.synced) as u64 + 1) as usize;
            file.rows.truncate(left);
            if faults.forgot.take() {
                // The disk said so, but what it had been told before is gone now.
                self.destroyed.set(true);
            }
        }
        self.stores.iter().for_each(|store| store.borrow_mut().reopen());
        // Requests of the dead may arrive before or after the next host comes.
        if self.random.percent(50) {
            self.broker.borrow_mut().deliver_late();
        }
    }

    /// The oracle.
    pub(super) fn check_output(&self, complete: bool) -> Result<(), String> {
        let broker = self.broker.borrow();
        let file = self.file.borrow();
        let rows = if self.kafka { &broker.committed } else { &file.rows };
        let mut counts: BTreeMap<u8, u64> = BTreeMap::new();
        let mut next = [0; PARTITIONS];
        for row in rows {
            if row.position != next[row.partition] {
                return Err(format!("{row:?} came out where position {} was due", next[row.partition]));
            }
            next[row.partition] += 1;
            let count = counts.entry(row.key).or_default();
            *count += 1;
            if row.count != *count || row.key != key(row.partition, row.position) {
                return Err(format!("{row:?} came out where the count was {count}"));
            }
        }
        if complete && next != [self.input; PARTITIONS] {
            return Err(format!("{next:?} of {} positions came out", self.input));
        }
        if let Some(pair) = broker.pointers.windows(2).find(|pair| pair[0].epoch >= pair[1].epoch) {
            return Err(format!("epochs were committed twice or out of order: {pair:?}"));
        }
        if self.kafka && broker.offsets != next {
            return Err(format!("offsets {:?} were committed with output up to {next:?}", broker.offsets));
        }
        Ok(())
    }

    /// Whether the state is the counts of what came out.
    pub(super) fn check_state(&self, counts: &BTreeMap<u8, u64>) -> Result<(), String> {
        let broker = self.broker.borrow();
        let file = self.file.borrow();
        let rows = if self.kafka { &broker.committed } else { &file.rows };
        let mut expected: BTreeMap<u8, u64> = BTreeMap::new();
        rows.iter().for_each(|row| *expected.entry(row.key).or_default() += 1);
        if *counts == expected { Ok(()) } else { Err(format!("the state is {counts:?} instead of {expected:?}")) }
    }
}
