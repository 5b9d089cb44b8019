//! Savepoints of a real database, there and back; hostile bytes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;

use super::blocks::{self, Builder, HEADER};
use super::*;
use crate::checkpoint::tests::{Content, NEVER, World, config, content, write};
use crate::checkpoint::verify;
use crate::record::{hash_key, key_group};
use crate::state::{DirtySlots, MAX_VERSION, SavedState, Slot, Store};

/// The state of `store` as a savepoint.
fn save(world: &World, store: &Store, name: &str) -> Result<Savepoint, Error> {
    let copy = tempfile::tempdir_in(world.folder.path()).unwrap();
    store.checkpoint(&copy.path().join("db")).unwrap();
    let state = SavedState::open(&copy.path().join("db")).unwrap();
    Savepoint::create(&world.storage, name, "fraud", json!({ "epoch": state.epoch() }), &state, &world.path("work"))
}

fn restore(world: &World, savepoint: &Savepoint, to: &str, operators: &[&str]) -> Result<Restored, Error> {
    savepoint.restore(&world.storage, &config(world.path(to)), operators, 77, false)
}

#[test]
fn a_savepoint_comes_back_in_a_pipeline_whose_operators_stand_elsewhere() {
    let world = World::new();
    let store = world.store("db", &["a", "b", "idle"]);
    write(&store, "a", 1, 0..2_000, "of a");
    write(&store, "b", 2, 500..900, "of b");
    let made = save(&world, &store, "before-upgrade").unwrap();
    let read = Savepoint::read(&world.storage, "before-upgrade").unwrap();
    assert_eq!(read, made);
    assert_eq!((read.epoch, read.slots(), read.record["epoch"].as_u64()), (2, 2_400, Some(2)));
    assert_eq!(read.operators["a"].versions, BTreeSet::from([3]));
    assert_eq!((read.operators["idle"].slots, read.operators["idle"].size), (0, 0));
    assert_eq!(savepoints(&world.storage).unwrap(), ["before-upgrade"]);

    let restored = restore(&world, &read, "back", &["new", "b", "a"]).unwrap();
    assert_eq!((restored.operators, restored.slots), (vec!["a".to_owned(), "b".to_owned()], 2_400));
    assert_eq!(restored.left_out, Vec::<String>::new(), "an operator without state leaves nothing out");
    let state = SavedState::open(&world.path("back")).unwrap();
    assert_eq!(state.epoch(), 77);
    let found = content(&state);
    assert_eq!(found.len(), 2_400);
    assert!(found.iter().all(|((operator, _), (.., slot))| *slot == format!("of {operator}").into_bytes()));
    assert_ne!(state.operators()["a"], store.operator_id("a").unwrap(), "the test shows nothing");
    assert!(!world.path("work").exists() && !world.path("back.restoring").exists(), "work in progress is left");
}

#[test]
fn state_that_the_pipeline_has_no_operator_for_is_left_out_only_when_that_is_allowed() {
    let world = World::new();
    let store = world.store("db", &["a", "old"]);
    write(&store, "a", 1, 0..10, "x");
    write(&store, "old", 2, 0..10, "x");
    let savepoint = save(&world, &store, "s").unwrap();
    let error = restore(&world, &savepoint, "back", &["a"]).unwrap_err().to_string();
    assert!(error.contains("`old`") && error.contains("--allow-non-restored-state"), "{error}");
    assert!(!world.path("back").exists());
    let restored = savepoint.restore(&world.storage, &config(world.path("back")), &["a"], 3, true).unwrap();
    assert_eq!((restored.slots, restored.left_out), (10, vec!["old".to_owned()]));
    assert_eq!(content(&SavedState::open(&world.path("back")).unwrap()).len(), 10);
}

#[test]
fn a_savepoint_is_never_replaced_and_restored_only_into_nothing() {
    let world = World::new();
    let store = world.store("db", &["a"]);
    write(&store, "a", 1, 0..10, "first");
    let savepoint = save(&world, &store, "s").unwrap();
    write(&store, "a", 2, 0..10, "second");
    let error = save(&world, &store, "s").unwrap_err().to_string();
    assert!(error.contains("already"), "{error}");
    assert_eq!(Savepoint::read(&world.storage, "s").unwrap().epoch, 1);
    drop(store);
    let error = restore(&world, &savepoint, "db", &["a"]).unwrap_err().to_string();
    assert!(error.contains("--replace"), "{error}");
    for bad in ["", "../x", "A"] {
        assert!(matches!(Savepoint::read(&world.storage, bad), Err(Error::Refused(_))), "{bad}");
    }
    let error = Savepoint::read(&world.storage, "none").unwrap_err().to_string();
    assert!(error.contains("savepoints/none") && error.contains("savepoint list"), "{error}");
    let error = savepoint.check_pipeline(&world.storage, "other").unwrap_err().to_string();
    assert!(error.contains("`fraud`"), "{error}");
}

#[test]
fn a_flipped_byte_or_a_missing_file_is_found_by_name_and_nothing_is_restored() {
    let world = World::new();
    let store = world.store("db", &["a"]);
    write(&store, "a", 1, 0..1_000, "x");
    let savepoint = save(&world, &store, "s").unwrap();
    let blocks = names::blocks("s", savepoint.operators["a"].sha256);
    for object in [names::savepoint("s"), blocks] {
        let path = world.object(&object);
        let good = std::fs::read(&path).unwrap();
        let mut flipped = good.clone();
        flipped[good.len() / 2] ^= 1;
        for bad in [Some(flipped.as_slice()), Some(&good[1..]), None] {
            match bad {
                Some(bytes) => std::fs::write(&path, bytes).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            let error = Savepoint::read(&world.storage, "s").and_then(|s| restore(&world, &s, "back", &["a"]));
            assert!(error.unwrap_err().to_string().contains(&object), "{object}");
            if bad.is_some() || object.ends_with(".blocks") {
                let bad = verify(&world.storage).unwrap().bad;
                assert_eq!(bad.iter().map(|b| b.object.as_str()).collect::<Vec<_>>(), [object.as_str()]);
            }
            assert!(!world.path("back").exists());
            std::fs::write(&path, &good).unwrap();
        }
    }
    restore(&world, &savepoint, "back", &["a"]).unwrap();
}

#[test]
fn a_sealed_document_that_contradicts_itself_is_refused() {
    let world = World::new();
    let store = world.store("db", &["a"]);
    write(&store, "a", 1, 0..1_000, "x");
    let good = save(&world, &store, "s").unwrap();
    let refused = |change: &dyn Fn(&mut Savepoint)| {
        let mut bad = good.clone();
        change(&mut bad);
        world.storage.put(&names::savepoint("s"), &digest::seal(&bad).unwrap()).unwrap();
        Savepoint::read(&world.storage, "s").unwrap_err().to_string()
    };
    let a = |s: &mut Savepoint, change: &dyn Fn(&mut OperatorState)| change(s.operators.get_mut("a").unwrap());
    assert!(refused(&|s| s.format = 2).contains("format is 2"));
    assert!(refused(&|s| s.hash = "fnv".into()).contains("fnv"));
    assert!(refused(&|s| s.name = "t".into()).contains("`t`"));
    assert!(refused(&|s| a(s, &|a| a.blocks.swap(0, 1))).contains("out of place"));
    assert!(refused(&|s| a(s, &|a| a.blocks[0].key_group = KEY_GROUPS)).contains("out of place"));
    assert!(refused(&|s| a(s, &|a| a.blocks.truncate(1))).contains("not 1000"));
    assert!(refused(&|s| a(s, &|a| a.slots = 7)).contains("not 7"));
}

#[test]
fn a_key_in_the_wrong_key_group_is_refused() {
    let world = World::new();
    let mut builder = Builder::new();
    builder.push(Slot { key: b"k", version: 1, expires: NEVER, bytes: b"x" }).unwrap();
    let wrong = (key_group(hash_key(b"k")) + 1) % KEY_GROUPS;
    let block = builder.finish(wrong).unwrap();
    let (sha256, size) = (Digest::of(&block), block.len() as u64);
    let index = vec![Block { key_group: wrong, offset: 0, length: block.len() as u32, slots: 1 }];
    let state = OperatorState { versions: BTreeSet::from([1]), slots: 1, sha256, size, blocks: index };
    let store = world.store("db", &["a"]);
    let mut savepoint = save(&world, &store, "s").unwrap();
    world.storage.put(&names::blocks("s", sha256), &block).unwrap();
    savepoint.operators = BTreeMap::from([("a".to_owned(), state)]);
    let error = restore(&world, &savepoint, "back", &["a"]).unwrap_err().to_string();
    assert!(error.contains(&format!("key of key group {}", key_group(hash_key(b"k")))), "{error}");
}

#[test]
fn a_slot_of_a_version_that_no_plugin_has_is_refused() {
    let world = World::new();
    let mut builder = Builder::new();
    builder.push(Slot { key: b"k", version: MAX_VERSION + 1, expires: NEVER, bytes: b"x" }).unwrap();
    let group = key_group(hash_key(b"k"));
    let block = builder.finish(group).unwrap();
    let (sha256, size) = (Digest::of(&block), block.len() as u64);
    let index = vec![Block { key_group: group, offset: 0, length: block.len() as u32, slots: 1 }];
    let state = OperatorState { versions: BTreeSet::from([1]), slots: 1, sha256, size, blocks: index };
    let store = world.store("db", &["a"]);
    let mut savepoint = save(&world, &store, "s").unwrap();
    world.storage.put(&names::blocks("s", sha256), &block).unwrap();
    savepoint.operators = BTreeMap::from([("a".to_owned(), state)]);
    let error = restore(&world, &savepoint, "back", &["a"]).unwrap_err().to_string();
    assert!(error.contains("a slot of version 2147483648"), "{error}");
}

#[test]
fn a_key_group_of_many_slots_has_several_blocks() {
    let world = World::new();
    let store = world.store("db", &["a"]);
    let mut slots = DirtySlots::with_capacity(store.operator_id("a").unwrap(), 1, 0);
    let large = vec![7; 400 << 10];
    let keys = (0u32..).map(u32::to_le_bytes).filter(|key| key_group(hash_key(key)) == 5);
    keys.take(7).for_each(|key| slots.push(5, &key, Some((1, NEVER, &large))));
    store.apply(1, vec![slots]).unwrap();
    let savepoint = save(&world, &store, "s").unwrap();
    assert_eq!(
        savepoint.operators["a"].blocks.iter().map(|b| (b.key_group, b.slots)).collect::<Vec<_>>(),
        [(5, 3), (5, 3), (5, 1)]
    );
    restore(&world, &savepoint, "back", &["a"]).unwrap();
    assert_eq!(content(&SavedState::open(&world.path("back")).unwrap()).len(), 7);
}

fn slots() -> impl Strategy<Value = Content> {
    let operator = prop_oneof![Just("a".to_owned()), Just("b".to_owned())];
    let bytes = |max| prop::collection::vec(any::<u8>(), 0..max);
    let value = (0..=MAX_VERSION, prop_oneof![Just(NEVER), any::<i64>()], bytes(200));
    prop::collection::btree_map((operator, bytes(20)), value, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_saved_comes_back(expected in slots()) {
        let world = World::new();
        let store = world.store("db", &["a", "b"]);
        let dirty = ["a", "b"].map(|operator| {
            let mut dirty = DirtySlots::with_capacity(store.operator_id(operator).unwrap(), 1, 0);
            for ((_, key), (version, expires, slot)) in expected.iter().filter(|((name, _), _)| name == operator) {
                dirty.push(key_group(hash_key(key)), key, Some((*version, *expires, slot)));
            }
            dirty
        });
        store.apply(1, dirty.into()).unwrap();
        let savepoint = save(&world, &store, "s").unwrap();
        restore(&world, &savepoint, "back", &["b", "a"]).unwrap();
        prop_assert_eq!(content(&SavedState::open(&world.path("back")).unwrap()), expected);
    }
}

proptest! {
    /// The checksum is made to fit, so that what is behind it is reached.
    #[test]
    fn hostile_blocks_are_read_or_refused_and_never_panic(
        count in 0u32..4,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<Option<prop::sample::Index>>(),
        raw in prop::collection::vec(prop_oneof![Just(0u8), 0..4u8, any::<u8>()], 0..80),
        of_raw in any::<bool>(),
    ) {
        let mut block = if of_raw {
            // A good frame around anything.
            let frame = zstd::bulk::compress(&raw, 1).unwrap();
            let numbers = [5, raw.len() as u32, frame.len() as u32, 0];
            let mut block: Vec<u8> = numbers.into_iter().flat_map(u32::to_le_bytes).collect();
            block.extend_from_slice(&frame);
            block
        } else {
            let mut builder = Builder::new();
            for slot in 0..count {
                builder.push(Slot { key: &[slot as u8; 3], version: 1, expires: 2, bytes: &raw }).unwrap();
            }
            builder.finish(5).unwrap()
        };
        for (place, byte) in edits {
            let place = place.index(block.len());
            block[place] = byte;
        }
        if let Some(cut) = cut {
            block.truncate(cut.index(block.len() + 1));
        }
        if block.len() >= HEADER {
            let checksum = crc32c::crc32c_append(crc32c::crc32c(&block[..12]), &block[HEADER..]);
            block[12..HEADER].copy_from_slice(&checksum.to_le_bytes());
        }
        if let Ok(slots) = blocks::read(&block, 5, count) {
            let mut seen = 0;
            let all = slots.each(|_| {
                seen += 1;
                Ok::<_, String>(())
            });
            prop_assert!(all.is_err() || seen == count);
        }
    }
}
