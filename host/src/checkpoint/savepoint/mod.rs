//! Savepoints: the state of a pipeline as of one epoch, kept by name, in a format that knows no
//! database: `savepoint.json`, a sealed document (see `digest.rs`) which is written last and never
//! replaced, and for each operator that has state a file of blocks (see `blocks.rs`).
//!
//! A savepoint says by name which operators it is of, so it fits a pipeline in which they stand
//! elsewhere, with any number of workers; what the slots mean, the version of the state schema that
//! each carries says.

mod blocks;
mod origin;
mod restore;
#[cfg(test)]
mod tests;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::manifest::{check_format, check_keys, check_pipeline};
use super::names::{self, SAVEPOINTS};
use super::{Digest, Error, Storage, digest};
use crate::record::KEY_GROUPS;

pub use origin::Origin;
pub use restore::Restored;

/// Format of savepoints that this version writes.
const FORMAT: u32 = 1;
/// Largest document that is read: an index of some 500,000 blocks, which is a state of a terabyte.
const MAX_BYTES: u64 = 64 << 20;

/// A savepoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Savepoint {
    format: u32,
    /// Its name.
    pub name: String,
    /// Name of the pipeline.
    pub pipeline: String,
    /// The epoch that it holds.
    pub epoch: u64,
    /// When it was made, milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// Version of Millstream that made it.
    pub version: String,
    /// Hash of the keys.
    pub hash: String,
    /// Number of key groups.
    pub key_groups: u16,
    /// The header of the epoch's record: source positions, sinks, generations, models.
    pub record: Value,
    /// The operators, by name.
    pub operators: BTreeMap<String, OperatorState>,
}

/// The state of one operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorState {
    /// Versions of the state schema that its slots carry.
    pub versions: BTreeSet<u32>,
    /// Number of its slots.
    pub slots: u64,
    /// Digest of its file.
    pub sha256: Digest,
    /// Size of its file in bytes.
    pub size: u64,
    /// The blocks of its file, in their order, which is that of the key groups.
    pub blocks: Vec<Block>,
}

/// Where the slots of a key group are; a key group of many has several blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The key group.
    pub key_group: u16,
    /// Where the block begins in the file, in bytes.
    pub offset: u64,
    /// Its length in the file, in bytes.
    pub length: u32,
    /// Number of its slots.
    pub slots: u32,
}

impl Savepoint {
    /// Reads and checks a savepoint's document.
    ///
    /// # Errors
    /// When there is no such savepoint, or it is damaged or of another format.
    pub fn read(storage: &Storage, name: &str) -> Result<Self, Error> {
        names::check_savepoint(name).map_err(Error::Refused)?;
        let object = names::savepoint(name);
        let bytes = storage.get(&object, MAX_BYTES).map_err(|error| match error {
            Error::Missing { storage: place, object, .. } => {
                Error::Missing { storage: place, object, fix: "`millstream savepoint list` shows those that are there" }
            }
            other => other,
        })?;
        digest::check_seal(&bytes).map_err(|problem| storage.damaged(&object, problem))?;
        check_format(storage, &object, &bytes, FORMAT)?;
        let savepoint: Self = serde_json::from_slice(&bytes).map_err(|e| storage.damaged(&object, e.to_string()))?;
        check_keys(storage, &object, &savepoint.hash, savepoint.key_groups)?;
        if savepoint.name != name {
            return Err(storage.damaged(&object, format!("it is called `{}`", savepoint.name.escape_debug())));
        }
        for (operator, state) in &savepoint.operators {
            state.check().map_err(|problem| {
                storage.damaged(&object, format!("operator `{}`: {problem}", operator.escape_debug()))
            })?;
        }
        Ok(savepoint)
    }

    /// Refuses the savepoint of another pipeline.
    ///
    /// # Errors
    /// When it is.
    pub fn check_pipeline(&self, storage: &Storage, pipeline: &str) -> Result<(), Error> {
        check_pipeline(storage, &names::savepoint(&self.name), &self.pipeline, pipeline)
    }

    /// Slots of all operators.
    pub fn slots(&self) -> u64 {
        self.operators.values().map(|o| o.slots).sum()
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.operators.values().map(|o| o.size).sum()
    }

    /// Names of its files, and what they must be.
    pub(super) fn files(&self) -> impl Iterator<Item = (String, Option<(Digest, u64)>)> {
        let with_slots = self.operators.values().filter(|state| state.size > 0);
        with_slots.map(|state| (names::blocks(&self.name, state.sha256), Some((state.sha256, state.size))))
    }
}

impl OperatorState {
    /// Whether its blocks are its file, in order.
    fn check(&self) -> Result<(), String> {
        let (mut offset, mut slots, mut last) = (0u64, 0u64, 0);
        for block in &self.blocks {
            if block.offset != offset || block.key_group < last || block.key_group >= KEY_GROUPS {
                return Err(format!("its block of key group {} at {} is out of place", block.key_group, block.offset));
            }
            // Neither sum can overflow: an index holds far fewer than 2^32 blocks.
            offset += u64::from(block.length);
            slots += u64::from(block.slots);
            last = block.key_group;
        }
        if (offset, slots) == (self.size, self.slots) {
            return Ok(());
        }
        Err(format!("its blocks have {slots} slots in {offset} bytes, and not {} in {}", self.slots, self.size))
    }
}

/// Names of the savepoints of a storage, in alphabetical order.
///
/// # Errors
/// When they cannot be listed.
pub fn savepoints(storage: &Storage) -> Result<Vec<String>, Error> {
    let objects = storage.list(SAVEPOINTS)?;
    let name = |object: &str| {
        let name = names::savepoint_of(object)?;
        (object == names::savepoint(name) && names::check_savepoint(name).is_ok()).then(|| name.to_owned())
    };
    Ok(objects.iter().filter_map(|o| name(&o.name)).collect())
}
