//! The durable side of keyed state: one RocksDB for the whole process.
//!
//! The write-ahead log is off. What RocksDB sees are whole epochs ([`Store::settle`]), one or
//! several in one atomic batch that ends with the number of the last; they are on disk after [`Store::flush`].
//!
//! A record of the store's own says in which format the rest is, and which id stands for which
//! operator name: ids are given once and kept, so state follows an operator's name however the
//! pipeline file is reordered.

pub(super) mod layout;
mod meta;
mod options;
mod saved;
#[cfg(test)]
mod tests;
mod ttl;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{DB, DEFAULT_COLUMN_FAMILY_NAME, ErrorKind, WriteBatch, WriteOptions};

pub use self::saved::{SavedState, Slot};

use self::layout::StoredSlot;
use super::{Config, DirtySlot, DirtySlots, Error};
use crate::record::KEY_GROUPS;

/// What stands for an operator in the keys of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperatorId(pub(super) u16);

impl OperatorId {
    /// The number that the keys of the operator's slots carry.
    pub fn number(self) -> u16 {
        self.0
    }

    /// The id whose number an epoch record or a savepoint names.
    pub const fn from_number(number: u16) -> Self {
        Self(number)
    }
}

/// Where a cache reads what it does not hold.
pub(super) trait SlotSource: Send + Sync + fmt::Debug {
    /// Looks up the keys that end at `ends` in `bytes` (as the store holds them), and calls `found`
    /// with the index and the slot of each that is there.
    fn load(&self, bytes: &[u8], ends: &[usize], found: &mut dyn FnMut(usize, StoredSlot<'_>)) -> Result<(), Error>;

    /// Whether the operator has no slot at all.
    fn has_no_slots(&self, operator: OperatorId) -> Result<bool, Error>;
}

/// Keyed state on disk.
pub struct Store {
    db: DB,
    path: PathBuf,
    operators: BTreeMap<String, OperatorId>,
    applied: AtomicU64,
    /// Slots that expired by this event time may be collected.
    expired_by: Arc<AtomicI64>,
    /// Epochs that were taken and are not applied yet.
    taken: Mutex<Taken>,
}

/// Epochs that will be applied in one step: a slot that several of them changed is then written once.
#[derive(Debug, Default)]
struct Taken {
    slots: Vec<DirtySlots>,
    bytes: usize,
    /// The last of them, and the checksum of its record.
    last: Option<(u64, Option<u32>)>,
}

impl Store {
    /// Opens the database, or creates it; `operators` are the keyed operators of the pipeline.
    /// State of operators that are not named is kept.
    ///
    /// # Errors
    /// When the folder is in use, damaged, or of another format; nothing in it is changed then.
    pub fn open(config: &Config, operators: &[&str]) -> Result<Arc<Self>, Error> {
        Self::open_numbered(config, operators, &BTreeMap::new())
    }

    /// The same, for slots that were kept elsewhere and carry these numbers for their operators.
    ///
    /// # Errors
    /// As [`open`](Self::open), and when the database has other numbers.
    pub fn open_numbered(
        config: &Config,
        operators: &[&str],
        numbers: &BTreeMap<String, u16>,
    ) -> Result<Arc<Self>, Error> {
        let path = config.path.clone();
        options::check_folder(&path)?;
        let expired_by = Arc::new(AtomicI64::new(i64::MIN));
        let options = options::database(config, expired_by.clone());
        // Named, so that the batched reads, which want a column family, have its handle.
        let family = [(DEFAULT_COLUMN_FAMILY_NAME, options.clone())];
        let db = DB::open_cf_with_opts(&options, &path, family).map_err(|error| open_error(&path, &error))?;
        let (names, applied) = meta::load_or_create(&db, &path, operators, numbers)?;
        Ok(Arc::new(Self {
            db,
            path,
            operators: names,
            applied: AtomicU64::new(applied),
            expired_by,
            taken: Mutex::default(),
        }))
    }

    /// The id of an operator that the store was opened with, now or earlier.
    ///
    /// # Errors
    /// When it was not.
    pub fn operator_id(&self, name: &str) -> Result<OperatorId, Error> {
        self.operators.get(name).copied().ok_or_else(|| Error::UnknownOperator { name: name.to_owned() })
    }

    /// All operators that the store has had, and what stands for them.
    pub fn operators(&self) -> &BTreeMap<String, OperatorId> {
        &self.operators
    }

    /// The last epoch that the store holds; 0 before the first.
    pub fn applied_epoch(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// Checksum of the record of the last epoch that the store holds, when it was applied with one.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn applied_checksum(&self) -> Result<Option<u32>, Error> {
        meta::applied_checksum(&self.db, &self.path, self.applied_epoch())
    }

    /// Takes the slots that all workers changed in `epoch`, and the checksum of the epoch's record: a
    /// number alone does not tell the states of two pipelines apart. They are in the database after the
    /// next [`settle`](Self::settle). Returns the bytes that wait for it.
    ///
    /// # Errors
    /// When the epoch is not after the last one.
    pub fn take(&self, epoch: u64, checksum: Option<u32>, slots: Vec<DirtySlots>) -> Result<usize, Error> {
        let mut taken = self.taken();
        let applied = taken.last.map_or_else(|| self.applied_epoch(), |(last, _)| last);
        if epoch <= applied {
            return Err(Error::EpochOrder { epoch, applied });
        }
        taken.last = Some((epoch, checksum));
        taken.bytes += slots.iter().map(|s| s.bytes().len()).sum::<usize>();
        taken.slots.extend(slots);
        Ok(taken.bytes)
    }

    /// Writes the epochs that were taken, as one atomic step.
    ///
    /// # Errors
    /// When the database cannot write; they are not lost then.
    pub fn settle(&self) -> Result<(), Error> {
        let mut taken = self.taken();
        let Some((epoch, checksum)) = taken.last else { return Ok(()) };
        let mut batch = write_batch(&taken.slots);
        batch.put(meta::APPLIED_EPOCH, epoch.to_le_bytes());
        if let Some(checksum) = checksum {
            batch.put(meta::APPLIED_RECORD, meta::record_value(epoch, checksum));
        }
        self.db.write_opt(batch, &unlogged()).map_err(|error| self.failed("apply an epoch", &error))?;
        self.applied.store(epoch, Ordering::Release);
        *taken = Taken::default();
        Ok(())
    }

    /// Takes an epoch, and settles.
    ///
    /// # Errors
    /// As [`take`](Self::take) and [`settle`](Self::settle).
    pub fn apply(&self, epoch: u64, slots: Vec<DirtySlots>) -> Result<(), Error> {
        self.take(epoch, None, slots)?;
        self.settle()
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Every change is complete before anything that could panic.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes slots that belong to no epoch yet: a part of a state that is being restored. Only the
    /// [`apply`](Self::apply) that follows makes the whole one of an epoch.
    ///
    /// # Errors
    /// When the database cannot write.
    pub fn put_slots(&self, slots: &DirtySlots) -> Result<(), Error> {
        let batch = write_batch(std::slice::from_ref(slots));
        self.db.write_opt(batch, &unlogged()).map_err(|error| self.failed("restore slots", &error))
    }

    /// Makes `folder`, which must not exist, a copy of the database as it is after some epoch, for
    /// [`SavedState::open`] or [`Store::open`]. Table files are linked, not copied, where the file
    /// system allows. Epochs can be applied meanwhile: each is one write, so the copy ends with one.
    /// Nothing in the copy is brought to disk yet.
    ///
    /// # Errors
    /// When the database cannot be flushed or the folder not be written.
    pub fn checkpoint(&self, folder: &Path) -> Result<(), Error> {
        // Without a write-ahead log the copy has what was flushed. RocksDB flushes once more; what it
        // has to flush then, and what the copy waits for, is little.
        self.flush()?;
        Checkpoint::new(&self.db)
            .and_then(|checkpoint| checkpoint.create_checkpoint(folder))
            .map_err(|error| self.failed("copy the database", &error))
    }

    /// Lets slots that expired at or before `event_time_ms` be collected from disk. The time must
    /// be one that every operator has passed in an applied epoch: what is collected is gone, even
    /// for a replay. It never goes back.
    pub fn collect_expired(&self, event_time_ms: i64) {
        self.expired_by.fetch_max(event_time_ms, Ordering::Relaxed);
    }

    /// Brings everything applied so far to disk: for a clean stop.
    ///
    /// # Errors
    /// When the database cannot write.
    pub fn flush(&self) -> Result<(), Error> {
        self.db.flush().map_err(|error| self.failed("flush", &error))
    }

    /// Flushes and merges everything.
    #[cfg(test)]
    pub(super) fn compact(&self) {
        let mut all = rocksdb::CompactOptions::default();
        all.set_bottommost_level_compaction(rocksdb::BottommostLevelCompaction::Force);
        self.db.compact_range_opt(None::<&[u8]>, None::<&[u8]>, &all);
    }

    fn failed(&self, action: &'static str, error: &rocksdb::Error) -> Error {
        database_error(&self.path, action, error)
    }
}

impl SlotSource for Store {
    fn load(&self, bytes: &[u8], ends: &[usize], found: &mut dyn FnMut(usize, StoredSlot<'_>)) -> Result<(), Error> {
        let mut start = 0;
        let keys: Vec<&[u8]> = ends.iter().map(|&end| &bytes[std::mem::replace(&mut start, end)..end]).collect();
        let Some(family) = self.db.cf_handle(DEFAULT_COLUMN_FAMILY_NAME) else {
            return Err(Error::Corrupt { path: self.path.clone(), detail: "it has no default column family".into() });
        };
        let mut unpacked = Vec::new();
        let values = self.db.batched_multi_get_cf(family, keys, false);
        for (index, value) in values.into_iter().enumerate() {
            let Some(value) = value.map_err(|error| self.failed("read slots", &error))? else { continue };
            let slot = layout::parse_value(&value, &mut unpacked).ok_or_else(|| Error::Corrupt {
                path: self.path.clone(),
                detail: format!("a slot of {} bytes is not one", value.len()),
            })?;
            found(index, slot);
        }
        Ok(())
    }

    fn has_no_slots(&self, operator: OperatorId) -> Result<bool, Error> {
        let mut cursor = self.db.raw_iterator();
        for group in 0..KEY_GROUPS {
            let prefix = layout::prefix(group, operator);
            cursor.seek(prefix);
            if cursor.key().is_some_and(|key| key.starts_with(&prefix)) {
                return Ok(false);
            }
            cursor.status().map_err(|error| self.failed("look for slots", &error))?;
        }
        Ok(true)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.path).field("applied", &self.applied).finish_non_exhaustive()
    }
}

fn write_batch(slots: &[DirtySlots]) -> WriteBatch {
    let mut batch = WriteBatch::with_capacity_bytes(slots.iter().map(|s| s.bytes().len()).sum::<usize>() + 64);
    for DirtySlot { key, value } in sorted(slots) {
        match value {
            Some(value) => batch.put(key, value),
            None => batch.delete(key),
        }
    }
    batch
}

fn unlogged() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}

/// The slots in (about) the order of their keys: neighbours in the memtable are then written one after the
/// other, and the way to each is still in the processor's cache. Of a slot that
/// several epochs have, the last one.
fn sorted(slots: &[DirtySlots]) -> impl Iterator<Item = DirtySlot<'_>> {
    // The first sixteen bytes tell nearly all keys apart.
    let mut order: Vec<(u128, DirtySlot<'_>)> = Vec::with_capacity(slots.iter().map(DirtySlots::len).sum());
    order.extend(slots.iter().flat_map(DirtySlots::iter).map(|slot| {
        let mut prefix = [0; 16];
        let len = slot.key.len().min(16);
        prefix[..len].copy_from_slice(&slot.key[..len]);
        (u128::from_be_bytes(prefix), slot)
    }));
    // Stable: what comes later counts, and within one epoch the database may find that out.
    let several = slots.windows(2).any(|pair| pair[0].epoch() != pair[1].epoch());
    let order_of =
        |x: &DirtySlot<'_>, y: &DirtySlot<'_>| if several { x.key.cmp(y.key) } else { std::cmp::Ordering::Equal };
    order.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| order_of(x, y)));
    let mut order = order.into_iter().peekable();
    std::iter::from_fn(move || {
        let (prefix, mut slot) = order.next()?;
        while let Some((_, later)) = order.next_if(|(other, later)| *other == prefix && later.key == slot.key) {
            slot = later;
        }
        Some(slot)
    })
}

/// An error of opening, told apart by what to do about it.
fn open_error(path: &Path, error: &rocksdb::Error) -> Error {
    let detail = error.as_ref();
    // RocksDB has no status of its own for a held lock.
    if error.kind() == ErrorKind::IOError && (detail.contains("lock file") || detail.contains("lock hold")) {
        return Error::Locked { path: path.to_owned() };
    }
    // A file that the manifest names is missing.
    if detail.contains("No such file") {
        return Error::Corrupt { path: path.to_owned(), detail: detail.to_owned() };
    }
    database_error(path, "open the database", error)
}

fn database_error(path: &Path, action: &'static str, error: &rocksdb::Error) -> Error {
    let (path, detail) = (path.to_owned(), error.as_ref().to_owned());
    match error.kind() {
        ErrorKind::Corruption => Error::Corrupt { path, detail },
        _ => Error::Failed { path, action, detail },
    }
}
