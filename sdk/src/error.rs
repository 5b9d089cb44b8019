//! What can go wrong in an operator, in the four kinds that the host tells apart.

use std::fmt;

/// Result of everything that an operator implements.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the host does about an [`Error`]. The numbers are those of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ErrorKind {
    /// The row goes to the dead-letter sink with the message; the rows around it go on.
    Rejected = 1,
    /// A passing condition: the host calls once more with the same batch.
    Retry = 2,
    /// The operator cannot go on: the pipeline stops with the message.
    Fatal = 3,
    /// `open` did not like its configuration: the pipeline does not start.
    Configuration = 4,
}

/// An error of an operator. Any `std::error::Error` becomes one with `?`, of kind
/// [`ErrorKind::Rejected`].
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    /// Refuses the row in hand.
    pub fn rejected(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Rejected, message: message.into() }
    }

    /// Asks for the same batch once more.
    pub fn retry(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Retry, message: message.into() }
    }

    /// Stops the pipeline.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Fatal, message: message.into() }
    }

    /// Refuses the configuration.
    pub fn configuration(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Configuration, message: message.into() }
    }

    /// What the host does about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What went wrong, for the reader of the dead letter or the log.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)
    }
}

// `Error` itself is no `std::error::Error`: that would collide with this conversion.
impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        Self::rejected(error.to_string())
    }
}

/// Refuses the row in hand with a formatted message: `reject!("amount {amount} is negative")`.
#[macro_export]
macro_rules! reject {
    ($($message:tt)*) => {
        return ::core::result::Result::Err($crate::Error::rejected(::std::format!($($message)*)))
    };
}

/// Refuses the row in hand unless a condition holds:
/// `ensure!(tx.amount >= 0.0, "amount {} is negative", tx.amount)`.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($message:tt)*) => {
        if !$condition {
            $crate::reject!($($message)*);
        }
    };
}
