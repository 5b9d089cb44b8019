//! The store by itself: what survives, what is refused, what expires.

use super::*;
use crate::record::key_group;
use crate::state::NEVER;

fn config(path: &Path) -> Config {
    Config { path: path.into(), cache_bytes: 1 << 20, block_cache_bytes: 1 << 20 }
}

fn open(path: &Path, operators: &[&str]) -> Result<Arc<Store>, Error> {
    Store::open(&config(path), operators)
}

fn slots(store: &Store, operator: &str, epoch: u64, slots: &[(&str, Option<(i64, &str)>)]) -> DirtySlots {
    let mut out = DirtySlots::with_capacity(store.operator_id(operator).unwrap(), epoch, 0);
    for (key, value) in slots {
        let group = key_group(crate::record::hash_key(key.as_bytes()));
        out.push(group, key.as_bytes(), value.map(|(expires, slot)| (5, expires, slot.as_bytes())));
    }
    out
}

fn get(store: &Store, operator: &str, key: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let group = key_group(crate::record::hash_key(key.as_bytes()));
    layout::push_key(&mut bytes, group, store.operator_id(operator).unwrap(), key.as_bytes());
    let mut found = None;
    store
        .load(&bytes, &[bytes.len()], &mut |_, slot| {
            assert_eq!(slot.version, 5);
            found = Some(String::from_utf8(slot.bytes.to_vec()).unwrap());
        })
        .unwrap();
    found
}

/// Puts a raw record and closes the database.
fn overwrite(path: &Path, key: &[u8], value: &[u8]) {
    let db = DB::open_default(path).unwrap();
    db.put(key, value).unwrap();
}

#[test]
fn of_a_slot_that_is_there_twice_the_later_one_counts() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), &["a"]).unwrap();
    let keys: Vec<String> = (0..500).map(|key| format!("key {key}")).collect();
    let of = |slot| keys.iter().map(move |key| (key.as_str(), Some((NEVER, slot))));
    let mut twice: Vec<_> = of("early").chain(of("late")).collect();
    twice.push(("key 7", None));
    store.apply(1, vec![slots(&store, "a", 1, &twice)]).unwrap();
    for key in &keys {
        assert_eq!(get(&store, "a", key).as_deref(), (key != "key 7").then_some("late"));
    }
}

#[test]
fn slots_and_the_epoch_survive_a_clean_stop() {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = open(folder.path(), &["a", "b"]).unwrap();
        assert_eq!(store.applied_epoch(), 0);
        let first = [
            slots(&store, "a", 1, &[("k", Some((NEVER, "of a"))), ("gone", Some((NEVER, "x")))]),
            slots(&store, "b", 1, &[("k", Some((NEVER, "of b")))]),
        ];
        store.apply(1, first.into()).unwrap();
        store.apply(2, vec![slots(&store, "a", 2, &[("gone", None)])]).unwrap();
        store.flush().unwrap();
    }
    let store = open(folder.path(), &["a", "b"]).unwrap();
    assert_eq!(store.applied_epoch(), 2);
    assert_eq!(get(&store, "a", "k").as_deref(), Some("of a"));
    assert_eq!(get(&store, "b", "k").as_deref(), Some("of b"));
    assert_eq!(get(&store, "a", "gone"), None);
}

#[test]
fn the_checksum_of_the_last_epochs_record_is_kept_with_it() {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = open(folder.path(), &["a"]).unwrap();
        assert_eq!(store.applied_checksum().unwrap(), None);
        store.take(3, Some(0), Vec::new()).unwrap();
        store.settle().unwrap();
        assert_eq!(store.applied_checksum().unwrap(), Some(0));
        store.take(4, Some(u32::MAX), Vec::new()).unwrap();
        store.settle().unwrap();
        store.flush().unwrap();
    }
    let store = open(folder.path(), &["a"]).unwrap();
    assert_eq!((store.applied_epoch(), store.applied_checksum().unwrap()), (4, Some(u32::MAX)));
    store.apply(5, Vec::new()).unwrap();
    assert_eq!(store.applied_checksum().unwrap(), None, "it is of an older epoch");
}

#[test]
fn an_epoch_is_applied_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), &["a"]).unwrap();
    store.apply(7, Vec::new()).unwrap();
    for epoch in [7, 6, 0] {
        assert!(matches!(store.apply(epoch, Vec::new()), Err(Error::EpochOrder { applied: 7, .. })), "epoch {epoch}");
    }
    store.apply(8, Vec::new()).unwrap();
}

#[test]
fn epochs_that_are_applied_together_count_as_the_last_of_them() {
    type Changes<'a> = &'a [(&'a str, Option<(i64, &'a str)>)];
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), &["a"]).unwrap();
    let epochs: [Changes<'_>; 3] = [
        &[("k", Some((NEVER, "first"))), ("gone", Some((NEVER, "x"))), ("kept", Some((NEVER, "kept")))],
        &[("k", Some((NEVER, "second"))), ("gone", None), ("back", None)],
        &[("k", Some((NEVER, "third"))), ("back", Some((NEVER, "back")))],
    ];
    let mut bytes = 0;
    for (epoch, changed) in (5u64..).zip(epochs) {
        let slots = slots(&store, "a", epoch, changed);
        bytes += slots.bytes().len();
        assert_eq!(store.take(epoch, Some(epoch as u32), vec![slots]).unwrap(), bytes);
        assert!(
            matches!(store.take(epoch, None, Vec::new()), Err(Error::EpochOrder { applied, .. }) if applied == epoch)
        );
        assert_eq!((store.applied_epoch(), get(&store, "a", "k")), (0, None), "it is not settled");
    }
    store.settle().unwrap();
    assert_eq!((store.applied_epoch(), store.applied_checksum().unwrap()), (7, Some(7)));
    let found = ["k", "gone", "kept", "back"].map(|key| get(&store, "a", key));
    assert_eq!(found.each_ref().map(Option::as_deref), [Some("third"), None, Some("kept"), Some("back")]);
    assert_eq!(store.take(8, None, Vec::new()).unwrap(), 0, "nothing is left");
}

#[test]
fn state_follows_the_operators_name_when_the_pipeline_is_reordered() {
    let folder = tempfile::tempdir().unwrap();
    let id = {
        let store = open(folder.path(), &["a", "b"]).unwrap();
        store.apply(1, vec![slots(&store, "b", 1, &[("k", Some((NEVER, "of b")))])]).unwrap();
        store.flush().unwrap();
        store.operator_id("b").unwrap()
    };
    drop(open(folder.path(), &["new", "b"]).unwrap());
    let store = open(folder.path(), &["b", "newer", "new", "a"]).unwrap();
    assert_eq!(store.operator_id("b").unwrap(), id);
    assert_eq!(get(&store, "b", "k").as_deref(), Some("of b"));
    for other in ["a", "new", "newer"] {
        assert_eq!(get(&store, other, "k"), None);
        assert!(store.has_no_slots(store.operator_id(other).unwrap()).unwrap());
    }
    assert!(!store.has_no_slots(id).unwrap());
    assert!(matches!(store.operator_id("nobody"), Err(Error::UnknownOperator { name }) if name == "nobody"));
}

#[test]
fn a_second_opener_is_told_that_the_folder_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let _first = open(folder.path(), &[]).unwrap();
    let error = open(folder.path(), &[]).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    assert!(error.to_string().contains("state.path"), "{error}");
}

#[test]
fn another_format_hash_or_key_group_count_is_refused_and_left_alone() {
    for (meta, says) in [
        (r#"{"format":2,"new":true}"#, "format is 2"),
        (r#"{"format":1,"hash":"murmur3","key_groups":128,"operators":{}}"#, "murmur3"),
        (r#"{"format":1,"hash":"xxh3-64","key_groups":4096,"operators":{}}"#, "4096 key groups"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path(), &["a"]).unwrap());
        overwrite(folder.path(), b"\xFF\xFFmeta", meta.as_bytes());
        let error = open(folder.path(), &["a", "b"]).unwrap_err();
        assert!(matches!(error, Error::Mismatch { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains(says) && message.contains("state.path"), "{message}");
        let db = DB::open_default(folder.path()).unwrap();
        assert_eq!(db.get(b"\xFF\xFFmeta").unwrap().unwrap(), meta.as_bytes());
    }
}

#[test]
fn a_format_record_that_cannot_be_read_is_reported_as_damage() {
    for meta in
        ["", "{", r#"{"format":1}"#, r#"{"format":1,"hash":"xxh3-64","key_groups":128,"operators":{"a":1,"b":1}}"#]
    {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path(), &[]).unwrap());
        overwrite(folder.path(), b"\xFF\xFFmeta", meta.as_bytes());
        let error = open(folder.path(), &[]).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{meta}: {error}");
    }
}

#[test]
fn a_folder_with_other_files_or_another_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("thesis.tex"), "precious").unwrap();
    let error = open(folder.path(), &[]).unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }) && error.to_string().contains("thesis.tex"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

    let folder = tempfile::tempdir().unwrap();
    overwrite(folder.path(), b"somebody's", b"data");
    let error = open(folder.path(), &[]).unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }), "{error}");
}

#[test]
fn missing_and_damaged_files_are_reported_as_damage() {
    let damage: [fn(&Path); 3] = [
        |path| std::fs::remove_file(path.join("CURRENT")).unwrap(),
        |path| std::fs::remove_file(table_file(path)).unwrap(),
        |path| {
            let mut bytes = std::fs::read(table_file(path)).unwrap();
            let half = bytes.len() / 2;
            bytes.truncate(half);
            std::fs::write(table_file(path), bytes).unwrap();
        },
    ];
    for (case, damage) in damage.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path(), &["a"]).unwrap());
        damage(folder.path());
        let error = open(folder.path(), &["a"]).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "case {case}: {error}");
    }
}

fn table_file(path: &Path) -> PathBuf {
    let files = std::fs::read_dir(path).unwrap().map(|file| file.unwrap().path());
    files.into_iter().find(|file| file.extension().is_some_and(|end| end == "sst")).unwrap()
}

#[test]
fn compaction_collects_slots_that_expired_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), &["a"]).unwrap();
    let written =
        slots(&store, "a", 1, &[("at", Some((100, "x"))), ("after", Some((101, "x"))), ("never", Some((NEVER, "x")))]);
    store.apply(1, vec![written]).unwrap();
    store.compact();
    assert!(get(&store, "a", "at").is_some(), "nothing is collected while no event time is known");
    store.collect_expired(100);
    store.collect_expired(50);
    store.compact();
    assert_eq!(["at", "after", "never"].map(|key| get(&store, "a", key).is_some()), [false, true, true]);
    drop(store);
    assert_eq!(open(folder.path(), &["a"]).unwrap().applied_epoch(), 1, "the store's own records stay");
}

#[test]
fn slots_overwritten_many_times_keep_their_last_value_across_flushes() {
    let folder = tempfile::tempdir().unwrap();
    let last = |key: usize| format!("{key}").repeat(1 + (key + 199) % 7);
    {
        let store = open(folder.path(), &["a"]).unwrap();
        for epoch in 1..200usize {
            let mut out = DirtySlots::with_capacity(store.operator_id("a").unwrap(), epoch as u64, 0);
            for key in 0..50usize {
                let (name, slot) = (key.to_string(), format!("{key}").repeat(1 + (key + epoch) % 7));
                let group = key_group(crate::record::hash_key(name.as_bytes()));
                // Every key is deleted now and then; the last epoch writes it again.
                let value = ((key + epoch) % 11 != 0 || epoch == 199).then_some((5, NEVER, slot.as_bytes()));
                out.push(group, name.as_bytes(), value);
            }
            store.apply(epoch as u64, vec![out]).unwrap();
            if epoch % 67 == 0 {
                store.flush().unwrap();
            }
        }
        (0..50).for_each(|key| assert_eq!(get(&store, "a", &key.to_string()), Some(last(key))));
        store.flush().unwrap();
    }
    let store = open(folder.path(), &["a"]).unwrap();
    (0..50).for_each(|key| assert_eq!(get(&store, "a", &key.to_string()), Some(last(key))));
}

/// All slots of an operator, by key.
fn saved(state: &SavedState, operator: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for group in 0..KEY_GROUPS {
        let each = |slot: Slot<'_>| {
            assert_eq!(group, key_group(crate::record::hash_key(slot.key)));
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            out.push((text(slot.key), text(slot.bytes)));
            Ok::<_, Error>(())
        };
        state.slots(state.operators()[operator], group, each).unwrap();
    }
    out.sort();
    out
}

#[test]
fn a_copy_has_what_was_applied_before_it_and_nothing_after() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("db"), &["a", "b"]).unwrap();
    let first = slots(&store, "a", 7, &[("k", Some((NEVER, "old"))), ("l", Some((1, "expired"))), ("m", None)]);
    store.apply(7, vec![first, slots(&store, "b", 7, &[("k", Some((NEVER, "of b")))])]).unwrap();
    let copy = folder.path().join("copy");
    store.checkpoint(&copy).unwrap();
    store.apply(8, vec![slots(&store, "a", 8, &[("k", Some((NEVER, "new")))])]).unwrap();
    let state = SavedState::open(&copy).unwrap();
    assert_eq!(state.epoch(), 7);
    let pair = |key: &str, slot: &str| (key.to_owned(), slot.to_owned());
    assert_eq!(saved(&state, "a"), [pair("k", "old"), pair("l", "expired")]);
    assert_eq!(saved(&state, "b"), [pair("k", "of b")]);
    drop(state);
    // The copy is a database like any other, and changing it does not change where it came from.
    let other = open(&copy, &["a"]).unwrap();
    other.apply(8, vec![slots(&other, "a", 8, &[("k", Some((NEVER, "other")))])]).unwrap();
    other.compact();
    assert_eq!(get(&store, "a", "k").as_deref(), Some("new"));
}

#[test]
fn a_copy_taken_while_epochs_are_applied_ends_with_an_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("db"), &["a"]).unwrap();
    let keys: Vec<String> = (0..500).map(|key| format!("key {key}")).collect();
    let epoch = |epoch: u64| {
        let slot = format!("{epoch:08}");
        let changed: Vec<_> = keys.iter().map(|key| (key.as_str(), Some((NEVER, slot.as_str())))).collect();
        store.apply(epoch, vec![slots(&store, "a", epoch, &changed)]).unwrap();
    };
    epoch(1);
    let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
    std::thread::scope(|scope| {
        // Dropped here, so that a failed assertion ends the writer too.
        let stop = stop;
        let writer = scope.spawn(|| {
            let mut next = 2;
            while stopped.try_recv() == Err(crossbeam_channel::TryRecvError::Empty) {
                epoch(next);
                next += 1;
            }
            next
        });
        for copy in 0..5 {
            let copy = folder.path().join(format!("copy {copy}"));
            store.checkpoint(&copy).unwrap();
            let state = SavedState::open(&copy).unwrap();
            let found = saved(&state, "a");
            assert_eq!(found.len(), keys.len());
            let expected = format!("{:08}", state.epoch());
            assert!(found.iter().all(|(_, slot)| *slot == expected), "half of an epoch is in the copy");
        }
        drop(stop);
        assert!(writer.join().unwrap() > 2, "nothing was applied meanwhile");
    });
}

#[test]
fn restored_slots_belong_to_the_epoch_that_is_applied_after_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("db"), &["a"]).unwrap();
    store.put_slots(&slots(&store, "a", 0, &[("k", Some((NEVER, "x")))])).unwrap();
    assert_eq!(store.applied_epoch(), 0);
    store.apply(41, Vec::new()).unwrap();
    assert_eq!((store.applied_epoch(), get(&store, "a", "k").as_deref()), (41, Some("x")));
    store.checkpoint(&folder.path().join("copy")).unwrap();
    assert_eq!(SavedState::open(&folder.path().join("copy")).unwrap().epoch(), 41);
}
