//! The way to a model: over HTTP, or to a thread of this process. The rest of the operator does not
//! know which.

use std::time::Duration;

use super::rows::Request;
use crate::inference::http::{BadRow, ErrorClass, Reply, Verdict};
use crate::inference::resilience::Outcome;

/// A way to a model.
pub(super) trait Transport {
    /// Asks an endpoint, which fails as [`CallFailure::late`] when it takes longer than `within`. Dropping
    /// the call gives it up.
    async fn call(&self, endpoint: usize, request: &Request, within: Duration) -> Result<Reply, CallFailure>;
}

/// Why a call was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CallFailure {
    pub class: ErrorClass,
    pub verdict: Verdict,
    /// In one line.
    pub reason: String,
    /// Rows that cannot be sent. The server was not asked then.
    pub bad_rows: Vec<BadRow>,
}

impl CallFailure {
    pub(super) fn of(class: ErrorClass, verdict: Verdict, reason: impl Into<String>) -> Self {
        Self { class, verdict, reason: reason.into(), bad_rows: Vec::new() }
    }

    /// No answer came within the time for it.
    pub(super) fn late(within: Duration) -> Self {
        Self::of(ErrorClass::Timeout, Verdict::Retriable, format!("no answer within {within:?}"))
    }

    /// Whether the server refused what it was sent, which may be one row's doing.
    pub(super) fn is_of_rows(&self) -> bool {
        use ErrorClass::{Model, Status4xx, Status5xx, TooLarge};
        self.verdict == Verdict::Permanent && matches!(self.class, Status4xx | Status5xx | TooLarge | Model)
    }

    /// What it says of the endpoint.
    pub(super) fn outcome(&self) -> Outcome {
        match (self.verdict, self.class) {
            (_, ErrorClass::BadRow) => Outcome::Cancelled,
            (Verdict::Overload { retry_after }, _) => Outcome::Overloaded { retry_after },
            (_, ErrorClass::Timeout) => Outcome::TimedOut,
            // Refused for its rows: the server is well.
            (Verdict::Permanent, ErrorClass::Status4xx) => Outcome::Rejected,
            _ => Outcome::Failed,
        }
    }
}
