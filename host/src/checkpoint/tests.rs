//! Snapshots of a real database, there and back, and what is done about every kind of damage.

mod s3;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::record::{KEY_GROUPS, hash_key, key_group};
use crate::state::{self, DirtySlots, SavedState, Slot, Store};

pub(super) const NEVER: i64 = i64::MAX;

/// Slots of a state by operator and key.
pub(super) type Content = BTreeMap<(String, Vec<u8>), (u32, i64, Vec<u8>)>;

/// A folder with a storage and a database in it.
pub(super) struct World {
    pub folder: tempfile::TempDir,
    pub storage: Arc<Storage>,
}

impl World {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Folder(folder.path().join("checkpoints"));
        let storage = Arc::new(Storage::open_or_create(&location).unwrap());
        Self { folder, storage }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn object(&self, name: &str) -> PathBuf {
        self.path("checkpoints").join(name)
    }

    pub(super) fn store(&self, name: &str, operators: &[&str]) -> Arc<Store> {
        Store::open(&config(self.path(name)), operators).unwrap()
    }

    pub(super) fn snapshotter(&self, retain: usize) -> Snapshotter {
        let run = claim_run(&self.storage, "fraud").unwrap().run;
        let config = Config { retain, ..Config::new(self.storage.location().clone()) };
        Snapshotter::new(Arc::clone(&self.storage), &config, "fraud", run, self.path("staging")).unwrap()
    }

    fn names(&self, folder: &str) -> Vec<String> {
        self.storage.list(folder).unwrap().into_iter().map(|o| o.name).collect()
    }

    fn newest(&self) -> Result<Option<Manifest>, Error> {
        newest_snapshot(&self.storage, "fraud", |_| true)
    }
}

pub(super) fn config(path: PathBuf) -> state::Config {
    state::Config { path, cache_bytes: 1 << 20, block_cache_bytes: 1 << 20 }
}

pub(super) fn record(epoch: u64) -> Option<Recorded> {
    Some(Recorded { header: serde_json::json!({ "epoch": epoch, "sources": {} }), checksum: epoch as u32 })
}

/// Applies an epoch that writes `slot` under each key.
pub(super) fn write(store: &Store, operator: &str, epoch: u64, keys: std::ops::Range<u32>, slot: &str) {
    let mut slots = DirtySlots::with_capacity(store.operator_id(operator).unwrap(), epoch, 0);
    for key in keys {
        let key = format!("key {key}");
        slots.push(key_group(hash_key(key.as_bytes())), key.as_bytes(), Some((3, NEVER, slot.as_bytes())));
    }
    store.apply(epoch, vec![slots]).unwrap();
}

pub(super) fn content(state: &SavedState) -> Content {
    let mut out = BTreeMap::new();
    for (name, id) in state.operators() {
        for group in 0..KEY_GROUPS {
            let each = |slot: Slot<'_>| {
                let value = (slot.version, slot.expires, slot.bytes.to_vec());
                assert_eq!(out.insert((name.clone(), slot.key.to_vec()), value), None);
                Ok::<_, state::Error>(())
            };
            state.slots(*id, group, each).unwrap();
        }
    }
    out
}

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    // Not in place: the database may have the same file.
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_snapshot_comes_back_as_it_was_when_it_was_taken() {
    let world = World::new();
    let store = world.store("db", &["a", "b"]);
    write(&store, "a", 4, 0..500, "of a");
    write(&store, "b", 5, 0..300, "of b");
    let mut snapshotter = world.snapshotter(3);
    let info = snapshotter.take(&store, record).unwrap();
    assert_eq!((info.id, info.oldest_retained), (SnapshotId { run: 1, epoch: 5 }, 5));
    assert!(info.uploaded_bytes == info.bytes && info.files > 2, "{info:?}");
    write(&store, "a", 6, 0..500, "later");
    let manifest = world.newest().unwrap().unwrap();
    assert_eq!((manifest.pipeline.as_str(), manifest.id(), manifest.record_checksum), ("fraud", info.id, 5));
    assert_eq!(manifest.record["epoch"], 5);
    assert_eq!(manifest.operators, BTreeMap::from([("a".into(), 0), ("b".into(), 1)]));

    restore_snapshot(&world.storage, &manifest, &world.path("back")).unwrap();
    let state = SavedState::open(&world.path("back")).unwrap();
    assert_eq!(state.epoch(), 5);
    let found = content(&state);
    assert_eq!(found.len(), 800);
    assert!(found.iter().all(|((operator, _), (.., slot))| *slot == format!("of {operator}").into_bytes()));
    drop(state);
    // It goes on from there, and what it does changes neither the snapshot nor where it came from.
    let back = world.store("back", &["a", "b"]);
    write(&back, "a", 6, 0..500, "another");
    back.flush().unwrap();
    drop(back);
    assert_eq!(verify(&world.storage).unwrap().bad, []);
    assert!(!world.path("staging").exists() && !world.path("back.restoring").exists(), "work in progress is left");
}

#[test]
fn a_second_snapshot_uploads_only_what_is_new() {
    let world = World::new();
    let store = world.store("db", &["a"]);
    let large = "x".repeat(1_000);
    write(&store, "a", 1, 0..5_000, &large);
    let mut snapshotter = world.snapshotter(3);
    let first = snapshotter.take(&store, record).unwrap();
    write(&store, "a", 2, 0..10, "small");
    let second = snapshotter.take(&store, record).unwrap();
    assert!(second.bytes > first.bytes);
    assert!(second.uploaded_bytes < first.uploaded_bytes / 2, "{first:?} {second:?}");
    let tables = |info: &SnapshotInfo| -> BTreeSet<String> {
        let manifest = Manifest::read(&world.storage, info.id).unwrap();
        manifest.files.iter().map(ManifestFile::object).filter(|o| o.starts_with("sst/")).collect()
    };
    assert!(tables(&first).is_subset(&tables(&second)));
    // The same with another process, which knows no digests yet.
    write(&store, "a", 3, 0..10, "small");
    let third = world.snapshotter(3).take(&store, record).unwrap();
    assert!(third.uploaded_bytes < first.uploaded_bytes / 2, "{third:?}");
}

#[test]
fn files_that_vanished_from_storage_are_uploaded_again() {
    let world = World::new();
    let store = world.store("db", &["a"]);
    write(&store, "a", 1, 0..100, "x");
    let mut snapshotter = world.snapshotter(1);
    snapshotter.take(&store, record).unwrap();
    std::fs::remove_dir_all(world.path("checkpoints")).unwrap();
    std::fs::create_dir(world.path("checkpoints")).unwrap();
    write(&store, "a", 2, 0..100, "y");
    snapshotter.take(&store, record).unwrap();
    let manifest = world.newest().unwrap().unwrap();
    restore_snapshot(&world.storage, &manifest, &world.path("back")).unwrap();
    assert_eq!(content(&SavedState::open(&world.path("back")).unwrap()).len(), 100);
}

#[test]
fn only_the_last_snapshots_are_kept_and_they_are_whole() {
    let world = World::new();
    let store = world.store("db", &["a"]);
    let mut snapshotter = world.snapshotter(2);
    let mut oldest = Vec::new();
    for epoch in 1..=6 {
        write(&store, "a", epoch, 0..200, &format!("epoch {epoch}"));
        oldest.push(snapshotter.take(&store, record).unwrap().oldest_retained);
    }
    assert_eq!(oldest, [1, 1, 2, 3, 4, 5]);
    assert_eq!(snapshots(&world.storage).unwrap().iter().map(|id| id.epoch).collect::<Vec<_>>(), [5, 6]);
    let verified = verify(&world.storage).unwrap();
    assert_eq!((verified.bad, verified.snapshots), (vec![], 2));
}

#[test]
fn a_damaged_snapshot_stops_deletion_only_while_it_is_one_to_keep() {
    let world = World::new();
    let store = world.store("db", &["a"]);
    let mut snapshotter = world.snapshotter(2);
    let mut oldest = Vec::new();
    for epoch in 1..=4 {
        write(&store, "a", epoch, 0..20, &format!("epoch {epoch}"));
        oldest.push(snapshotter.take(&store, record).unwrap().oldest_retained);
        if epoch == 1 {
            flip(&world.object(&SnapshotId { run: 1, epoch: 1 }.name()));
        }
    }
    assert_eq!(oldest, [1, 0, 2, 3], "nothing may be cut on account of a snapshot that cannot be read");
    assert_eq!(snapshots(&world.storage).unwrap().iter().map(|id| id.epoch).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(verify(&world.storage).unwrap().bad, []);
}

#[test]
fn it_is_time_after_the_interval_or_when_the_log_has_grown_but_not_without_a_new_epoch() {
    let (now, mib) = (Instant::now(), 1 << 20);
    let later = now + Duration::from_secs(60);
    let mut schedule = background::Schedule::new(&Config::new(Location::Folder("x".into())), now);
    assert!(!schedule.due(later, 0, 0), "nothing was ever applied");
    assert!(schedule.due(later, 1, 0));
    schedule.begins(now, 1_000);
    schedule.holds(7);
    assert!(!schedule.due(later - Duration::from_millis(1), 8, 1_000));
    assert!(!schedule.due(now, 8, 1_000 + 256 * mib - 1));
    assert!(schedule.due(now, 8, 1_000 + 256 * mib));
    assert!(schedule.due(later, 8, 1_000));
    assert!(!schedule.due(later, 7, 1_000 + 256 * mib), "nothing was applied since");
}

#[test]
fn snapshots_are_taken_beside_epochs_and_the_records_are_those_of_what_they_hold() {
    let world = World::new();
    let store = world.store("db", &["a"]);
    let snapshotter = world.snapshotter(2);
    let records = Arc::<RecentRecords>::default();
    let mut background = Background::start(snapshotter, Arc::clone(&store), Arc::clone(&records)).unwrap();
    let (mut epoch, mut taken) = (0, Vec::new());
    while taken.len() < 3 {
        epoch += 1;
        records.push(epoch, record(epoch).unwrap());
        write(&store, "a", epoch, 0..20, "x");
        // Without a log to wait for, more epochs would pass than are remembered.
        std::thread::sleep(Duration::from_millis(1));
        // Each epoch is a minute.
        background.tick(Instant::now() + Duration::from_secs(60 * epoch), epoch, 0);
        if let Some(result) = background.finished() {
            taken.push(result.unwrap().id.epoch);
        }
    }
    assert!(taken.is_sorted(), "{taken:?}");
    drop(background);
    let manifest = world.newest().unwrap().unwrap();
    assert_eq!(manifest.record["epoch"], manifest.epoch);
    assert!(world.newest().unwrap().unwrap().epoch >= taken[2]);
}

#[test]
fn only_the_last_records_are_remembered() {
    let records = RecentRecords::default();
    (1..=1_001).for_each(|epoch| records.push(epoch, record(epoch).unwrap()));
    assert_eq!([1, 2, 1_001, 1_002].map(|epoch| records.get(epoch).is_some()), [false, true, true, false]);
    let mut long = record(1_002).unwrap();
    long.header["in_flight"] = serde_json::json!({"score": {"rows": 1, "data": "x".repeat(3 << 20)}});
    (1_002..1_030).for_each(|epoch| records.push(epoch, long.clone()));
    assert_eq!([1_013, 1_014, 1_029].map(|epoch| records.get(epoch).is_some()), [false, true, true]);
}

#[test]
fn a_run_that_was_followed_takes_no_snapshot_and_deletes_nothing() {
    let world = World::new();
    let store = world.store("db", &["a"]);
    write(&store, "a", 1, 0..10, "x");
    let mut old = world.snapshotter(1);
    old.take(&store, record).unwrap();
    let mut new = world.snapshotter(1);
    write(&store, "a", 2, 0..10, "y");
    let error = old.take(&store, record).unwrap_err();
    assert!(matches!(error, Error::Superseded { run: 1, newest: 2, .. }), "{error}");
    assert_eq!(snapshots(&world.storage).unwrap(), [SnapshotId { run: 1, epoch: 1 }]);
    assert_eq!(new.take(&store, record).unwrap().id, SnapshotId { run: 2, epoch: 2 });
}

#[test]
fn a_failed_snapshot_leaves_no_manifest_and_the_next_one_works() {
    let world = World::new();
    let store = world.store("db", &["a"]);
    write(&store, "a", 1, 0..10, "x");
    let mut snapshotter = world.snapshotter(3);
    let error = snapshotter.take(&store, |_| None).unwrap_err();
    assert!(error.to_string().contains("epoch 1"), "{error}");
    // A file stands where a folder must be.
    std::fs::write(world.object("sst"), "in the way").unwrap();
    snapshotter.take(&store, record).unwrap_err();
    assert_eq!(world.names("manifests"), Vec::<String>::new());
    assert!(!world.path("staging").exists());
    std::fs::remove_file(world.object("sst")).unwrap();
    snapshotter.take(&store, record).unwrap();
    assert_eq!(verify(&world.storage).unwrap().bad, []);
}

#[test]
fn a_flipped_byte_or_a_missing_file_is_found_by_name_and_nothing_is_restored() {
    let world = World::new();
    let store = world.store("db", &["a"]);
    write(&store, "a", 1, 0..1_000, "x");
    world.snapshotter(3).take(&store, record).unwrap();
    let manifest = world.newest().unwrap().unwrap();
    let objects: Vec<String> = manifest.files.iter().map(ManifestFile::object).chain([manifest.id().name()]).collect();
    let kinds: BTreeSet<&str> = objects.iter().filter_map(|o| o.split('/').next()).collect();
    assert_eq!(kinds, BTreeSet::from(["manifests", "meta", "sst"]));
    let restore = || {
        let manifest = world.newest()?.unwrap();
        restore_snapshot(&world.storage, &manifest, &world.path("back"))
    };
    for object in &objects {
        let path = world.object(object);
        let good = std::fs::read(&path).unwrap();
        let damage: [&dyn Fn(); 3] =
            [&|| flip(&path), &|| std::fs::write(&path, &good[..good.len() / 2]).unwrap(), &|| {
                std::fs::remove_file(&path).unwrap()
            }];
        // A manifest that is gone is a snapshot that is gone.
        let cases = if object.starts_with("manifests/") { 2 } else { 3 };
        for (case, damage) in damage.into_iter().take(cases).enumerate() {
            damage();
            let error = restore().unwrap_err().to_string();
            assert!(error.contains(object), "case {case}: {error}");
            let bad = verify(&world.storage).unwrap().bad;
            assert_eq!(bad.iter().map(|b| b.object.as_str()).collect::<Vec<_>>(), [object], "case {case}");
            assert!(!world.path("back").exists());
            let _ = std::fs::remove_file(&path);
            std::fs::write(&path, &good).unwrap();
        }
    }
    restore().unwrap();
}

#[test]
fn nothing_is_restored_over_something() {
    let world = World::new();
    let store = world.store("db", &["a"]);
    write(&store, "a", 1, 0..10, "x");
    world.snapshotter(3).take(&store, record).unwrap();
    let manifest = world.newest().unwrap().unwrap();
    let error = restore_snapshot(&world.storage, &manifest, &world.path("db")).unwrap_err().to_string();
    assert!(error.contains("not empty") && error.contains("--replace"), "{error}");
    std::fs::create_dir(world.path("empty")).unwrap();
    restore_snapshot(&world.storage, &manifest, &world.path("empty")).unwrap();
}

#[test]
fn what_is_usable_the_caller_says_and_a_newer_run_counts_more() {
    let world = World::new();
    let store = world.store("db", &["a"]);
    write(&store, "a", 9, 0..10, "x");
    world.snapshotter(9).take(&store, record).unwrap();
    let forked = world.store("forked", &["a"]);
    write(&forked, "a", 4, 0..10, "y");
    world.snapshotter(9).take(&forked, record).unwrap();
    let newest = |usable: &dyn Fn(&Manifest) -> bool| newest_snapshot(&world.storage, "fraud", usable).unwrap();
    assert_eq!(newest(&|_| true).unwrap().id(), SnapshotId { run: 2, epoch: 4 });
    assert_eq!(newest(&|m| m.run == 1).unwrap().id(), SnapshotId { run: 1, epoch: 9 });
    assert_eq!(newest(&|_| false), None);
    let error = newest_snapshot(&world.storage, "other", |_| true).unwrap_err().to_string();
    assert!(error.contains("`fraud`") && error.contains("`other`"), "{error}");
}
