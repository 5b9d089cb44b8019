//! Why a part of a pipeline could not go on, and what is to be done about it.

/// What a failure asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The pipeline ends: trying again would fail again.
    Stop,
    /// The pipeline goes back to the last committed epoch and tries again.
    Rewind,
    /// Another host with the same identity has taken over: this one must not write any more.
    Fenced,
    /// The reader of a pipe is gone: it has what it wanted (`| head`), so the pipeline ends as if it
    /// had been told to.
    Closed,
}

/// Why a pipeline stopped: a part of it could not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{node}: {message}")]
pub struct Failure {
    /// The part, as in "source `transactions`".
    pub node: String,
    /// What happened, where, and what to do.
    pub message: String,
    /// What it asks for.
    pub kind: FailureKind,
}

impl Failure {
    /// A failure of a part of the pipeline that ends it.
    pub fn new(node: impl Into<String>, message: impl ToString) -> Self {
        Self { node: node.into(), message: message.to_string(), kind: FailureKind::Stop }
    }

    /// The same, for what may well succeed after a return to the last committed epoch.
    #[must_use]
    pub fn rewind(self) -> Self {
        Self { kind: FailureKind::Rewind, ..self }
    }

    /// The same, when another host has taken over.
    #[must_use]
    pub fn fenced(self) -> Self {
        Self { kind: FailureKind::Fenced, ..self }
    }

    /// The same, for a pipe whose reader is gone.
    #[must_use]
    pub fn closed(self) -> Self {
        Self { kind: FailureKind::Closed, ..self }
    }
}
