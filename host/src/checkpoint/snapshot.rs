//! Takes snapshots: the files of the database as of one epoch, into checkpoint storage.
//!
//! RocksDB never changes a table file, so each is hashed once and uploaded once; a snapshot costs
//! what was written since the one before it. The order makes it whole or absent: a copy of links
//! beside the database, opened once to prove that it opens and to learn its epoch; the files that
//! the storage does not have yet; at last the manifest. Epochs are applied meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::manifest::{Manifest, ManifestFile, Recorded};
use super::names::{META, TABLES};
use super::staging::Staging;
use super::{Config, Digest, Error, SnapshotId, Storage, gc, run};
use crate::state::{SavedState, Store};

/// Takes the snapshots of one run, one at a time.
#[derive(Debug)]
pub struct Snapshotter {
    storage: Arc<Storage>,
    config: Config,
    pipeline: String,
    run: u64,
    staging: PathBuf,
    /// Digests of table files by their place on disk, so that no other file can pass for one.
    digests: HashMap<FileKey, Digest>,
    newest: Option<SnapshotId>,
}

/// What a snapshot cost, and what it allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Which one it is. Its epoch and all before it are safe in storage.
    pub id: SnapshotId,
    /// The oldest epoch of a snapshot that is kept: the log may be cut up to here, and every kept
    /// snapshot can still be brought up to date with it.
    pub oldest_retained: u64,
    /// Files of the snapshot.
    pub files: usize,
    /// Bytes of all its files.
    pub bytes: u64,
    /// Bytes that the storage did not have yet.
    pub uploaded_bytes: u64,
    /// Time that it took.
    pub took: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct FileKey {
    name: String,
    size: u64,
    modified: Option<SystemTime>,
    inode: u64,
}

impl Snapshotter {
    /// For a run; `staging` is a folder of its own beside the database, on the same file system, and
    /// is emptied.
    ///
    /// # Errors
    /// When the folder cannot be emptied.
    pub fn new(
        storage: Arc<Storage>,
        config: &Config,
        pipeline: &str,
        run: u64,
        staging: PathBuf,
    ) -> Result<Self, Error> {
        Staging::clean(&staging)?;
        Ok(Self {
            storage,
            config: config.clone(),
            pipeline: pipeline.to_owned(),
            run,
            staging,
            digests: HashMap::new(),
            newest: None,
        })
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Takes one. `record_of` gives the record of an epoch: which one it will be turns out on the way. Deletes what no snapshot needs any more; when that fails, the log says so, and
    /// the next snapshot tries again.
    ///
    /// # Errors
    /// When it could not be taken; no snapshot exists then, and the ones before it are as they were.
    pub fn take(
        &mut self,
        store: &Store,
        record_of: impl FnOnce(u64) -> Option<Recorded>,
    ) -> Result<SnapshotInfo, Error> {
        let began = Instant::now();
        run::check_newest(&self.storage, self.run)?;
        let staging = Staging::create(&self.staging)?;
        let copy = staging.path().join("db");
        store.checkpoint(&copy)?;
        // Before it is opened: that adds RocksDB's own log to it.
        let files = files_of(&copy)?;
        let state = SavedState::open(&copy)?;
        let id = SnapshotId { run: self.run, epoch: state.epoch() };
        let operators = state.operators().iter().map(|(name, id)| (name.clone(), id.number())).collect();
        drop(state);
        let record = record_of(id.epoch).ok_or_else(|| {
            let epoch = id.epoch;
            Error::Refused(format!("no snapshot was taken: the state holds epoch {epoch}, of which there is no record"))
        })?;
        let (files, uploaded_bytes) = self.upload(&copy, files)?;
        let manifest = Manifest::new(&self.pipeline, id, record, operators, files);
        if self.newest != Some(id) {
            // A later run may have begun during the upload.
            run::check_newest(&self.storage, self.run)?;
            manifest.publish(&self.storage)?;
            self.newest = Some(id);
        }
        let collected = gc::collect(&self.storage, self.config.retain, SystemTime::now());
        let oldest_retained = collected.unwrap_or_else(|error| {
            tracing::warn!(%error, "old snapshots were not deleted");
            // Nothing is cut on account of what is not known.
            0
        });
        let (files, bytes) = (manifest.files.len(), manifest.bytes());
        let took = began.elapsed();
        tracing::info!(epoch = id.epoch, files, bytes, uploaded_bytes, took_ms = took.as_millis(), "snapshot taken");
        Ok(SnapshotInfo { id, oldest_retained, files, bytes, uploaded_bytes, took })
    }

    /// Uploads what the storage does not have. Says what the snapshot consists of.
    fn upload(&mut self, copy: &Path, files: Vec<FileKey>) -> Result<(Vec<ManifestFile>, u64), Error> {
        let mut there: BTreeMap<String, u64> = BTreeMap::new();
        for folder in [TABLES, META] {
            there.extend(self.storage.list(folder)?.into_iter().map(|o| (o.name, o.size)));
        }
        let (mut named, mut uploaded, mut digests) = (Vec::with_capacity(files.len()), 0, HashMap::new());
        for key in files {
            let path = copy.join(&key.name);
            let sha256 = match self.digests.get(&key) {
                Some(known) => *known,
                None => Digest::of_file(&path)?.0,
            };
            let file = ManifestFile { name: key.name.clone(), sha256, size: key.size };
            if there.get(&file.object()) != Some(&file.size) {
                self.storage.put_file(&file.object(), &path)?;
                uploaded += file.size;
            }
            named.push(file);
            if key.name.ends_with(".sst") {
                digests.insert(key, sha256);
            }
        }
        // Those of files that are gone are forgotten.
        self.digests = digests;
        Ok((named, uploaded))
    }
}

/// What a copy of the database consists of, in the order of names.
fn files_of(copy: &Path) -> Result<Vec<FileKey>, Error> {
    let mut files = Vec::new();
    for entry in fs::read_dir(copy).map_err(Error::local("list", copy))? {
        let entry = entry.map_err(Error::local("list", copy))?;
        let meta = entry.metadata().map_err(Error::local("read", entry.path()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // The write-ahead log is off: its file is there, and empty.
        if name.ends_with(".log") && meta.len() == 0 {
            continue;
        }
        files.push(FileKey { name, size: meta.len(), modified: meta.modified().ok(), inode: inode(&meta) });
    }
    files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

#[cfg(unix)]
fn inode(meta: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(meta)
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> u64 {
    0
}
