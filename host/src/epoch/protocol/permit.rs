//! From a durable record to a committed epoch: each step hands the next one its permission.

use super::Summary;

/// A record that is on disk. Only the log makes one.
#[derive(Debug, PartialEq, Eq)]
pub struct Durable {
    epoch: u64,
    parent: u64,
    run: u64,
    checksum: u32,
    bytes: u64,
}

impl Durable {
    pub(in crate::epoch) fn new(record: &Summary, bytes: u64) -> Self {
        let Summary { epoch, parent, run, checksum, .. } = *record;
        Self { epoch, parent, run, checksum, bytes }
    }

    /// The epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Bytes that it takes in the log.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// The permission to commit one epoch. What it names goes into the pointer.
#[derive(Debug, PartialEq, Eq)]
pub struct CommitPermit {
    epoch: u64,
    run: u64,
    checksum: u32,
}

impl CommitPermit {
    /// The epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The run that commits it.
    pub fn run(&self) -> u64 {
        self.run
    }

    /// Checksum of its record.
    pub fn checksum(&self) -> u32 {
        self.checksum
    }
}

/// An epoch that is committed: the state may take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    epoch: u64,
    checksum: u32,
}

impl Committed {
    pub(in crate::epoch) fn new(epoch: u64, checksum: u32) -> Self {
        Self { epoch, checksum }
    }

    /// The epoch.
    pub fn epoch(self) -> u64 {
        self.epoch
    }

    /// Checksum of its record: the state keeps it, so that a state of another history is told.
    pub fn checksum(self) -> u32 {
        self.checksum
    }
}

/// How a commit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is committed.
    Committed,
    /// It is not, and never will be.
    Aborted(String),
    /// Nobody here knows. The decider has to be asked, after fencing whatever may still be on its way.
    Uncertain(String),
    /// Another host with the same identity took over.
    Fenced(String),
}

/// What has to be done when an epoch cannot be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Wait, then try the same epoch again: nothing has happened yet.
    Retry(String),
    /// Go back to the committed epoch, and on from there.
    Rewind(String),
    /// Stop the process.
    Stop(String),
    /// Stop the process, and say that another host took over.
    Exit(String),
}

/// Whether an epoch may be committed: its record is on disk, all that it wrote has arrived, and the
/// epoch on which it stands is the newest one committed.
///
/// # Errors
/// What to do when it may not.
pub fn permit(durable: Durable, delivered: Result<(), String>, committed: u64) -> Result<CommitPermit, Action> {
    let Durable { epoch, parent, run, checksum, .. } = durable;
    if parent != committed {
        return Err(Action::Stop(format!(
            "epoch {epoch} stands on epoch {parent}, and {committed} is the newest one committed; this is a bug"
        )));
    }
    match delivered {
        Ok(()) => Ok(CommitPermit { epoch, run, checksum }),
        Err(reason) => {
            Err(Action::Rewind(format!("epoch {epoch} is not committed, its output did not arrive: {reason}")))
        }
    }
}

/// What a commit's outcome means.
///
/// # Errors
/// What to do when the epoch is not committed, or nobody knows.
pub fn decide(permit: CommitPermit, outcome: Outcome) -> Result<Committed, Action> {
    let CommitPermit { epoch, checksum, .. } = permit;
    match outcome {
        Outcome::Committed => Ok(Committed { epoch, checksum }),
        Outcome::Aborted(reason) => Err(Action::Rewind(format!("epoch {epoch} was aborted: {reason}"))),
        Outcome::Uncertain(reason) => {
            Err(Action::Rewind(format!("it is uncertain whether epoch {epoch} is committed: {reason}")))
        }
        Outcome::Fenced(reason) => {
            Err(Action::Exit(format!("another host with the same identity took over before epoch {epoch}: {reason}")))
        }
    }
}
