//! Keyed state: one slot of bytes for each key of an operator.
//!
//! Two layers. The [`Store`] is RocksDB, one for the whole process; it only ever sees whole epochs.
//! In front of it every (operator, worker) pair has a [`SlotCache`], which it reads and writes
//! without a lock: reads that miss go to the store once a batch, writes stay in the cache until the
//! barrier. There the cache hands its changed slots over as [`DirtySlots`], which the store applies
//! in the background while the worker goes on; the entries cannot be evicted until it has, so a
//! read never meets a slot that is neither here nor there.
//!
//! Nothing in here awaits, and nothing knows what a slot means.

mod cache;
mod config;
mod dirty;
mod error;
mod key_column;
mod sparse;
mod store;

pub use cache::{CacheStats, Keys, SlotCache};
pub use config::*;
pub use dirty::{DirtySlot, DirtySlots, InvalidSlots};
pub use error::Error;
pub use key_column::KeyColumn;
pub use store::{OperatorId, SavedState, Slot, Store};

/// The highest version of a slot's layout: the store has a use of its own for the bit above.
pub const MAX_VERSION: u32 = i32::MAX as u32;

/// Expiry of a slot that never expires, milliseconds since the Unix epoch.
pub(crate) const NEVER: i64 = i64::MAX;
