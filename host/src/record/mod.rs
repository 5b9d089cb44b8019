//! What travels through a pipeline: batches of rows, where each row came from, and the types of
//! its columns. This module knows nobody.

mod batch;
mod dead_letter;
mod in_flight;
mod key;
mod position;
mod types;

pub use batch::{Batch, RawBlock};
pub use dead_letter::{DeadLetter, dead_letter_batch, dead_letter_schema};
pub use in_flight::{InFlight, InFlightError, decode_in_flight, encode_in_flight};
pub use key::{KEY_GROUPS, KEY_HASH, KeyHash, hash_key, hash_keys, key_bytes, key_group};
pub use position::{Position, SinkState};
pub use types::{format_type, parse_type};
