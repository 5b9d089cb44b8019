//! The manifest of a snapshot: an immutable sealed document (see `digest.rs`) that names the files of
//! which a RocksDB database as of one epoch consists. A snapshot exists when its manifest does, and
//! that is written last.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::names::{self, MANIFESTS};
use super::{Digest, Error, SnapshotId, Storage, digest};
use crate::record::{KEY_GROUPS, KEY_HASH};

/// Format of manifests that this version writes.
const FORMAT: u32 = 1;
/// Largest manifest that is read: some 300,000 files.
const MAX_BYTES: u64 = 64 << 20;

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    /// Name of the pipeline.
    pub pipeline: String,
    /// The run that took it.
    pub run: u64,
    /// The epoch that it holds.
    pub epoch: u64,
    /// When it was taken, milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// Version of Millstream that took it.
    pub version: String,
    /// Hash of the keys.
    pub hash: String,
    /// Number of key groups.
    pub key_groups: u16,
    /// The header of the epoch's record: source positions, sinks, generations, models.
    pub record: Value,
    /// Checksum of the record, by which it is told from any other of the same epoch.
    pub record_checksum: u32,
    /// What stands for an operator in keys.
    pub operators: BTreeMap<String, u16>,
    /// The files of the database.
    pub files: Vec<ManifestFile>,
}

/// The record of an epoch, as far as a snapshot keeps it. Which it is, and what is in it, is the
/// business of the epoch log.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Its header.
    pub header: Value,
    /// Its checksum.
    pub checksum: u32,
}

/// A file of the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Its name in the database's folder.
    pub name: String,
    /// Digest of its content.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
}

impl ManifestFile {
    /// Name of the object that holds its content.
    pub fn object(&self) -> String {
        names::file(&self.name, self.sha256)
    }
}

impl Manifest {
    /// The manifest of a snapshot that was taken just now.
    pub(super) fn new(
        pipeline: &str,
        id: SnapshotId,
        record: Recorded,
        operators: BTreeMap<String, u16>,
        files: Vec<ManifestFile>,
    ) -> Self {
        Self {
            format: FORMAT,
            pipeline: pipeline.to_owned(),
            run: id.run,
            epoch: id.epoch,
            created_at_ms: super::run::now_ms(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            hash: KEY_HASH.to_owned(),
            key_groups: KEY_GROUPS,
            record: record.header,
            record_checksum: record.checksum,
            operators,
            files,
        }
    }

    /// Which snapshot it is.
    pub fn id(&self) -> SnapshotId {
        SnapshotId { run: self.run, epoch: self.epoch }
    }

    /// Bytes of all its files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.size).sum()
    }

    /// Publishes it: from here on the snapshot exists.
    pub(super) fn publish(&self, storage: &Storage) -> Result<(), Error> {
        let name = self.id().name();
        let sealed = digest::seal(self).map_err(|e| storage.unfit(&name, e.to_string()))?;
        if storage.create(&name, &sealed)? {
            return Ok(());
        }
        let problem = "another process took a snapshot of the same run and epoch; one of two hosts must stop";
        Err(storage.unfit(&name, problem))
    }

    /// Reads and checks the manifest of a snapshot.
    ///
    /// # Errors
    /// When it is missing, damaged, or of another format.
    pub fn read(storage: &Storage, id: SnapshotId) -> Result<Self, Error> {
        let name = id.name();
        let manifest = Self::parse(storage, &name, &storage.get(&name, MAX_BYTES)?)?;
        if manifest.id() != id {
            let problem = format!("it says that it is of epoch {} and run {}", manifest.epoch, manifest.run);
            return Err(storage.damaged(&name, problem));
        }
        Ok(manifest)
    }

    fn parse(storage: &Storage, name: &str, bytes: &[u8]) -> Result<Self, Error> {
        digest::check_seal(bytes).map_err(|problem| storage.damaged(name, problem))?;
        check_format(storage, name, bytes, FORMAT)?;
        let manifest: Self = serde_json::from_slice(bytes).map_err(|e| storage.damaged(name, e.to_string()))?;
        check_keys(storage, name, &manifest.hash, manifest.key_groups)?;
        let mut seen = BTreeSet::new();
        for file in &manifest.files {
            if !is_plain(&file.name) || !seen.insert(file.name.as_str()) {
                let problem = format!("it names a file `{}`", file.name.escape_debug());
                return Err(storage.damaged(name, problem));
            }
        }
        Ok(manifest)
    }

    /// Refuses the snapshot of another pipeline.
    pub(super) fn check_pipeline(&self, storage: &Storage, pipeline: &str) -> Result<(), Error> {
        check_pipeline(storage, &self.id().name(), &self.pipeline, pipeline)
    }
}

/// The snapshots of a storage, in their order: the newest is the last.
///
/// # Errors
/// When they cannot be listed.
pub fn snapshots(storage: &Storage) -> Result<Vec<SnapshotId>, Error> {
    let mut found: Vec<SnapshotId> =
        storage.list(MANIFESTS)?.iter().filter_map(|o| SnapshotId::parse(&o.name)).collect();
    found.sort_unstable();
    Ok(found)
}

/// Refuses a document of another format: all else in it may be different.
pub(super) fn check_format(storage: &Storage, name: &str, bytes: &[u8], known: u32) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Versioned {
        format: u32,
    }
    let Versioned { format } = serde_json::from_slice(bytes).map_err(|e| storage.damaged(name, e.to_string()))?;
    if format == known {
        return Ok(());
    }
    let problem =
        format!("its format is {format}, and this version reads format {known}; use the version that wrote it");
    Err(storage.unfit(name, problem))
}

/// Refuses keys that another hash or another number of key groups has sorted.
pub(super) fn check_keys(storage: &Storage, name: &str, hash: &str, key_groups: u16) -> Result<(), Error> {
    if hash == KEY_HASH && key_groups == KEY_GROUPS {
        return Ok(());
    }
    let problem = format!(
        "its keys are in {key_groups} key groups by {}, and this version has {KEY_GROUPS} by {KEY_HASH}; \
         use the version that wrote it",
        hash.escape_debug()
    );
    Err(storage.unfit(name, problem))
}

/// Refuses what another pipeline has written.
pub(super) fn check_pipeline(storage: &Storage, name: &str, found: &str, pipeline: &str) -> Result<(), Error> {
    if found == pipeline {
        return Ok(());
    }
    let problem = format!(
        "it belongs to pipeline `{}`, not to `{pipeline}`; give each pipeline a `checkpoint.path` of its own, or \
         rename this one back",
        found.escape_debug()
    );
    Err(storage.unfit(name, problem))
}

/// Whether a name from a document can be a file in a folder, and nothing else.
fn is_plain(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=128).contains(&name.len()) && !name.starts_with('.') && name.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Location;

    fn manifest(file: &str) -> Manifest {
        let file = ManifestFile { name: file.into(), sha256: Digest::of(b"x"), size: 1 };
        let id = SnapshotId { run: 3, epoch: 7 };
        let record = Recorded { header: serde_json::json!({ "epoch": 7 }), checksum: 9 };
        Manifest::new("fraud", id, record, BTreeMap::from([("a".into(), 0)]), vec![file])
    }

    #[test]
    fn a_published_manifest_reads_back_and_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::open(&Location::Folder(folder.path().to_owned())).unwrap();
        let first = manifest("000004.sst");
        first.publish(&storage).unwrap();
        assert_eq!(Manifest::read(&storage, first.id()).unwrap(), first);
        let error = manifest("000005.sst").publish(&storage).unwrap_err();
        assert!(error.to_string().contains("same run and epoch"), "{error}");
        assert_eq!(snapshots(&storage).unwrap(), [first.id()]);
        let error = first.check_pipeline(&storage, "other").unwrap_err().to_string();
        assert!(error.contains("`fraud`") && error.contains("checkpoint.path"), "{error}");
    }

    #[test]
    fn a_manifest_that_is_not_what_was_written_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::open(&Location::Folder(folder.path().to_owned())).unwrap();
        let good = manifest("000004.sst");
        good.publish(&storage).unwrap();
        let path = folder.path().join(good.id().name());
        let bytes = std::fs::read(&path).unwrap();
        for position in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut bad = bytes.clone();
            bad[position] ^= 0x20;
            std::fs::write(&path, bad).unwrap();
            let error = Manifest::read(&storage, good.id()).unwrap_err();
            assert!(matches!(&error, Error::Damaged { object, .. } if *object == good.id().name()), "{error}");
        }
        // Renamed by hand: it would pass for another snapshot.
        let other = SnapshotId { run: 3, epoch: 8 };
        std::fs::write(folder.path().join(other.name()), bytes).unwrap();
        assert!(matches!(Manifest::read(&storage, other), Err(Error::Damaged { .. })));
    }

    #[test]
    fn a_sealed_manifest_of_another_format_hash_or_with_a_path_in_it_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::open(&Location::Folder(folder.path().to_owned())).unwrap();
        let parse = |change: &dyn Fn(&mut Manifest)| {
            let mut manifest = manifest("000004.sst");
            change(&mut manifest);
            Manifest::parse(&storage, "m", &digest::seal(&manifest).unwrap()).unwrap_err().to_string()
        };
        assert!(parse(&|m| m.format = 2).contains("format is 2"));
        assert!(parse(&|m| m.hash = "murmur3".into()).contains("murmur3"));
        assert!(parse(&|m| m.key_groups = 64).contains("64 key groups"));
        for name in ["../x", "/etc/x", "", ".", "a b"] {
            assert!(parse(&|m| m.files[0].name = name.into()).contains("names a file"), "{name}");
        }
        assert!(parse(&|m| m.files.push(m.files[0].clone())).contains("names a file"));
    }
}
