//! Why a run does not start: what does not fit, where, and how to override it.

use std::fmt;

use crate::epoch::Decider;

/// A contradiction between log, decider, store and snapshot: something was destroyed or exchanged,
/// and going on would lose or repeat rows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The decider committed an epoch that the log does not have.
    #[error(
        "epoch {epoch} of run {run} is committed by {}, but the epoch log has no record of it (its newest is {newest}): \
         segments are missing, or this is not the checkpoint folder of that pipeline; put them back, or {}",
        By(decider), way_out(*newest)
    )]
    PointerWithoutRecord {
        /// Who committed it.
        decider: Decider,
        /// The epoch.
        epoch: u64,
        /// The run that committed it.
        run: u64,
        /// Newest epoch in the log.
        newest: u64,
    },
    /// The decider has forgotten what it committed.
    #[error(
        "{} has no pointer, although epoch {committed} was committed by it: its topic was deleted or emptied, or the \
         transactional id was changed; put it back, or go on from epoch {committed} with `--resume-from {committed}`",
        By(decider)
    )]
    PointerLost {
        /// Who committed it.
        decider: Decider,
        /// An epoch known to be committed by it.
        committed: u64,
    },
    /// The decider names an older epoch than it committed.
    #[error(
        "{} names epoch {pointer}, although it committed epoch {committed} later: its topic lost records; put them \
         back, or go on from epoch {committed} with `--resume-from {committed}`",
        By(decider)
    )]
    PointerBehind {
        /// Who committed it.
        decider: Decider,
        /// The epoch that it names.
        pointer: u64,
        /// A later epoch known to be committed by it.
        committed: u64,
    },
    /// The log's record of the committed epoch is not the one that was committed.
    #[error(
        "epoch {epoch} is committed by {} with run {} and checksum {:08x}, but its record in the epoch log is of run {} \
         with checksum {:08x}: the log was exchanged, or two pipelines share a transactional id; put the right log \
         back, or go on from it with `--resume-from {epoch}`", By(decider), expected.0, expected.1, found.0, found.1
    )]
    OtherRecord {
        /// Who committed it.
        decider: Decider,
        /// The epoch.
        epoch: u64,
        /// Run and checksum in the pointer.
        expected: (u64, u32),
        /// Run and checksum in the log.
        found: (u64, u32),
    },
    /// The newest record waits for a decider that this pipeline does not have.
    #[error(
        "whether epoch {epoch} is committed is decided by {}, which this pipeline does not use any more; run it once \
         with the sink that it had, or go on from epoch {parent} with `--resume-from {parent}`",
        By(decider)
    )]
    CannotAsk {
        /// Who decides.
        decider: Decider,
        /// The epoch.
        epoch: u64,
        /// The epoch on which it stands.
        parent: u64,
    },
    /// The local store holds a later epoch than the committed one.
    #[error(
        "the state folder holds epoch {store}, but only epoch {committed} is known to be committed: the newest part of \
         the epoch log is missing, or the folders are of different pipelines; put it back, or move the state folder's \
         `db` away so that it is restored at epoch {committed}"
    )]
    StoreAhead {
        /// The epoch that the store holds.
        store: u64,
        /// The committed epoch.
        committed: u64,
    },
    /// The local store holds an epoch that the log does not know.
    #[error(
        "the state folder holds an epoch {store} that is not the one of the epoch log (which goes from {base} to \
         {newest}): the folders are of different pipelines, or a part of the log was lost earlier; point state.path and checkpoint.path at those that belong together, \
         or move the state folder's `db` away so that it is restored"
    )]
    StoreUnknown {
        /// The epoch that the store holds.
        store: u64,
        /// The epoch on which the log's first record stands.
        base: u64,
        /// Newest epoch in the log.
        newest: u64,
    },
    /// Neither store nor snapshot reaches the beginning of the log.
    #[error(
        "the epoch log begins behind epoch {base}, but the state folder holds epoch {store}{}: what lies between is \
         missing; put the state folder or a snapshot back, or go back to a savepoint (`millstream savepoint restore PIPELINE NAME --replace`)",
        snapshot.map_or_else(|| " and there is no snapshot".into(), |s| format!(" and the newest snapshot epoch {s}, which does not fit"))
    )]
    Gap {
        /// The epoch on which the log's first record stands.
        base: u64,
        /// The epoch that the store holds.
        store: u64,
        /// The epoch of the newest snapshot.
        snapshot: Option<u64>,
    },
    /// The log is gone, but not what it led to.
    #[error(
        "the epoch log is empty, but {}: it was deleted, or checkpoint.path points elsewhere; put it back, or{} start \
         with a savepoint (`millstream savepoint restore PIPELINE NAME --replace`), or move the state and checkpoint folders away to begin anew",
        match snapshot { Some(s) => format!("there is a snapshot of epoch {s}"), None => format!("the state folder holds epoch {store}") },
        snapshot.map_or_else(String::new, |s| format!(" go on from the snapshot with `--resume-from {s}`, or"))
    )]
    LogMissing {
        /// The epoch that the store holds.
        store: u64,
        /// The epoch of the newest snapshot.
        snapshot: Option<u64>,
    },
    /// The committed epoch has no record, so nobody knows where the sources stood.
    #[error(
        "epoch {epoch} is committed, but the epoch log has no record of it, and there is no snapshot of it: where the \
         sources go on is unknown; put the missing segment back, or go back to a savepoint (`millstream savepoint restore PIPELINE NAME --replace`)"
    )]
    RecordMissing {
        /// The epoch.
        epoch: u64,
    },
    /// The operator named an epoch that is not there.
    #[error(
        "`--resume-from {epoch}`: there is no record and no snapshot of epoch {epoch}; the log goes from {base} to {newest}"
    )]
    NotThere {
        /// The epoch.
        epoch: u64,
        /// The epoch on which the log's first record stands.
        base: u64,
        /// Newest epoch in the log.
        newest: u64,
    },
    /// The epoch names a source or an operator that the pipeline does not have.
    #[error(
        "epoch {epoch} has {} of {part} `{name}`, which the pipeline does not have; give the {part} its name back, or \
         leave it out with `--allow-non-restored-state`", match *part { "source" => "positions", "sink" => "the file", "inference operator" => "rows in flight", _ => "state" }
    )]
    PartMissing {
        /// The committed epoch.
        epoch: u64,
        /// `source`, `operator`, `inference operator` or `sink`.
        part: &'static str,
        /// Its name.
        name: String,
    },
}

/// Who decides, in words.
struct By<'a>(&'a Decider);

impl fmt::Display for By<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Decider::Log => f.write_str("the epoch log"),
            Decider::Kafka { transactional_id, topic } => {
                write!(f, "Kafka (topic `{topic}`, key `{transactional_id}`)")
            }
        }
    }
}

/// How to go on without what the decider committed last.
fn way_out(newest: u64) -> String {
    match newest {
        0 => "begin anew under another `transactional_id` in `[kafka]`".into(),
        _ => format!("go on from epoch {newest} with `--resume-from {newest}` and repeat the rows since"),
    }
}
