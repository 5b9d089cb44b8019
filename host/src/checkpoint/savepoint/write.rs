//! Makes a savepoint of a saved state: one file at a time, beside the storage, then its document.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::Value;

use super::blocks::Builder;
use super::{Block, FORMAT, OperatorState, Savepoint};
use crate::checkpoint::digest::{self, Hasher};
use crate::checkpoint::staging::Staging;
use crate::checkpoint::{Error, Storage, names, run};
use crate::record::{KEY_GROUPS, KEY_HASH};
use crate::state::{OperatorId, SavedState, Slot};

impl Savepoint {
    /// Makes one, in the storage. `record` is the header of the record of the state's epoch; `work`
    /// is a folder for work in progress, with room for the state of the largest operator.
    ///
    /// # Errors
    /// When one of the name is there, the state cannot be read, or the storage cannot write.
    pub fn create(
        storage: &Storage,
        name: &str,
        pipeline: &str,
        record: Value,
        state: &SavedState,
        work: &Path,
    ) -> Result<Self, Error> {
        Self::check_free(storage, name)?;
        let work = Staging::create(work)?;
        let file = work.path().join("blocks");
        let mut operators = BTreeMap::new();
        for (operator, id) in state.operators() {
            let written = write_operator(state, *id, &file)?;
            if written.size > 0 {
                storage.put_file(&names::blocks(name, written.sha256), &file)?;
            }
            operators.insert(operator.clone(), written);
        }
        let savepoint = Self {
            format: FORMAT,
            name: name.to_owned(),
            pipeline: pipeline.to_owned(),
            epoch: state.epoch(),
            created_at_ms: run::now_ms(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            hash: KEY_HASH.to_owned(),
            key_groups: KEY_GROUPS,
            record,
            operators,
        };
        let object = names::savepoint(name);
        let sealed = digest::seal(&savepoint).map_err(|e| storage.unfit(&object, e.to_string()))?;
        match storage.create(&object, &sealed)? {
            true => Ok(savepoint),
            false => Err(taken(storage, name)),
        }
    }

    /// Refuses a name that cannot be one, or is taken: before the work is done.
    ///
    /// # Errors
    /// When it is so.
    pub fn check_free(storage: &Storage, name: &str) -> Result<(), Error> {
        names::check_savepoint(name).map_err(Error::Refused)?;
        match storage.object(&names::savepoint(name))? {
            None => Ok(()),
            Some(_) => Err(taken(storage, name)),
        }
    }
}

fn taken(storage: &Storage, name: &str) -> Error {
    let place = storage.location();
    Error::Refused(format!("there is a savepoint `{name}` in checkpoint storage {place} already; choose another name"))
}

/// Writes the slots of an operator to a file.
fn write_operator(state: &SavedState, operator: OperatorId, file: &Path) -> Result<OperatorState, Error> {
    // A new file each time: the storage may have kept a link to the last one.
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::local("delete", file)(error)),
        _ => {}
    }
    let mut out = Output {
        file: BufWriter::new(File::create(file).map_err(Error::local("create", file))?),
        path: file,
        hash: Hasher::default(),
        size: 0,
        blocks: Vec::new(),
    };
    let (mut versions, mut slots) = (BTreeSet::new(), 0);
    let mut builder = Builder::new();
    for key_group in 0..KEY_GROUPS {
        state.slots(operator, key_group, |slot: Slot<'_>| {
            versions.insert(slot.version);
            slots += 1;
            builder.push(slot).map_err(Error::Refused)?;
            if builder.is_full() { out.block(&mut builder, key_group) } else { Ok(()) }
        })?;
        if builder.slots() > 0 {
            out.block(&mut builder, key_group)?;
        }
    }
    let Output { file: writer, hash, size, blocks, .. } = out;
    let done = writer.into_inner().map_err(|e| Error::local("write", file)(e.into_error()))?;
    done.sync_all().map_err(Error::local("sync", file))?;
    Ok(OperatorState { versions, slots, sha256: hash.finish(), size, blocks })
}

struct Output<'a> {
    file: BufWriter<File>,
    path: &'a Path,
    hash: Hasher,
    size: u64,
    blocks: Vec<Block>,
}

impl Output<'_> {
    fn block(&mut self, builder: &mut Builder, key_group: u16) -> Result<(), Error> {
        let slots = builder.slots();
        let bytes = builder.finish(key_group).map_err(Error::local("compress slots for", self.path))?;
        self.file.write_all(&bytes).map_err(Error::local("write", self.path))?;
        self.hash.update(&bytes);
        // Compressed slots of at most a gibibyte.
        self.blocks.push(Block { key_group, offset: self.size, length: bytes.len() as u32, slots });
        self.size += bytes.len() as u64;
        Ok(())
    }
}
