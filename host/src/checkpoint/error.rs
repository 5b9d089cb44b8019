//! What can go wrong with checkpoint storage, and what to do about it.

use std::path::PathBuf;

use crate::state;

/// A failure of checkpoint storage, or of what is in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The storage or the way to it refused an operation.
    #[error("could not {action} `{object}` in checkpoint storage {storage}: {detail}; {fix}")]
    Storage {
        /// The storage, as the pipeline file names it.
        storage: String,
        /// Name of the object in it.
        object: String,
        /// What was tried.
        action: &'static str,
        /// What the storage says.
        detail: String,
        /// What to do.
        fix: &'static str,
    },
    /// Something that must be there is not.
    #[error("`{object}` is missing in checkpoint storage {storage}; {fix}")]
    Missing {
        /// The storage.
        storage: String,
        /// Name of the object.
        object: String,
        /// What to do.
        fix: &'static str,
    },
    /// Something is there that is not what was written.
    #[error(
        "`{object}` in checkpoint storage {storage} is damaged: {problem}; nothing was taken from it: \
         `millstream checkpoint verify` lists what is whole, `millstream savepoint restore PIPELINE NAME --replace` goes back to a savepoint instead"
    )]
    Damaged {
        /// The storage.
        storage: String,
        /// Name of the object.
        object: String,
        /// What is wrong with it.
        problem: String,
    },
    /// It does not fit this pipeline or this version.
    #[error("`{object}` in checkpoint storage {storage} does not fit: {problem}")]
    Unfit {
        /// The storage.
        storage: String,
        /// Name of the object.
        object: String,
        /// What was found, what was expected, and what to do.
        problem: String,
    },
    /// What was asked for is refused; the message says why and what to do.
    #[error("{0}")]
    Refused(String),
    /// A later run has begun: this process must end and change nothing any more.
    #[error(
        "run {run} is over: run {newest} of the same pipeline has begun with checkpoint storage {storage}; \
         stop one of the two hosts, or give this one a `checkpoint.path` of its own"
    )]
    Superseded {
        /// The storage.
        storage: String,
        /// This run.
        run: u64,
        /// The newest run.
        newest: u64,
    },
    /// A local file or folder.
    #[error("could not {action} {}: {detail}; check free space and rights there", path.display())]
    Local {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system says.
        detail: String,
    },
    /// Keyed state.
    #[error(transparent)]
    State(#[from] state::Error),
}

impl Error {
    /// Of a file operation.
    pub(super) fn local(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |error| Self::Local { path, action, detail: error.to_string() }
    }

    /// Whether the object is not there: a listing may be older than a deletion.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }
}
