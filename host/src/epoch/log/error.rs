//! What can go wrong with the epoch log, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// A failure of the epoch log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk is full. Nothing was appended, and the log is as it was: the same record may be
    /// appended again.
    #[error("the disk is full: epoch {epoch} needs {bytes} bytes in {}; the pipeline waits until there is room", path.display())]
    Full {
        /// The segment.
        path: PathBuf,
        /// The epoch that was not written.
        epoch: u64,
        /// What it takes.
        bytes: u64,
    },
    /// An earlier write could not be brought to disk, so what the disk holds is unknown: nothing is
    /// acknowledged any more.
    #[error(
        "the epoch log cannot be trusted since {reason}; the process must stop, and recovers from what is on disk when it starts again"
    )]
    Poisoned {
        /// What failed.
        reason: String,
    },
    /// The file system refused an operation. Nothing was appended.
    #[error("could not {action} {}: {source}; check the disk and the rights there, then start again", path.display())]
    Io {
        /// The segment, or the folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// A segment is damaged where it must not be.
    #[error(
        "the epoch log is damaged: {} at byte {offset}: {problem}; restore the file from a copy, or start from a \
         savepoint (`millstream savepoint restore PIPELINE NAME --replace`), or move the state and checkpoint folders away to begin anew",
        path.display()
    )]
    Corrupt {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        problem: String,
    },
    /// Records that must follow each other do not.
    #[error(
        "a part of the epoch log is missing: {} stands on epoch {parent}, but the record before it is of epoch \
         {found}; restore the missing segment from a copy, or go back to a savepoint (`millstream savepoint restore PIPELINE NAME --replace`)",
        path.display()
    )]
    Gap {
        /// The segment behind the gap.
        path: PathBuf,
        /// The epoch that the first record behind the gap stands on.
        parent: u64,
        /// The newest epoch before the gap.
        found: u64,
    },
    /// The segment has a format that this version does not read.
    #[error("{} has format {format} of the epoch log, and this version reads format {known}; use the version that wrote it", path.display())]
    Format {
        /// The segment.
        path: PathBuf,
        /// Its format.
        format: u32,
        /// The format that this version reads.
        known: u32,
    },
    /// A newer run has written to the log.
    #[error(
        "run {newer} has written to the epoch log in {} while this is run {run}: another host with the same state took over",
        path.display()
    )]
    Superseded {
        /// The folder.
        path: PathBuf,
        /// This run.
        run: u64,
        /// The newer run.
        newer: u64,
    },
    /// The epoch is larger than a record may be.
    #[error(
        "epoch {epoch} takes {bytes} bytes in the epoch log, and a record may have {limit}; let an epoch change less: \
         lower checkpoint.interval or state.cache"
    )]
    TooLarge {
        /// The epoch.
        epoch: u64,
        /// What it takes.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A record was handed in that does not follow the newest one. Nothing was written.
    #[error(
        "epoch {epoch} of run {run}, which stands on {parent}, cannot follow epoch {newest} in the log of run {log_run}"
    )]
    Order {
        /// The epoch handed in.
        epoch: u64,
        /// The epoch that it stands on.
        parent: u64,
        /// Its run.
        run: u64,
        /// The newest epoch in the log.
        newest: u64,
        /// The run that writes the log.
        log_run: u64,
    },
    /// The record could not be put into checkpoint storage as well. The same record may be appended
    /// again.
    #[error("epoch {epoch} could not be put into checkpoint storage, and is tried again: {reason}")]
    Mirror {
        /// The epoch that was not written.
        epoch: u64,
        /// What the storage says.
        reason: String,
    },
    /// There is no record of this epoch.
    #[error("the epoch log has no record of epoch {epoch}")]
    Unknown {
        /// The epoch.
        epoch: u64,
    },
}

impl LogError {
    /// Whether the same call may succeed later; otherwise the process stops.
    pub fn retriable(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Mirror { .. })
    }

    /// Whether another host took over.
    pub fn fenced(&self) -> bool {
        matches!(self, Self::Superseded { .. })
    }

    pub(super) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, action, source }
    }
}

/// Whether an error says that there is no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
