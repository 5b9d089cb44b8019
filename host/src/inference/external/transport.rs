//! The way to a model: over HTTP, or to a thread of this process. The rest of the operator does not
//! know which.

use std::time::Duration;

use super::rows::Request;
use crate::inference::http::{BadRow, ErrorClass, Reply};
use crate::inference::resilience::Outcome;

/// A way to a model.
pub(super) trait Transport {
    /// Asks an endpoint. Dropping the call gives it up.
    async fn call(&self, endpoint: usize, request: &Request, within: Duration) -> Result<Reply, CallFailure>;
}

/// Whether another attempt is worth it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It may succeed.
    Retriable,
    /// It may succeed, but a second failure of this kind is final.
    RetriableOnce,
    /// It may succeed once there is less to do, and not before so long.
    Overload(Option<Duration>),
    /// It will not.
    Permanent,
}

/// Why a call was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CallFailure {
    pub class: ErrorClass,
    pub fate: Fate,
    /// In one line.
    pub reason: String,
    /// Rows that cannot be sent. The server was not asked then.
    pub bad_rows: Vec<BadRow>,
}

impl CallFailure {
    /// What it says of the endpoint.
    pub(super) fn outcome(&self) -> Outcome {
        match (self.fate, self.class) {
            (_, ErrorClass::BadRow) => Outcome::Cancelled,
            (Fate::Overload(retry_after), _) => Outcome::Overloaded { retry_after },
            (_, ErrorClass::Timeout) => Outcome::TimedOut,
            (_, ErrorClass::Status4xx) => Outcome::Rejected,
            _ => Outcome::Failed,
        }
    }
}
