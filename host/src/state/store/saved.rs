//! A database that is only read: the copy that [`Store::checkpoint`](super::Store::checkpoint) made,
//! or the state folder of a host that does not run.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use rocksdb::{DB, ReadOptions};

use super::layout::{self, KEY_PREFIX};
use super::{OperatorId, database_error, meta, open_error, options};
use crate::state::Error;

/// State as of one epoch, which nothing changes any more.
pub struct SavedState {
    db: DB,
    path: PathBuf,
    operators: BTreeMap<String, OperatorId>,
    epoch: u64,
}

/// A slot and its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot<'a> {
    /// Bytes of the key.
    pub key: &'a [u8],
    /// Version of the state schema that the slot was written with.
    pub version: u32,
    /// Event time at which it expires, milliseconds since the Unix epoch; `i64::MAX` is never.
    pub expires: i64,
    /// The slot.
    pub bytes: &'a [u8],
}

impl SavedState {
    /// Opens a database without changing it, except for RocksDB's own log file `LOG`.
    ///
    /// # Errors
    /// When it is damaged or of another format.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let db = DB::open_for_read_only(&options::read_only(), path, false).map_err(|e| open_error(path, &e))?;
        let (operators, epoch) = meta::load(&db, path)?;
        Ok(Self { db, path: path.to_owned(), operators, epoch })
    }

    /// The last epoch that it holds; 0 before the first.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// All operators that the store has had, and what stands for them.
    pub fn operators(&self) -> &BTreeMap<String, OperatorId> {
        &self.operators
    }

    /// Calls `each` with the slots of an operator in one key group, by key. Expired slots are among
    /// them until a compaction has collected them.
    ///
    /// # Errors
    /// When the database cannot be read, or the first error of `each`.
    pub fn slots<E: From<Error>>(
        &self,
        operator: OperatorId,
        key_group: u16,
        mut each: impl FnMut(Slot<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let prefix = layout::prefix(key_group, operator);
        let mut once = ReadOptions::default();
        once.fill_cache(false);
        let mut cursor = self.db.raw_iterator_opt(once);
        cursor.seek(prefix);
        let mut unpacked = Vec::new();
        while let Some((key, value)) = cursor.item().filter(|(key, _)| key.starts_with(&prefix)) {
            let slot = layout::parse_value(value, &mut unpacked).ok_or_else(|| Error::Corrupt {
                path: self.path.clone(),
                detail: format!("a slot of {} bytes is not one", value.len()),
            })?;
            let layout::StoredSlot { version, expires, bytes } = slot;
            each(Slot { key: &key[KEY_PREFIX..], version, expires, bytes })?;
            cursor.next();
        }
        cursor.status().map_err(|error| database_error(&self.path, "read slots", &error))?;
        Ok(())
    }
}

impl fmt::Debug for SavedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SavedState").field("path", &self.path).field("epoch", &self.epoch).finish_non_exhaustive()
    }
}
