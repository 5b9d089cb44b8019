//! What came of one call, as far as resilience is concerned.

use std::time::Duration;

/// What came of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server answered as asked.
    Answered,
    /// The server answered that the request is wrong (most of 4xx): it is well, no attempt will succeed.
    Rejected,
    /// No answer, a broken one, or a fault of the server (5xx).
    Failed,
    /// No answer within the attempt's time. When that was cut short, by the record's deadline, to less
    /// than an answer usually takes, it is [`Self::Cancelled`].
    TimedOut,
    /// The server has too much to do (429, 503).
    Overloaded {
        /// Its `Retry-After`, when it sent one.
        retry_after: Option<Duration>,
    },
    /// We gave up for a reason of our own (the hedge won, shutdown): says nothing of the server.
    Cancelled,
}
