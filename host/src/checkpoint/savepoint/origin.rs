//! Which savepoint a pipeline went on from: the object `restored.json`, written when it was restored.
//! By it a host that is started again with the same `--from-savepoint` knows that this is done.

use serde::{Deserialize, Serialize};

use crate::checkpoint::{Error, Storage, names};

const MAX_BYTES: u64 = 64 << 10;

/// The savepoint that the state came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Name of the savepoint.
    pub savepoint: String,
    /// The epoch that its state became.
    pub epoch: u64,
    /// The run that restored it.
    pub run: u64,
}

impl Origin {
    /// Reads it; `None` when no savepoint was restored.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(storage: &Storage) -> Result<Option<Self>, Error> {
        match storage.get(names::RESTORED, MAX_BYTES) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| storage.damaged(names::RESTORED, e.to_string())),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// When the storage cannot write.
    pub fn write(&self, storage: &Storage) -> Result<(), Error> {
        let bytes = serde_json::to_vec_pretty(self).map_err(|e| storage.damaged(names::RESTORED, e.to_string()))?;
        storage.put(names::RESTORED, &bytes)
    }
}
