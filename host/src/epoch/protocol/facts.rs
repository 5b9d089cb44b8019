//! What decisions are made from.

use crate::epoch::{Decider, EpochRecord, Origin};

/// A record of the epoch log, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The epoch.
    pub epoch: u64,
    /// The committed epoch on which it stands.
    pub parent: u64,
    /// The run that wrote it.
    pub run: u64,
    /// Newest epoch known to be committed when it was prepared.
    pub committed: u64,
    /// What decides whether it is committed.
    pub decider: Decider,
    /// What it went on from.
    pub origin: Origin,
    /// CRC32C of the record's body, which tells it from any other record of the same epoch.
    pub checksum: u32,
    /// The checksum of the record of `parent`; 0 = unknown. A host that stood still may have written
    /// another record of that number.
    pub parent_checksum: u32,
}

impl Summary {
    /// The summary of a record whose body has this checksum, and its parent that one.
    pub fn new(record: &EpochRecord, checksum: u32, parent_checksum: u32) -> Self {
        let EpochRecord { epoch, parent, run, committed, .. } = *record;
        let (decider, origin) = (record.decider.clone(), record.origin.clone());
        Self { epoch, parent, run, committed, decider, origin, checksum, parent_checksum }
    }

    /// Whether nothing before it counts.
    pub fn begins_a_history(&self) -> bool {
        matches!(self.origin, Origin::Savepoint { .. })
    }

    /// Whether it stands on that record.
    pub fn stands_on(&self, record: &Self) -> bool {
        self.parent == record.epoch && (self.parent_checksum == 0 || self.parent_checksum == record.checksum)
    }
}

/// The records that count, each standing on the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Oldest first.
    pub records: Vec<Summary>,
    /// The epoch that the first record stands on: 0 at the very beginning, otherwise older records
    /// were cut off.
    pub base: u64,
    /// The checksum of that epoch's record; 0 = unknown.
    pub base_checksum: u32,
    /// Newest epoch that was noted as committed; 0 when none was.
    pub noted: u64,
    /// Highest number that any epoch has had, also one that does not count.
    pub newest: u64,
    /// Highest run that has written to the log.
    pub newest_run: u64,
}

impl History {
    /// The record of an epoch.
    pub fn get(&self, epoch: u64) -> Option<&Summary> {
        self.position(epoch).and_then(|index| self.records.get(index))
    }

    /// Where the record of an epoch is among the records.
    pub fn position(&self, epoch: u64) -> Option<usize> {
        self.records.binary_search_by_key(&epoch, |record| record.epoch).ok()
    }

    /// The checksum of an epoch's record; 0 = unknown.
    pub fn checksum(&self, epoch: u64) -> u32 {
        match self.get(epoch) {
            Some(record) => record.checksum,
            None if epoch == self.base => self.base_checksum,
            None => 0,
        }
    }

    /// The newest epoch, when there is one.
    pub fn last(&self) -> Option<u64> {
        self.records.last().map(|record| record.epoch)
    }

    /// The newest epoch that is committed for all that the log tells: an epoch on which another one
    /// stands, one that the log decides, one that was noted.
    pub fn decided(&self) -> u64 {
        let by = |record: &Summary| match record.decider {
            Decider::Log => record.epoch,
            Decider::Kafka { .. } => record.committed.max(record.parent),
        };
        self.records.iter().map(by).fold(self.base.max(self.noted), u64::max)
    }

    pub(in crate::epoch) fn push(&mut self, record: Summary) {
        if record.begins_a_history() {
            self.records.clear();
        }
        if self.records.is_empty() {
            (self.base, self.base_checksum) = (record.parent, record.parent_checksum);
        }
        self.newest = self.newest.max(record.epoch);
        self.newest_run = self.newest_run.max(record.run);
        self.records.push(record);
    }
}

/// What a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The newest epoch that it has taken; 0 when it is empty.
    pub epoch: u64,
    /// Checksum of that epoch's record, when the store knows: a number alone does not tell two
    /// pipelines apart.
    pub checksum: Option<u32>,
}

impl Held {
    /// Whether it may hold the epoch whose record has this checksum (0 = unknown).
    pub fn may_be(&self, epoch: u64, checksum: u32) -> bool {
        self.epoch == epoch && (checksum == 0 || self.checksum.is_none_or(|known| known == checksum))
    }
}

/// What the decider outside says, after everybody else who could change it was fenced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pointer {
    /// The log itself decides.
    NotUsed,
    /// The decider knows of no epoch.
    Absent {
        /// The decider that was asked.
        decider: Decider,
    },
    /// The decider names the newest epoch that it committed.
    Found {
        /// The decider that was asked.
        decider: Decider,
        /// The epoch.
        epoch: u64,
        /// The run that committed it.
        run: u64,
        /// Checksum of its record.
        checksum: u32,
    },
}

/// Everything that [`resolve`](super::resolve) looks at, in the order in which it must be read: the
/// pointer after fencing, the log after the pointer.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// What the decider says.
    pub pointer: &'a Pointer,
    /// The log.
    pub history: &'a History,
    /// What the local store holds.
    pub store: Held,
    /// The record whose epoch the newest verified snapshot holds.
    pub snapshot: Option<&'a Summary>,
    /// The operator's word for which epoch is committed (`--resume-from EPOCH`), against the pointer.
    pub accept: Option<u64>,
}
