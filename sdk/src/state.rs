//! Keyed state: how a Rust value becomes the slot of bytes that the host keeps per key.
//!
//! A slot is the fields in order, little-endian, without padding:
//!
//! | field | bytes |
//! | --- | --- |
//! | `bool`, integers, floats | their size; `bool` is 0 or 1 |
//! | `Option<T>` of a fixed-size `T` | one byte 0 or 1, then `T` (zeros when absent) |
//! | `[T; N]`, `Tiles`, nested states | their parts in order |
//! | `String`, `Vec<T>` | length in elements (u32), then the elements |
//! | `Option<T>` of another `T` | one byte 0 or 1, then `T` if present |
//!
//! A state of fixed-size fields is a fixed-size slot, which is read and written with plain copies.
//! Reading refuses every slot that is not exactly one value: too short, too long, a flag that is
//! neither 0 nor 1, text that is not UTF-8.

mod fields;
#[cfg(test)]
mod tests;

use std::fmt;

pub use fields::StateField;
#[doc(hidden)]
pub use fields::total_size;

/// The state that an operator keeps per key. Derive it: `#[derive(State, Default)]`, with
/// `#[state(version = 2, ttl = "24h", migrate = path::to::function)]`.
///
/// A key without a slot starts from `Default`.
pub trait State: StateField + Default {
    /// Version of the slot's layout, from 1. Raise it whenever the fields change.
    const VERSION: u32 = 1;
    /// Milliseconds after the last write (event time) when the slot expires; 0 is never.
    const TTL_MS: u64 = 0;

    /// Reads a slot that version `from` (other than `VERSION`) wrote. The default refuses it.
    fn migrate(from: u32, slot: &[u8]) -> Result<Self, StateError> {
        let _ = slot;
        Err(StateError::Version { found: from, expected: Self::VERSION })
    }

    /// Reads a slot written by `version` over this value, whatever it holds.
    fn load(&mut self, version: u32, slot: &[u8]) -> Result<(), StateError> {
        if version == Self::VERSION {
            decode_into(self, slot)
        } else {
            *self = Self::migrate(version, slot)?;
            Ok(())
        }
    }
}

/// Reads exactly one value.
pub fn decode<T: StateField + Default>(slot: &[u8]) -> Result<T, StateError> {
    let mut value = T::default();
    decode_into(&mut value, slot)?;
    Ok(value)
}

/// Reads exactly one value over an existing one, whose memory is used again. After an error it holds
/// anything.
#[inline]
pub fn decode_into<T: StateField>(value: &mut T, slot: &[u8]) -> Result<(), StateError> {
    if let Some(expected) = T::FIXED_SIZE
        && slot.len() != expected
    {
        return Err(StateError::Size { found: slot.len(), expected });
    }
    let mut rest = slot;
    value.read_over(&mut rest)?;
    if rest.is_empty() { Ok(()) } else { Err(StateError::TooLong { left: rest.len() }) }
}

/// Writes one value into `out`, whose former content is dropped.
#[inline]
pub fn encode<T: StateField>(value: &T, out: &mut Vec<u8>) {
    // Every byte is overwritten; a scratch buffer of a fixed-size state is never cleared again.
    out.resize(value.size(), 0);
    value.write(out);
}

/// Why a slot is not a value of the state type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateError {
    /// A slot of the wrong size.
    Size {
        /// Bytes in the slot.
        found: usize,
        /// Bytes that the state type takes.
        expected: usize,
    },
    /// The slot ends within a field.
    TooShort,
    /// Bytes are left behind the last field.
    TooLong {
        /// How many.
        left: usize,
    },
    /// A flag that is neither 0 nor 1, or text that is not UTF-8.
    Malformed(&'static str),
    /// The slot is of another version and the state has no `migrate` for it.
    Version {
        /// Version that wrote the slot.
        found: u32,
        /// Version of this plugin's state.
        expected: u32,
    },
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { found, expected } => {
                write!(f, "a state slot has {found} bytes where this plugin's state takes {expected}")?;
            }
            Self::TooShort => write!(f, "a state slot ends within a field")?,
            Self::TooLong { left } => write!(f, "a state slot has {left} bytes too many")?,
            Self::Malformed(what) => write!(f, "a state slot is damaged: {what}")?,
            Self::Version { found, expected } => {
                return write!(
                    f,
                    "a state slot was written by state version {found}, this plugin has version {expected} and no \
                     migration for it: add `migrate` to `#[state(…)]`"
                );
            }
        }
        write!(f, "; were fields changed without raising `version` in `#[state(…)]`?")
    }
}

impl std::error::Error for StateError {}
