//! The database as the protocol sees it: it holds an epoch, takes the next ones, and can be made
//! from a snapshot.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Recorded;
use super::journal::Numbers;
use crate::checkpoint::{self, Manifest, RecentRecords, Storage};
use crate::config::Pipeline;
use crate::epoch::protocol::{Committed, Held};
use crate::epoch::{EpochRecord, State};
use crate::state::{self, DirtySlots, Store};

/// Epochs are applied together for so long: a key that changes all the time is then written once a
/// second and not once an epoch. Epochs of a second are applied one by one.
const GATHER: Duration = Duration::from_millis(750);
/// Bytes of slots that wait to be applied, at most.
const GATHERED_BYTES: usize = 32 << 20;
/// Epochs that wait, at most: a snapshot, which holds what is applied, needs the record of its epoch, and of
/// long records only the last sixteen are remembered.
const GATHERED: usize = 8;

pub(super) struct Database {
    config: state::Config,
    pipeline: String,
    keyed: Vec<String>,
    storage: Arc<Storage>,
    numbers: Numbers,
    store: Mutex<Option<Arc<Store>>>,
    /// Records of the last epochs, for the snapshot that turns out to hold one of them.
    pub recent: Arc<RecentRecords>,
    /// Header of the record that is applied next.
    pub next: Option<serde_json::Value>,
    /// When the store last held all that it had taken.
    settled: Instant,
    /// Epochs that were taken since.
    gathered: usize,
}

impl Database {
    pub(super) fn new(pipeline: &Pipeline, keyed: &[&str], storage: Arc<Storage>) -> Self {
        Self {
            config: state::Config { path: pipeline.state.path.join("db"), ..pipeline.state.clone() },
            pipeline: pipeline.name.clone(),
            keyed: keyed.iter().map(|&name| name.to_owned()).collect(),
            storage,
            numbers: Numbers::default(),
            store: Mutex::default(),
            recent: Arc::default(),
            next: None,
            settled: Instant::now(),
            gathered: 0,
        }
    }

    pub(super) fn numbers(&self) -> Numbers {
        Arc::clone(&self.numbers)
    }

    /// Opens it, or makes an empty one whose operators have the numbers that slots in the log carry.
    pub(super) fn open(&self) -> Result<Arc<Store>, state::Error> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = &*store {
            return Ok(Arc::clone(store));
        }
        let names: Vec<&str> = self.keyed.iter().map(String::as_str).collect();
        let numbers: BTreeMap<String, u16> = self.numbers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let opened = Store::open_numbered(&self.config, &names, &numbers)?;
        Ok(Arc::clone(store.insert(opened)))
    }

    /// Opens it if it is there.
    pub(super) fn open_existing(&self) -> Result<(), state::Error> {
        if self.config.path.join("CURRENT").exists() {
            // What cannot be read is not taken for what is not known.
            self.open()?.applied_checksum()?;
        }
        Ok(())
    }

    /// The store, when it is open.
    pub(super) fn store(&self) -> Option<Arc<Store>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Applies what was taken when that was a while ago.
    pub(super) fn settle_when_due(&mut self) -> Result<(), String> {
        if self.settled.elapsed() < GATHER { Ok(()) } else { self.settle() }
    }

    /// The epoch that the store holds has this record.
    pub(super) fn remember(&self, record: &EpochRecord, checksum: u32) {
        if let Ok(header) = serde_json::to_value(record) {
            self.recent.push(record.epoch, Recorded { header, checksum });
        }
    }
}

impl State for Database {
    fn applied(&self) -> Held {
        let held = |store: Arc<Store>| Held {
            epoch: store.applied_epoch(),
            checksum: store.applied_checksum().ok().flatten(),
        };
        self.store().map_or_else(Held::default, held)
    }

    fn apply(&mut self, committed: Committed, slots: Vec<DirtySlots>) -> Result<(), String> {
        let store = self.open().map_err(|e| e.to_string())?;
        if let Some(header) = self.next.take() {
            self.recent.push(committed.epoch(), Recorded { header, checksum: committed.checksum() });
        }
        let taken = store.take(committed.epoch(), Some(committed.checksum()), slots).map_err(|e| e.to_string())?;
        self.gathered += 1;
        if taken >= GATHERED_BYTES || self.gathered >= GATHERED { self.settle() } else { self.settle_when_due() }
    }

    fn settle(&mut self) -> Result<(), String> {
        (self.settled, self.gathered) = (Instant::now(), 0);
        self.store().map_or(Ok(()), |store| store.settle().map_err(|e| e.to_string()))
    }

    fn restore(&mut self, snapshot: u64) -> Result<(), String> {
        let of = |m: &Manifest| m.epoch == snapshot;
        let manifest = checkpoint::newest_snapshot(&self.storage, &self.pipeline, of).map_err(|e| e.to_string())?;
        let manifest = manifest.ok_or_else(|| format!("the snapshot of epoch {snapshot} is gone"))?;
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let failed = |e: std::io::Error| format!("{}: {e}", self.config.path.display());
        match std::fs::remove_dir_all(&self.config.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        tracing::info!(epoch = snapshot, "the state comes from a snapshot");
        checkpoint::restore_snapshot(&self.storage, &manifest, &self.config.path).map_err(|e| e.to_string())
    }
}
