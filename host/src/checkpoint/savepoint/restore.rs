//! From a savepoint to a database that holds its state.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Serialize;

use super::blocks::{self, HEADER, MAX_RAW};
use super::{OperatorState, Savepoint};
use crate::checkpoint::restore::{beside, publish_folder, require_empty};
use crate::checkpoint::staging::Staging;
use crate::checkpoint::{Digest, Error, Storage, names};
use crate::record::{hash_key, key_group};
use crate::state::{Config, DirtySlots, MAX_VERSION, OperatorId, Slot, Store};

/// What was restored, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// Operators whose state is there again.
    pub operators: Vec<String>,
    /// Their slots.
    pub slots: u64,
    /// Operators of the savepoint whose state was left out: the pipeline has none of their name.
    pub left_out: Vec<String>,
}

impl Savepoint {
    /// Which of its operators have state that a pipeline with these keyed operators would not take.
    pub fn not_in<'a>(&'a self, operators: &'a [&str]) -> impl Iterator<Item = &'a str> {
        let with_state = self.operators.iter().filter(|(_, state)| state.slots > 0);
        with_state.map(|(name, _)| name.as_str()).filter(|name| !operators.contains(name))
    }

    /// Makes the folder of `config` a database that holds the savepoint's state as of `epoch`, for a
    /// pipeline with these keyed operators. The folder must not exist or be empty; it is there as a
    /// whole or not at all. State of operators that the pipeline does not have is refused, or left out
    /// when `allow_non_restored_state` says so.
    ///
    /// # Errors
    /// When it is refused, the folder is not empty, or the savepoint is damaged.
    pub fn restore(
        &self,
        storage: &Storage,
        config: &Config,
        operators: &[&str],
        epoch: u64,
        allow_non_restored_state: bool,
    ) -> Result<Restored, Error> {
        require_empty(&config.path)?;
        let left_out: Vec<String> = self.not_in(operators).map(str::to_owned).collect();
        if !left_out.is_empty() && !allow_non_restored_state {
            return Err(Error::Refused(format!(
                "savepoint `{}` has state of {}, which the pipeline does not have; give an operator that took its \
                 place the old name, or leave its state out with `--allow-non-restored-state`",
                self.name,
                quoted(&left_out)
            )));
        }
        for operator in &left_out {
            tracing::warn!(savepoint = self.name, operator, "state is left out: the pipeline has no such operator");
        }
        let staging = Staging::create(&beside(&config.path, "restoring"))?;
        let database = staging.path().join("db");
        let mut restored = Restored { left_out, ..Restored::default() };
        let store = Store::open(&Config { path: database.clone(), ..config.clone() }, operators)?;
        for (name, state) in self.operators.iter().filter(|(name, _)| operators.contains(&name.as_str())) {
            if state.size > 0 {
                self.restore_operator(storage, state, &store, store.operator_id(name)?, staging.path())?;
            }
            restored.operators.push(name.clone());
            restored.slots += state.slots;
        }
        store.apply(epoch, Vec::new())?;
        store.flush()?;
        drop(store);
        publish_folder(&database, &config.path)?;
        Ok(restored)
    }

    fn restore_operator(
        &self,
        storage: &Storage,
        state: &OperatorState,
        store: &Store,
        operator: OperatorId,
        work: &Path,
    ) -> Result<(), Error> {
        let object = names::blocks(&self.name, state.sha256);
        let path = work.join("blocks");
        storage.get_file(&object, state.size, &path, true)?;
        let (found, _) = Digest::of_file(&path)?;
        if found != state.sha256 {
            return Err(storage.damaged(&object, format!("its content has the SHA-256 {found}")));
        }
        let mut file = File::open(&path).map_err(Error::local("open", &path))?;
        let mut bytes = Vec::new();
        for block in &state.blocks {
            let damaged = |problem: String| {
                storage
                    .damaged(&object, format!("block of key group {} at {}: {problem}", block.key_group, block.offset))
            };
            if block.length as usize > HEADER + MAX_RAW {
                return Err(damaged(format!("it has {} bytes", block.length)));
            }
            bytes.resize(block.length as usize, 0);
            file.read_exact(&mut bytes).map_err(Error::local("read", &path))?;
            let slots = blocks::read(&bytes, block.key_group, block.slots).map_err(damaged)?;
            let mut batch = DirtySlots::with_capacity(operator, 0, bytes.len() * 2);
            let each = slots.each(|slot: Slot<'_>| {
                let group = key_group(hash_key(slot.key));
                if group != block.key_group {
                    return Err(format!("it holds a key of key group {group}"));
                }
                if slot.version > MAX_VERSION {
                    return Err(format!(
                        "it holds a slot of version {}, and the highest is {MAX_VERSION}",
                        slot.version
                    ));
                }
                batch.push(group, slot.key, Some((slot.version, slot.expires, slot.bytes)));
                Ok(())
            });
            each.map_err(damaged)?;
            store.put_slots(&batch)?;
        }
        std::fs::remove_file(&path).map_err(Error::local("delete", &path))
    }
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("operator `{name}`")).collect();
    names.join(", ")
}
