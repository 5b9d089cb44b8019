//! What can go wrong with keyed state, and what to do about it.

use std::path::PathBuf;

/// A failure of the store. All of them stop the pipeline: state that cannot be read or written
/// cannot be skipped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the database open.
    #[error(
        "the state folder {} is in use by another process; stop that pipeline, or give this one a folder of its own with state.path",
        path.display()
    )]
    Locked {
        /// The state folder.
        path: PathBuf,
    },
    /// The folder holds something that this version cannot read as its own.
    #[error(
        "the state folder {} does not fit: {problem}; point state.path at another folder, or move this one away to start with empty state",
        path.display()
    )]
    Mismatch {
        /// The state folder.
        path: PathBuf,
        /// What was found, and what was expected.
        problem: String,
    },
    /// Files are damaged or missing.
    #[error(
        "the state folder {} is damaged: {detail}; restore it from a copy, or move it away to start with empty state",
        path.display()
    )]
    Corrupt {
        /// The state folder.
        path: PathBuf,
        /// What the database says.
        detail: String,
    },
    /// The database or the file system refused an operation: a full disk, missing rights.
    #[error(
        "could not {action} in the state folder {}: {detail}; check free space and rights there, then start again",
        path.display()
    )]
    Failed {
        /// The state folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the database or the system says.
        detail: String,
    },
    /// An operator that the store was not opened with.
    #[error("operator `{name}` has no state here; the store was opened without it")]
    UnknownOperator {
        /// The operator's name.
        name: String,
    },
    /// An epoch was handed in that is not after the last applied one.
    #[error("epoch {epoch} cannot be applied: the state already holds epoch {applied}")]
    EpochOrder {
        /// The epoch handed in.
        epoch: u64,
        /// The epoch that the state holds.
        applied: u64,
    },
}
