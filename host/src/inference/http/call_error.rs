//! An attempt that failed: what happened, in a word and in a line, and what to do about it.

use super::classify::Verdict;
use super::error_class::ErrorClass;
use super::protocol::ReplyError;

/// A failed attempt. The message names the endpoint by host and port and holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// What happened.
    pub class: ErrorClass,
    /// Whether another attempt is worth it.
    pub verdict: Verdict,
    /// Status of the response, if there was one.
    pub status: Option<u16>,
    /// What happened, in one line.
    pub message: String,
}

impl CallError {
    /// A failure on the way, for which another attempt is worth it.
    pub(super) fn transport(class: ErrorClass, message: String) -> Self {
        Self { class, verdict: Verdict::Retriable, status: None, message }
    }

    /// A failure that another attempt would repeat.
    pub(super) fn permanent(class: ErrorClass, status: Option<u16>, message: String) -> Self {
        Self { class, verdict: Verdict::Permanent, status, message }
    }

    pub(super) fn reply(label: &str, status: u16, error: ReplyError) -> Self {
        let verdict = match error.class {
            // What one server garbles another, or the same one a moment later, may say well.
            ErrorClass::BadReply => Verdict::RetriableOnce,
            _ => Verdict::Permanent,
        };
        Self { class: error.class, verdict, status: Some(status), message: format!("{label}: {}", error.reason) }
    }
}
