//! The store's record of itself, and the check that a database is one of ours.
//!
//! Keys beginning with `FF FF`: `meta`, JSON that says format, hash, number of key groups and the
//! operators' ids; `epoch`, the last applied epoch as u64 LE; and `record`, an applied epoch and the
//! checksum of its record, u64 and u32 LE, which counts while that is the last one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rocksdb::{DB, IteratorMode};
use serde::{Deserialize, Serialize};

use super::layout::META_PREFIX;
use super::{OperatorId, database_error};
use crate::record::{KEY_GROUPS, KEY_HASH};
use crate::state::Error;

const META: &[u8] = b"\xFF\xFFmeta";
/// Key of the last applied epoch.
pub(super) const APPLIED_EPOCH: &[u8] = b"\xFF\xFFepoch";
/// Key of the checksum of an applied epoch's record.
pub(super) const APPLIED_RECORD: &[u8] = b"\xFF\xFFrecord";

/// Format of keys and values as `layout.rs` has it.
const FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Meta {
    format: u32,
    hash: String,
    key_groups: u16,
    operators: BTreeMap<String, u16>,
}

/// Reads the record, or writes the first one; gives ids to operators that have none: those of
/// `numbers`, and the next free ones. Returns all operators and the last applied epoch.
pub(super) fn load_or_create(
    db: &DB,
    path: &Path,
    operators: &[&str],
    numbers: &BTreeMap<String, u16>,
) -> Result<(BTreeMap<String, OperatorId>, u64), Error> {
    let failed = |error: rocksdb::Error| database_error(path, "read its format", &error);
    let found = db.get_pinned(META).map_err(failed)?;
    let mut meta = match &found {
        Some(bytes) => check(path, bytes)?,
        None if db.iterator(IteratorMode::Start).next().transpose().map_err(failed)?.is_some() => {
            return Err(mismatch(path, "it is a RocksDB database, but not one of Millstream's".into()));
        }
        None => Meta { format: FORMAT, hash: KEY_HASH.into(), key_groups: KEY_GROUPS, operators: BTreeMap::new() },
    };
    let known = meta.operators.len();
    take_ids(&mut meta.operators, numbers).map_err(|problem| mismatch(path, problem))?;
    assign_ids(&mut meta.operators, operators)
        .ok_or_else(|| mismatch(path, format!("it has had {known} operators, and cannot number more")))?;
    if found.is_none() || meta.operators.len() > known {
        write(db, path, &meta)?;
    }
    Ok((ids(meta), applied_epoch(db, path)?))
}

/// Reads the record of a database that is only read: all operators and the last applied epoch.
pub(super) fn load(db: &DB, path: &Path) -> Result<(BTreeMap<String, OperatorId>, u64), Error> {
    let found = db.get_pinned(META).map_err(|error| database_error(path, "read its format", &error))?;
    let Some(bytes) = found else {
        return Err(mismatch(path, "it is a RocksDB database, but not one of Millstream's".into()));
    };
    Ok((ids(check(path, &bytes)?), applied_epoch(db, path)?))
}

fn ids(meta: Meta) -> BTreeMap<String, OperatorId> {
    meta.operators.into_iter().map(|(name, id)| (name, OperatorId(id))).collect()
}

fn applied_epoch(db: &DB, path: &Path) -> Result<u64, Error> {
    let found = db.get_pinned(APPLIED_EPOCH).map_err(|error| database_error(path, "read its epoch", &error))?;
    let Some(bytes) = found else { return Ok(0) };
    Ok(u64::from_le_bytes(bytes.as_ref().try_into().map_err(|_| Error::Corrupt {
        path: path.to_owned(),
        detail: format!("its applied epoch has {} bytes instead of 8", bytes.len()),
    })?))
}

/// What is kept of an applied epoch's record.
pub(super) fn record_value(epoch: u64, checksum: u32) -> [u8; 12] {
    let mut value = [0; 12];
    value[..8].copy_from_slice(&epoch.to_le_bytes());
    value[8..].copy_from_slice(&checksum.to_le_bytes());
    value
}

/// The checksum of the record of the last applied epoch, when it is known.
pub(super) fn applied_checksum(db: &DB, path: &Path, applied: u64) -> Result<Option<u32>, Error> {
    let found = db.get_pinned(APPLIED_RECORD).map_err(|error| database_error(path, "read its epoch", &error))?;
    let checksum = found.as_deref().and_then(|value| value.strip_prefix(&applied.to_le_bytes()));
    Ok(checksum.and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes))
}

/// Reads the record of an existing database and compares it with what this version writes.
fn check(path: &Path, bytes: &[u8]) -> Result<Meta, Error> {
    /// What any format has.
    #[derive(Deserialize)]
    struct Versioned {
        format: u32,
    }
    let unreadable = |error: serde_json::Error| Error::Corrupt {
        path: path.to_owned(),
        detail: format!("its format record: {error}"),
    };
    // The format first: the other fields may differ in another one.
    let Versioned { format } = serde_json::from_slice(bytes).map_err(unreadable)?;
    if format != FORMAT {
        return Err(mismatch(path, format!("its format is {format}, and this version reads format {FORMAT}")));
    }
    let meta: Meta = serde_json::from_slice(bytes).map_err(unreadable)?;
    if meta.hash != KEY_HASH {
        return Err(mismatch(
            path,
            format!("its keys are hashed with {}, and this version uses {KEY_HASH}", meta.hash),
        ));
    }
    if meta.key_groups != KEY_GROUPS {
        let found = meta.key_groups;
        return Err(mismatch(path, format!("it has {found} key groups, and this version uses {KEY_GROUPS}")));
    }
    if meta.operators.values().collect::<BTreeSet<_>>().len() < meta.operators.len() {
        let detail = "two operators share an id in its format record".into();
        return Err(Error::Corrupt { path: path.to_owned(), detail });
    }
    Ok(meta)
}

/// Takes ids that were given elsewhere.
fn take_ids(ids: &mut BTreeMap<String, u16>, numbers: &BTreeMap<String, u16>) -> Result<(), String> {
    for (name, number) in numbers {
        match ids.get(name) {
            Some(id) if id == number => {}
            Some(id) => return Err(format!("operator `{name}` has the number {id} in it, and {number} is expected")),
            None if ids.values().any(|id| id == number) => {
                return Err(format!(
                    "operator `{name}` is expected to have the number {number}, which another one has"
                ));
            }
            None => {
                ids.insert(name.clone(), *number);
            }
        }
    }
    Ok(())
}

/// Gives the next free ids to names that have none; `None` when there are no more.
fn assign_ids(ids: &mut BTreeMap<String, u16>, operators: &[&str]) -> Option<()> {
    let mut next = ids.values().max().map_or(Some(0), |&last| last.checked_add(1));
    for &name in operators {
        if !ids.contains_key(name) {
            let id = next?;
            ids.insert(name.to_owned(), id);
            next = id.checked_add(1);
        }
    }
    Some(())
}

/// Writes the record and brings it to disk before any slot can refer to its ids.
fn write(db: &DB, path: &Path, meta: &Meta) -> Result<(), Error> {
    debug_assert!(META.starts_with(&META_PREFIX) && APPLIED_EPOCH.starts_with(&META_PREFIX));
    let bytes = serde_json::to_vec(meta).map_err(|error| Error::Failed {
        path: path.to_owned(),
        action: "write its format",
        detail: error.to_string(),
    })?;
    let mut unlogged = rocksdb::WriteOptions::default();
    unlogged.disable_wal(true);
    db.put_opt(META, bytes, &unlogged)
        .and_then(|()| db.flush())
        .map_err(|error| database_error(path, "write its format", &error))
}

fn mismatch(path: &Path, problem: String) -> Error {
    Error::Mismatch { path: path.to_owned(), problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_given_once_and_never_again() {
        let mut ids = BTreeMap::new();
        assert_eq!(assign_ids(&mut ids, &["b", "a"]), Some(()));
        assert_eq!(assign_ids(&mut ids, &["c", "a", "b"]), Some(()));
        assert_eq!(ids, BTreeMap::from([("b".into(), 0), ("a".into(), 1), ("c".into(), 2)]));
    }

    #[test]
    fn ids_from_elsewhere_are_taken_unless_they_contradict() {
        let number = |name: &str, id: u16| BTreeMap::from([(name.to_owned(), id)]);
        let mut ids = number("a", 3);
        assert_eq!(take_ids(&mut ids, &BTreeMap::from([("a".into(), 3), ("b".into(), 0)])), Ok(()));
        assert_eq!(assign_ids(&mut ids, &["c"]), Some(()));
        assert_eq!(ids, BTreeMap::from([("a".into(), 3), ("b".into(), 0), ("c".into(), 4)]));
        assert!(take_ids(&mut ids, &number("a", 4)).is_err_and(|e| e.contains("number 3")));
        assert!(take_ids(&mut ids, &number("d", 4)).is_err_and(|e| e.contains("another one")));
    }

    #[test]
    fn the_last_id_can_be_given_but_none_after_it() {
        let mut ids = BTreeMap::from([("old".to_owned(), u16::MAX - 1)]);
        assert_eq!(assign_ids(&mut ids, &["last"]), Some(()));
        assert_eq!(ids["last"], u16::MAX);
        assert_eq!(assign_ids(&mut ids, &["one too many"]), None);
    }
}
