//! What version 1 of each format looked like, and still loads: a storage in `testdata/format-1`, with
//! a manifest and a savepoint in it. `MILLSTREAM_WRITE_FIXTURES=1 cargo test` writes it anew, which
//! only a change before a release may.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::tests::{NEVER, World, config, content};
use super::*;
use crate::record::{hash_key, key_group};
use crate::state::{DirtySlots, SavedState};

fn folder() -> PathBuf {
    crate::testdata("src/checkpoint/testdata/format-1")
}

/// Operator, key, version, expiry and slot.
type Written = (&'static str, &'static [u8], u32, i64, &'static [u8]);

/// What is in it.
const SLOTS: [Written; 4] = [
    ("count", b"ada", 1, NEVER, b"first"),
    ("count", b"grace", 2, 1_700_000_000_000, b""),
    ("count", b"", 1, i64::MIN, b"\x00\xFF"),
    ("other", b"ada", 7, NEVER, b"of another operator"),
];

fn write_fixtures() {
    let world = World::new();
    let store = world.store("db", &["count", "other"]);
    let slots = ["count", "other"].map(|operator| {
        let mut slots = DirtySlots::with_capacity(store.operator_id(operator).unwrap(), 42, 0);
        for (_, key, version, expires, slot) in SLOTS.iter().filter(|slot| slot.0 == operator) {
            slots.push(key_group(hash_key(key)), key, Some((*version, *expires, slot)));
        }
        slots
    });
    store.apply(42, slots.into()).unwrap();
    let header = serde_json::json!({
        "epoch": 42, "parent": 41, "run": 1, "committed": 41,
        "sources": { "in": [{ "partition": "in.jsonl", "next": 1001 }] },
    });
    let recorded = Recorded { header: header.clone(), checksum: 0xC0FF_EE00 };
    world.snapshotter(3).take(&store, |_| Some(recorded)).unwrap();
    let manifest = newest_snapshot(&world.storage, "fraud", |_| true).unwrap().unwrap();
    restore_snapshot(&world.storage, &manifest, &world.path("copy")).unwrap();
    let state = SavedState::open(&world.path("copy")).unwrap();
    Savepoint::create(&world.storage, "kept", "fraud", header, &state, &world.path("work")).unwrap();
    // RocksDB's files are not ours to keep for ever: the manifest is.
    let _ = std::fs::remove_dir_all(folder());
    let to = Storage::open_or_create(&Location::Folder(folder())).unwrap();
    let run = read_run(&world.storage, 1).unwrap();
    let run = Run { started_at_ms: 1_700_000_000_000, machine: "example".into(), process: 77, nonce: 5, ..run };
    to.put("runs/0000000001.json", &serde_json::to_vec_pretty(&run).unwrap()).unwrap();
    for object in ["manifests", "savepoints"].iter().flat_map(|f| world.storage.list(f).unwrap()) {
        to.put(&object.name, &world.storage.get(&object.name, 1 << 20).unwrap()).unwrap();
    }
}

#[test]
fn what_version_1_wrote_still_loads() {
    if std::env::var_os("MILLSTREAM_WRITE_FIXTURES").is_some() {
        write_fixtures();
    }
    let storage = Storage::open(&Location::Folder(folder())).unwrap();
    assert_eq!(snapshots(&storage).unwrap(), [SnapshotId { run: 1, epoch: 42 }]);
    let manifest = Manifest::read(&storage, SnapshotId { run: 1, epoch: 42 }).unwrap();
    assert_eq!((manifest.pipeline.as_str(), manifest.record_checksum), ("fraud", 0xC0FF_EE00));
    assert_eq!((manifest.hash.as_str(), manifest.key_groups), ("xxh3-64", 128));
    assert_eq!(manifest.operators, BTreeMap::from([("count".into(), 0), ("other".into(), 1)]));
    assert_eq!(manifest.record["sources"]["in"][0]["next"], 1_001);
    assert!(manifest.files.iter().any(|f| f.name == "CURRENT" && f.object().starts_with("meta/")));
    assert!(manifest.files.iter().any(|f| f.object() == format!("sst/{}.sst", f.sha256)));
    assert_eq!((newest_run(&storage).unwrap(), read_run(&storage, 1).unwrap().pipeline.as_str()), (1, "fraud"));

    let savepoint = Savepoint::read(&storage, "kept").unwrap();
    assert_eq!((savepoint.epoch, savepoint.slots()), (42, 4));
    assert_eq!(savepoint.operators["count"].versions, [1, 2].into());
    let back = tempfile::tempdir().unwrap();
    let database = back.path().join("db");
    savepoint.restore(&storage, &config(database.clone()), &["other", "count"], 50, false).unwrap();
    let expected = SLOTS.map(|(operator, key, version, expires, slot)| {
        ((operator.to_owned(), key.to_vec()), (version, expires, slot.to_vec()))
    });
    assert_eq!(content(&SavedState::open(&database).unwrap()), expected.into());
}
