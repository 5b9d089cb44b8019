//! Savepoints of a pipeline whose host is played by hand: a log, a database, snapshots of it.

use std::collections::BTreeMap;

use super::*;
use crate::app::{list_checkpoints, verify_checkpoints};
use crate::checkpoint::{Location, SnapshotId};
use crate::epoch::log::Options;
use crate::epoch::protocol::{Base, Facts, Held, Pointer, Resolution, Summary, resolve};
use crate::epoch::{Log, Origin};
use crate::record::{KEY_GROUPS, Position, hash_key, key_group};
use crate::state::{DirtySlots, OperatorId, Slot};

const PIPELINE: &str = r#"
[pipeline]
name = "fraud"

[state]
path = "state"

[plugins]
folder = "plugins"

[source.in]
connector = "file"
path = "in.jsonl"
[source.in.fields]
user = "utf8"

[operator.other]
plugin = "other"
inputs = ["in"]
key = "user"

[operator.count]
plugin = "counter"
inputs = ["other"]
key = "user"

[sink.out]
connector = "stdout"
inputs = ["count"]
"#;

/// The number that `count` has in this world, which is not the one that a new store would give it.
const COUNT: OperatorId = OperatorId::from_number(7);

type Content = BTreeMap<Vec<u8>, Vec<u8>>;

struct World {
    folder: tempfile::TempDir,
    pipeline: Pipeline,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pipeline.toml");
        std::fs::write(&file, PIPELINE).unwrap();
        let pipeline = crate::config::load(&file, &[]).unwrap().0;
        Self { folder, pipeline }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn storage(&self) -> Storage {
        Storage::open_or_create(&self.pipeline.checkpoint.location).unwrap()
    }

    fn location(&self) -> String {
        self.pipeline.checkpoint.location.to_string()
    }

    /// A host that works: its log and its database.
    fn host(&self) -> Host<'_> {
        let run = checkpoint::claim_run(&self.storage(), "fraud").unwrap().run;
        let log = Folder::create(self.path("state/checkpoints/log")).unwrap();
        let log = Log::open(log, run, Options { segment_bytes: 1, ..Options::default() }).unwrap();
        let numbers = BTreeMap::from([("count".to_owned(), COUNT.number())]);
        let store = Store::open_numbered(&database_config(&self.pipeline), &[], &numbers).unwrap();
        Host { world: self, run, log, store, decider: Decider::Log }
    }

    /// What a savepoint holds, by way of restoring it into a pipeline of the same name elsewhere.
    fn content(&self, savepoint: &str) -> (u64, Content) {
        let storage = self.storage();
        let read = Savepoint::read(&storage, savepoint).unwrap();
        let work = tempfile::tempdir_in(self.folder.path()).unwrap();
        let config = state::Config { path: work.path().join("db"), ..self.pipeline.state.clone() };
        read.restore(&storage, &config, &["count"], 1, false).unwrap();
        (read.epoch, content(&config.path))
    }

    fn log(&self) -> Reader<Folder> {
        LogFolder::of(&self.storage(), self.folder.path()).unwrap().read().unwrap()
    }
}

fn content(database: &Path) -> Content {
    let state = SavedState::open(database).unwrap();
    let (mut found, operator) = (Content::new(), state.operators()["count"]);
    for group in 0..KEY_GROUPS {
        let each = |slot: Slot<'_>| {
            found.insert(slot.key.to_vec(), slot.bytes.to_vec());
            Ok::<_, state::Error>(())
        };
        state.slots(operator, group, each).unwrap();
    }
    found
}

struct Host<'w> {
    world: &'w World,
    run: u64,
    log: Log<Folder>,
    store: Arc<Store>,
    decider: Decider,
}

impl Host<'_> {
    /// Appends an epoch that writes its number under some keys, and applies it when it is committed.
    fn epoch(&mut self, epoch: u64, keys: std::ops::Range<u64>, committed: bool) {
        let parent = self.log.history().last().unwrap_or(self.log.history().base);
        let mut record = EpochRecord::new(epoch, parent, self.run, self.decider.clone());
        record.sources.insert("in".into(), vec![Position::new("in.jsonl", epoch * 10)]);
        record.operators.insert("count".into(), COUNT.number());
        let mut slots = DirtySlots::with_capacity(COUNT, epoch, 0);
        for key in keys {
            let key = key.to_le_bytes();
            slots.push(key_group(hash_key(&key)), &key, Some((1, i64::MAX, &epoch.to_le_bytes())));
        }
        let slots = [slots];
        self.log.append(&record, &slots).unwrap();
        if committed {
            self.store.apply(epoch, slots.into()).unwrap();
        }
    }

    fn snapshot(&self) {
        let (storage, config) = (Arc::new(self.world.storage()), &self.world.pipeline.checkpoint);
        let staging = self.world.path("state/snapshot");
        let mut snapshotter = Snapshotter::new(storage, config, "fraud", self.run, staging).unwrap();
        let recorded = |epoch| {
            let checksum = self.log.history().get(epoch)?.checksum;
            Some(Recorded { header: serde_json::to_value(self.log.read(epoch).ok()?.0).ok()?, checksum })
        };
        snapshotter.take(&self.store, recorded).unwrap();
    }
}

fn keys(ranges: &[(std::ops::Range<u64>, u64)]) -> Content {
    let slots = ranges.iter().flat_map(|(keys, epoch)| keys.clone().map(|key| (key, *epoch)));
    slots.map(|(key, epoch)| (key.to_le_bytes().to_vec(), epoch.to_le_bytes().to_vec())).collect()
}

#[test]
fn without_a_snapshot_a_savepoint_is_made_of_the_log_alone_beside_the_host() {
    let world = World::new();
    let mut host = world.host();
    host.epoch(1, 0..50, true);
    host.epoch(2, 20..80, true);
    host.epoch(5, 70..90, true);
    let made = create_savepoint(&world.pipeline, "s").unwrap();
    assert_eq!((made.epoch, made.operators[0].slots, made.operators[0].name.as_str()), (5, 90, "count"));
    assert_eq!((made.positions[0].source.as_str(), made.positions[0].next), ("in", 50));
    assert_eq!(world.content("s"), (5, keys(&[(0..20, 1), (20..70, 2), (70..90, 5)])));
    let error = create_savepoint(&world.pipeline, "s").unwrap_err().to_string();
    assert!(error.contains("already"), "{error}");
    let left: Vec<_> = std::fs::read_dir(world.path("state")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "work in progress is left: {left:?}");
}

#[test]
fn a_savepoint_is_the_newest_snapshot_and_the_log_since() {
    let world = World::new();
    let mut host = world.host();
    host.epoch(1, 0..50, true);
    host.epoch(2, 20..80, true);
    host.snapshot();
    host.epoch(3, 0..10, true);
    // Nothing before the snapshot is in the log any more.
    assert!(host.log.cut(2).unwrap() > 0);
    create_savepoint(&world.pipeline, "s").unwrap();
    assert_eq!(world.content("s"), (3, keys(&[(10..20, 1), (20..80, 2), (0..10, 3)])));
    // At once after a snapshot there is nothing to add.
    host.snapshot();
    create_savepoint(&world.pipeline, "t").unwrap();
    assert_eq!(world.content("t").0, 3);
    // Without any snapshot the beginning is missing.
    std::fs::remove_dir_all(world.path("state/checkpoints/manifests")).unwrap();
    let error = create_savepoint(&world.pipeline, "u").unwrap_err().to_string();
    assert!(error.contains("no snapshot") && error.contains("snapshot_interval"), "{error}");
}

#[test]
fn what_is_prepared_but_not_known_to_be_committed_is_not_in_a_savepoint() {
    let world = World::new();
    let mut host = world.host();
    host.decider = Decider::Kafka { transactional_id: "fraud".into(), topic: "fraud-epochs".into() };
    host.epoch(1, 0..10, true);
    host.epoch(2, 0..10, false);
    create_savepoint(&world.pipeline, "before").unwrap();
    assert_eq!(world.content("before"), (1, keys(&[(0..10, 1)])));
    host.log.note_committed(2);
    create_savepoint(&world.pipeline, "after").unwrap();
    assert_eq!(world.content("after").0, 2);
}

#[test]
fn a_pipeline_that_committed_nothing_has_no_savepoint() {
    let world = World::new();
    drop(world.storage());
    let error = create_savepoint(&world.pipeline, "s").unwrap_err().to_string();
    assert!(error.contains("nothing to keep") && error.contains("`fraud`"), "{error}");
    assert!(list_savepoints(&world.pipeline).unwrap().is_empty());
}

#[test]
fn after_a_restore_the_savepoint_is_the_committed_epoch_from_the_state_or_from_storage() {
    let world = World::new();
    let mut host = world.host();
    host.epoch(1, 0..50, true);
    create_savepoint(&world.pipeline, "s").unwrap();
    host.epoch(2, 0..50, true);
    host.snapshot();
    host.epoch(3, 50..60, true);

    let error = restore_savepoint(&world.pipeline, "s", RestoreOptions::default()).unwrap_err().to_string();
    assert!(error.contains("--replace") && error.contains("`fraud`"), "{error}");
    let replace = RestoreOptions { replace: true, ..RestoreOptions::default() };
    let error = restore_savepoint(&world.pipeline, "s", replace).unwrap_err().to_string();
    assert!(error.contains("in use"), "a host is running: {error}");
    drop(host);
    let restored = restore_savepoint(&world.pipeline, "s", replace).unwrap();
    assert_eq!((restored.epoch, restored.slots, restored.operators), (5, 50, vec!["count".to_owned()]));
    assert_eq!(content(&world.path("state/db")), keys(&[(0..50, 1)]));

    // What the next run finds, with and without its state folder.
    let log = world.log();
    let (record, slots) = log.read(5).unwrap();
    assert_eq!(record.origin, Origin::Savepoint { name: "s".into() });
    assert_eq!((record.sources["in"][0].next, slots.len(), log.history().records.len()), (10, 0, 1));
    let storage = world.storage();
    let manifest = checkpoint::newest_snapshot(&storage, "fraud", |_| true).unwrap().unwrap();
    assert_eq!(manifest.id(), SnapshotId { run: 2, epoch: 5 });
    let of_record = serde_json::from_value(manifest.record.clone()).unwrap();
    let summary = Summary::new(&of_record, manifest.record_checksum, 0);
    for (store, from) in [(5, Base::Store { epoch: 5 }), (0, Base::Snapshot { epoch: 5 })] {
        let store = Held { epoch: store, checksum: None };
        let (pointer, history, snapshot) = (&Pointer::NotUsed, log.history(), Some(&summary));
        let found = resolve(&Facts { pointer, history, store, snapshot, accept: None }).unwrap();
        assert!(
            matches!(&found, Resolution::Resume { committed: 5, from: f, replay, .. } if *f == from && replay.is_empty()),
            "{found:?}"
        );
    }
    let lost = Facts {
        pointer: &Pointer::NotUsed,
        history: log.history(),
        store: Held { epoch: 0, checksum: None },
        snapshot: None,
        accept: None,
    };
    assert!(resolve(&lost).is_err(), "a lost state must not pass for an empty one");

    // The same again is a mistake, or a host that is started again with the same arguments.
    let once = RestoreOptions { once: true, ..RestoreOptions::default() };
    assert!(restore_savepoint(&world.pipeline, "s", RestoreOptions::default()).is_err());
    let again = restore_savepoint(&world.pipeline, "s", once).unwrap();
    assert!(again.done_before && again.epoch == 5);
    create_savepoint(&world.pipeline, "t").unwrap();
    assert_eq!(world.content("t"), (5, keys(&[(0..50, 1)])));
    assert!(restore_savepoint(&world.pipeline, "t", once).is_err(), "it went on from another savepoint");

    // The next host goes on from it.
    let list = list_checkpoints(&world.location()).unwrap();
    assert_eq!((list.newest_run, list.log.committed, list.savepoints), (2, 5, vec!["s".to_owned(), "t".to_owned()]));
    assert!(verify_checkpoints(&world.location()).unwrap().ok);
}

#[test]
fn a_pipeline_that_never_ran_begins_with_a_savepoint_of_the_same_name() {
    let first = World::new();
    let mut host = first.host();
    host.epoch(1, 0..50, true);
    create_savepoint(&first.pipeline, "s").unwrap();
    // Savepoints can be copied: they name nothing outside their folder.
    let second = World::new();
    let folder = |world: &World| world.path("state/checkpoints/savepoints/s");
    std::fs::create_dir_all(folder(&second)).unwrap();
    for file in std::fs::read_dir(folder(&first)).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), folder(&second).join(file.file_name())).unwrap();
    }
    let restored = restore_savepoint(&second.pipeline, "s", RestoreOptions::default()).unwrap();
    assert_eq!((restored.epoch, restored.slots), (3, 50));
    assert_eq!(content(&second.path("state/db")), keys(&[(0..50, 1)]));
}

#[test]
fn damage_in_the_log_is_named_and_a_savepoint_is_the_way_out() {
    let world = World::new();
    let mut host = world.host();
    host.epoch(1, 0..50, true);
    create_savepoint(&world.pipeline, "s").unwrap();
    for epoch in 2..5 {
        host.epoch(epoch, 0..50, true);
    }
    drop(host);
    assert!(verify_checkpoints(&world.location()).unwrap().ok);
    let segment = world.path("state/checkpoints/log/0000000001-00000000000000000002.log");
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let found = verify_checkpoints(&world.location()).unwrap();
    assert!(!found.ok && found.bad[0].object.ends_with("-00000000000000000002.log"), "{found:?}");
    let error = create_savepoint(&world.pipeline, "t").unwrap_err().to_string();
    assert!(error.contains("-00000000000000000002.log"), "{error}");
    let error = restore_savepoint(&world.pipeline, "s", RestoreOptions::default()).unwrap_err().to_string();
    assert!(error.contains("--replace"), "{error}");
    let replace = RestoreOptions { replace: true, ..RestoreOptions::default() };
    let restored = restore_savepoint(&world.pipeline, "s", replace).unwrap();
    assert!(restored.epoch > 1_000_000, "an epoch of the damaged log might be used again: {restored:?}");
    assert_eq!(content(&world.path("state/db")), keys(&[(0..50, 1)]));
    assert_eq!(world.log().history().decided(), restored.epoch);
}

#[test]
fn a_snapshot_of_a_host_that_was_followed_is_not_taken_for_the_state() {
    let world = World::new();
    let mut host = world.host();
    host.epoch(1, 0..10, true);
    host.snapshot();
    // The old host stood still, and writes an epoch of its own while the new one has another.
    host.epoch(2, 0..5, true);
    let stale = Location::Folder(world.path("stale"));
    let (run, epoch) = (host.run, 2);
    drop(host);
    std::fs::remove_file(world.path(&format!("state/checkpoints/log/{run:010}-{epoch:020}.log"))).unwrap();
    std::fs::rename(world.path("state/db"), world.path("db-of-old")).unwrap();
    let storage = world.storage();
    let manifest = checkpoint::newest_snapshot(&storage, "fraud", |_| true).unwrap().unwrap();
    checkpoint::restore_snapshot(&storage, &manifest, &world.path("state/db")).unwrap();
    let mut new = world.host();
    new.epoch(2, 5..10, true);
    let old = state::Config { path: world.path("db-of-old"), ..world.pipeline.state.clone() };
    let old = Store::open(&old, &[]).unwrap();
    let stale = Arc::new(Storage::open_or_create(&stale).unwrap());
    let config = &world.pipeline.checkpoint;
    let mut snapshotter = Snapshotter::new(Arc::clone(&stale), config, "fraud", 9, world.path("w")).unwrap();
    let record = EpochRecord::new(2, 1, run, Decider::Log);
    let recorded = Recorded { header: serde_json::to_value(record).unwrap(), checksum: 1 };
    snapshotter.take(&old, |_| Some(recorded)).unwrap();
    for folder in ["manifests", "sst", "meta"] {
        for file in std::fs::read_dir(world.path("stale").join(folder)).unwrap() {
            let file = file.unwrap();
            let target = world.path("state/checkpoints").join(folder).join(file.file_name());
            // What both have is one file with two names.
            if !target.exists() {
                std::fs::copy(file.path(), target).unwrap();
            }
        }
    }
    assert_eq!(checkpoint::snapshots(&storage).unwrap().last(), Some(&SnapshotId { run: 9, epoch: 2 }));
    create_savepoint(&world.pipeline, "s").unwrap();
    assert_eq!(world.content("s"), (2, keys(&[(0..5, 1), (5..10, 2)])));
}
