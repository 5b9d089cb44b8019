//! Why a row has no prediction of its model, in one word. The words are stable: they stand in the
//! column `error_class`, in metrics and in dead letters.

use std::fmt;

/// Why a request, or a row, failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ErrorClass {
    /// No connection could be made: refused, unreachable, name unknown, TLS refused, or too slow.
    Connect,
    /// No complete reply within the attempt's time.
    Timeout,
    /// The connection broke before the reply was complete.
    Reset,
    /// The server has too much to do (429, 503, 529).
    Overload,
    /// A status of 500 to 599 that is no overload.
    Status5xx,
    /// A status of 400 to 499 that is no overload.
    Status4xx,
    /// Any other status: a redirect, which is not followed, or none that HTTP knows.
    StatusOther,
    /// A reply that is not what the protocol says, or not of the promised shape.
    BadReply,
    /// A reply larger than `max_reply_bytes`.
    TooLarge,
    /// An answer that the server cut off: at its length, or by its content filter.
    Unfinished,
    /// The row cannot be sent: it holds what the protocol cannot say, such as NaN in JSON.
    BadRow,
    /// The circuit breakers of all endpoints were open.
    CircuitOpen,
    /// The row waited too long for a request.
    QueueTimeout,
    /// The row's own time was spent.
    Deadline,
    /// The embedded model failed.
    Model,
}

impl ErrorClass {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::Connect,
        Self::Timeout,
        Self::Reset,
        Self::Overload,
        Self::Status5xx,
        Self::Status4xx,
        Self::StatusOther,
        Self::BadReply,
        Self::TooLarge,
        Self::Unfinished,
        Self::BadRow,
        Self::CircuitOpen,
        Self::QueueTimeout,
        Self::Deadline,
        Self::Model,
    ];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Overload => "overload",
            Self::Status5xx => "status_5xx",
            Self::Status4xx => "status_4xx",
            Self::StatusOther => "status_other",
            Self::BadReply => "bad_reply",
            Self::TooLarge => "too_large",
            Self::Unfinished => "unfinished",
            Self::BadRow => "bad_row",
            Self::CircuitOpen => "circuit_open",
            Self::QueueTimeout => "queue_timeout",
            Self::Deadline => "deadline",
            Self::Model => "model",
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_list_and_words_are_distinct() {
        for (number, class) in ErrorClass::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, number);
        }
        let mut words = ErrorClass::ALL.map(ErrorClass::as_str).to_vec();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), ErrorClass::ALL.len());
    }
}
