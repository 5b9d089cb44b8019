//! The way of one epoch, as straight code: *prepare* (its record goes to disk), *commit* (the decider
//! decides), *apply* (the state takes it).
//!
//! What is done in between, and in which order, is all that exactly-once rests on; who does it is
//! behind three small traits, so that the simulation drives this very code.

use std::time::{Duration, Instant};

use super::log::{Log, LogError};
use super::protocol::{Action, CommitPermit, Committed, Durable, Held, History, Outcome, Pointer, decide, permit};
use super::{Decider, Disk, EpochRecord};
use crate::state::DirtySlots;

/// The epoch log.
pub trait EpochLog {
    /// Appends a record and brings it to disk.
    ///
    /// # Errors
    /// When it is not there.
    fn append(&mut self, record: &EpochRecord, slots: &[DirtySlots]) -> Result<Durable, LogError>;
    /// Notes that an epoch is committed.
    fn note_committed(&mut self, epoch: u64);
    /// The records that count.
    fn history(&self) -> &History;
    /// A record with its slots.
    ///
    /// # Errors
    /// When it is not there.
    fn read(&self, epoch: u64) -> Result<(EpochRecord, Vec<DirtySlots>), LogError>;
    /// Drops the records behind an epoch.
    ///
    /// # Errors
    /// When they may be there still.
    fn truncate_after(&mut self, epoch: u64) -> Result<(), LogError>;
}

impl<D: Disk> EpochLog for Log<D> {
    fn append(&mut self, record: &EpochRecord, slots: &[DirtySlots]) -> Result<Durable, LogError> {
        Self::append(self, record, slots)
    }

    fn note_committed(&mut self, epoch: u64) {
        Self::note_committed(self, epoch);
    }

    fn history(&self) -> &History {
        Self::history(self)
    }

    fn read(&self, epoch: u64) -> Result<(EpochRecord, Vec<DirtySlots>), LogError> {
        Self::read(self, epoch)
    }

    fn truncate_after(&mut self, epoch: u64) -> Result<(), LogError> {
        Self::truncate_after(self, epoch)
    }
}

/// Who decides whether an epoch is committed.
pub trait Decision {
    /// What records name as their decider.
    fn decider(&self) -> Decider;

    /// Fences whoever else could commit, then tells the newest committed epoch.
    ///
    /// # Errors
    /// What to do when it cannot be asked.
    fn pointer(&mut self) -> Result<Pointer, Action>;

    /// Waits until all that the epoch wrote has arrived.
    ///
    /// # Errors
    /// Why something did not.
    fn delivered(&mut self, epoch: u64) -> Result<(), String>;

    /// Commits an epoch.
    fn commit(&mut self, permit: &CommitPermit, record: &EpochRecord) -> Outcome;
}

/// The log decides: an epoch whose record is on disk is committed.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogDecides;

impl Decision for LogDecides {
    fn decider(&self) -> Decider {
        Decider::Log
    }

    fn pointer(&mut self) -> Result<Pointer, Action> {
        Ok(Pointer::NotUsed)
    }

    fn delivered(&mut self, _epoch: u64) -> Result<(), String> {
        Ok(())
    }

    fn commit(&mut self, _permit: &CommitPermit, _record: &EpochRecord) -> Outcome {
        Outcome::Committed
    }
}

/// Keyed state on disk.
pub trait State {
    /// The epoch that it holds.
    fn applied(&self) -> Held;

    /// Takes the slots of a committed epoch, with its number and its record's checksum. It may hold them
    /// later, together with those of the next epochs, but each epoch as a whole.
    ///
    /// # Errors
    /// Why it could not.
    fn apply(&mut self, committed: Committed, slots: Vec<DirtySlots>) -> Result<(), String>;

    /// From now on it holds all that it took.
    ///
    /// # Errors
    /// Why it does not.
    fn settle(&mut self) -> Result<(), String>;

    /// Puts a snapshot of an epoch in the place of what it holds.
    ///
    /// # Errors
    /// Why it could not.
    fn restore(&mut self, snapshot: u64) -> Result<(), String>;
}

/// What an epoch took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Until its record was on disk.
    pub prepare: Duration,
    /// Until it was committed.
    pub commit: Duration,
    /// Until the state had taken it.
    pub apply: Duration,
    /// Bytes of its record.
    pub bytes: u64,
}

/// Brings epochs through, one after the other.
#[derive(Debug)]
pub struct Committer<L, D, S> {
    /// The log.
    pub log: L,
    /// Who decides.
    pub decision: D,
    /// The state.
    pub state: S,
    committed: u64,
}

/// Ends the process at a named place when a test asks for it.
macro_rules! crash_point {
    ($name:literal) => {
        if fail::eval($name, |_| ()).is_some() {
            std::process::abort();
        }
    };
}

impl<L: EpochLog, D: Decision, S: State> Committer<L, D, S> {
    /// Goes on behind the committed epoch that recovery found.
    pub(super) fn new(log: L, decision: D, state: S, committed: u64) -> Self {
        Self { log, decision, state, committed }
    }

    /// Takes it apart, to go back.
    pub fn into_parts(self) -> (L, D, S) {
        (self.log, self.decision, self.state)
    }

    /// The newest committed epoch.
    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// Brings one epoch through. Its parent is the newest committed epoch. The slots are the state's
    /// once the epoch is committed.
    ///
    /// # Errors
    /// What to do; the epoch is not committed, or nobody knows. After [`Action::Retry`] the same call
    /// may be made again; after anything else this committer takes no more epochs.
    pub fn commit(&mut self, record: &EpochRecord, slots: &mut Vec<DirtySlots>) -> Result<Steps, Action> {
        let begun = Instant::now();
        crash_point!("epoch-before-prepare");
        let durable = self.log.append(record, slots).map_err(|error| refused(&error))?;
        let bytes = durable.bytes();
        crash_point!("epoch-after-prepare");
        let prepared = Instant::now();

        let delivered = self.decision.delivered(record.epoch);
        let permit = permit(durable, delivered, self.committed)?;
        crash_point!("epoch-before-commit");
        let outcome = self.decision.commit(&permit, record);
        crash_point!("epoch-after-commit");
        let committed = decide(permit, outcome)?;
        self.committed = committed.epoch();
        let decided = Instant::now();

        self.log.note_committed(committed.epoch());
        crash_point!("epoch-before-apply");
        // A committed epoch that the state does not take is replayed from the log.
        let stopped =
            |error| Action::Stop(format!("epoch {} is committed, but not in the state: {error}", record.epoch));
        self.state.apply(committed, std::mem::take(slots)).map_err(stopped)?;
        crash_point!("epoch-after-apply");
        Ok(Steps { prepare: prepared - begun, commit: decided - prepared, apply: decided.elapsed(), bytes })
    }
}

/// What a failure of the log means.
pub(super) fn refused(error: &LogError) -> Action {
    match error {
        error if error.retriable() => Action::Retry(error.to_string()),
        error if error.fenced() => Action::Exit(error.to_string()),
        error => Action::Stop(error.to_string()),
    }
}
