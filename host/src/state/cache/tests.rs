//! The cache against a model, over the real store and over one that fails.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::BinaryArray;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::record::{KeyHash, hash_key};
use crate::state::store::layout::{self, StoredSlot};
use crate::state::{Config, DirtySlots, Error, KeyColumn};

/// A store in memory that can fail.
#[derive(Debug, Default)]
struct FakeStore {
    values: Mutex<HashMap<Vec<u8>, Vec<u8>>>,
    failing: AtomicBool,
}

impl FakeStore {
    fn apply(&self, slots: &DirtySlots) {
        let mut values = self.values.lock().unwrap();
        for slot in slots.iter() {
            match slot.value {
                Some(value) => values.insert(slot.key.to_vec(), value.to_vec()),
                None => values.remove(slot.key),
            };
        }
    }
}

impl SlotSource for FakeStore {
    fn load(&self, bytes: &[u8], ends: &[usize], found: &mut dyn FnMut(usize, StoredSlot<'_>)) -> Result<(), Error> {
        let mut start = 0;
        for (index, &end) in ends.iter().enumerate() {
            let key = &bytes[std::mem::replace(&mut start, end)..end];
            if let Some(value) = self.values.lock().unwrap().get(key) {
                found(index, layout::parse_value(value, &mut Vec::new()).unwrap());
            }
        }
        if self.failing.load(Ordering::Relaxed) {
            return Err(Error::Corrupt { path: "fake".into(), detail: "as told".into() });
        }
        Ok(())
    }

    fn has_no_slots(&self, _: OperatorId) -> Result<bool, Error> {
        Ok(self.values.lock().unwrap().is_empty())
    }
}

fn cache(source: &Arc<FakeStore>, ttl_ms: u64, max_bytes: usize) -> SlotCache {
    SlotCache::with_source(source.clone(), OperatorId(3), ttl_ms, max_bytes, 0)
}

/// Runs `f` on a batch of these keys.
fn batch<R>(cache: &mut SlotCache, keys: &[&str], now_ms: i64, f: impl FnOnce(&mut Keys<'_>) -> R) -> Result<R, Error> {
    let column = BinaryArray::from_iter_values(keys);
    let hashes: Vec<_> = keys.iter().map(|key| hash_key(key.as_bytes())).collect();
    Ok(f(&mut cache.begin(&hashes, &KeyColumn::new(&column).unwrap(), now_ms, now_ms)?))
}

fn put(cache: &mut SlotCache, key: &str, slot: &[u8]) {
    batch(cache, &[key], 0, |keys| keys.put(0, 1, slot)).unwrap();
}

fn get(cache: &mut SlotCache, key: &str, now_ms: i64) -> Option<Vec<u8>> {
    batch(cache, &[key], now_ms, |keys| keys.get(0).map(|(_, slot)| slot.to_vec())).unwrap()
}

#[test]
fn rows_of_one_key_share_an_index_and_a_slot() {
    let store = Arc::new(FakeStore::default());
    let mut cache = cache(&store, 0, 1 << 20);
    for round in 0..2 {
        batch(&mut cache, &["a", "b", "a", "", "b", ""], 0, |keys| {
            assert_eq!(keys.row_index(), [0, 1, 0, 2, 1, 2]);
            assert_eq!((keys.len(), keys.key(0), keys.key(2)), (3, b"a".as_slice(), b"".as_slice()));
            assert_eq!(keys.get(1).is_some(), round == 1);
            keys.put(1, 7, b"slot of b");
            assert_eq!(keys.get(1), Some((7, b"slot of b".as_slice())));
        })
        .unwrap();
    }
    let stats = cache.stats();
    assert_eq!((stats.misses, stats.hits, stats.live_keys), (3, 9, 1));
}

#[test]
fn an_empty_batch_has_no_keys() {
    let store = Arc::new(FakeStore::default());
    let mut cache = cache(&store, 0, 1 << 20);
    put(&mut cache, "a", b"1");
    batch(&mut cache, &[], 0, |keys| assert!(keys.is_empty() && keys.row_index().is_empty())).unwrap();
    assert_eq!(get(&mut cache, "a", 0), Some(b"1".to_vec()));
}

#[test]
fn an_entry_handed_over_stays_until_its_epoch_is_applied() {
    let store = Arc::new(FakeStore::default());
    let mut cache = cache(&store, 0, 0);
    put(&mut cache, "a", b"first");
    let first = cache.hand_over(1);
    put(&mut cache, "b", b"other");
    // The bound is zero and the store empty: had "a" been evicted, it would read as absent.
    assert_eq!(get(&mut cache, "a", 0), Some(b"first".to_vec()));
    put(&mut cache, "a", b"second");
    let second = cache.hand_over(2);
    assert_eq!((first.len(), second.len(), first.epoch(), second.epoch()), (1, 2, 1, 2));
    store.apply(&first);
    cache.applied(1);
    assert_eq!(get(&mut cache, "a", 0), Some(b"second".to_vec()), "the first epoch does not unpin the second");
    assert_eq!(cache.stats().evictions, 0);
    store.apply(&second);
    cache.applied(2);
    for _ in 0..4 {
        get(&mut cache, "b", 0);
    }
    assert!(cache.stats().evictions > 0);
    assert_eq!(get(&mut cache, "a", 0), Some(b"second".to_vec()));
}

#[test]
fn slots_copied_before_their_barrier_count_as_they_are_at_the_barrier() {
    let store = Arc::new(FakeStore::default());
    // A bound of zero: whatever may be evicted is.
    let mut cache = cache(&store, 0, 0);
    let names: Vec<String> = (0..10_000).map(|key| format!("key {key}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let write = |cache: &mut SlotCache, names: &[&str], slot: &[u8]| {
        batch(cache, names, 0, |keys| (0..keys.len()).for_each(|k| keys.put(k, 1, slot))).unwrap();
    };
    for epoch in 1..4u64 {
        let slot = |what: &str| format!("{what} of {epoch}").into_bytes();
        names.chunks(100).for_each(|names| write(&mut cache, names, &slot("first")));
        let weight = cache.stats().dirty_bytes;
        write(&mut cache, &names[..100], &slot("second"));
        assert_eq!(cache.stats().dirty_bytes, weight, "none counts twice");
        batch(&mut cache, &names[100..150], 0, |keys| (0..keys.len()).for_each(|k| keys.delete(k))).unwrap();
        let expected = |key: usize| match key {
            0..100 => Some(slot("second")),
            100..150 => None,
            _ => Some(slot("first")),
        };
        let slots = cache.hand_over(epoch);
        assert_eq!((slots.epoch(), slots.len()), (epoch, 10_150), "those that changed again are there twice");
        (0..10_000).for_each(|key| assert_eq!(get(&mut cache, names[key], 0), expected(key), "{key} before"));
        store.apply(&slots);
        cache.applied(epoch);
        (0..10_000).for_each(|key| assert_eq!(get(&mut cache, names[key], 0), expected(key), "{key} after"));
    }
    assert!(cache.stats().evictions > 0);
}

#[test]
fn clean_entries_keep_the_bound_and_dirty_ones_ask_for_a_barrier() {
    let store = Arc::new(FakeStore::default());
    let max_bytes = 100_000;
    let mut cache = cache(&store, 0, max_bytes);
    let mut epoch = 0;
    for i in 0..2_000 {
        assert_eq!(cache.needs_barrier(), cache.stats().dirty_bytes > max_bytes / 2);
        if cache.needs_barrier() {
            epoch += 1;
            let slots = cache.hand_over(epoch);
            assert!(!cache.needs_barrier());
            store.apply(&slots);
            cache.applied(epoch);
        }
        put(&mut cache, &format!("key {i}"), &[i as u8; 200]);
        assert!(cache.stats().bytes < max_bytes + max_bytes / 16 + 1_000, "{:?}", cache.stats());
    }
    assert!(epoch > 5);
    for i in 2_000..4_000 {
        put(&mut cache, &format!("key {i}"), &[i as u8; 200]);
    }
    assert!(cache.stats().bytes > max_bytes, "dirty slots have nowhere else to be");
    for i in 0..4_000 {
        assert_eq!(get(&mut cache, &format!("key {i}"), 0), Some(vec![i as u8; 200]));
    }
}

#[test]
fn a_failed_load_leaves_no_trace() {
    let store = Arc::new(FakeStore::default());
    {
        let mut first = cache(&store, 0, 1 << 20);
        put(&mut first, "a", b"1");
        store.apply(&first.hand_over(1));
    }
    let mut cache = cache(&store, 0, 1 << 20);
    store.failing.store(true, Ordering::Relaxed);
    assert!(batch(&mut cache, &["a", "b"], 0, |_| ()).is_err());
    let CacheStats { bytes, live_keys, .. } = cache.stats();
    assert_eq!((bytes, live_keys), (0, 0));
    store.failing.store(false, Ordering::Relaxed);
    assert_eq!(get(&mut cache, "a", 0), Some(b"1".to_vec()));
}

#[test]
fn a_cache_over_an_empty_store_does_not_ask_it_for_new_keys_until_it_has_evicted() {
    let store = Arc::new(FakeStore::default());
    let mut cache = cache(&store, 0, 300);
    store.failing.store(true, Ordering::Relaxed);
    for key in ["a", "b", "c"] {
        put(&mut cache, key, &[1; 200]);
    }
    let slots = cache.hand_over(1);
    store.apply(&slots);
    cache.applied(1);
    store.failing.store(false, Ordering::Relaxed);
    for _ in 0..4 {
        get(&mut cache, "c", 0);
    }
    assert!(cache.stats().evictions > 0);
    store.failing.store(true, Ordering::Relaxed);
    assert!(batch(&mut cache, &["d"], 0, |_| ()).is_err());
}

#[test]
fn a_slot_expires_when_event_time_reaches_its_ttl_and_a_write_renews_it() {
    let store = Arc::new(FakeStore::default());
    let mut cache = cache(&store, 100, 1 << 20);
    batch(&mut cache, &["a"], 1_000, |keys| keys.put(0, 1, b"x")).unwrap();
    assert!(get(&mut cache, "a", 1_099).is_some());
    batch(&mut cache, &["a"], 1_099, |keys| keys.put(0, 1, b"y")).unwrap();
    assert!(get(&mut cache, "a", 1_198).is_some());
    assert!(get(&mut cache, "a", 1_199).is_none());
    batch(&mut cache, &["a"], i64::MIN, |keys| keys.put(0, 1, b"z")).unwrap();
    assert!(get(&mut cache, "a", i64::MAX - 1).is_some(), "written before any event time is known");
}

#[test]
fn a_deleted_slot_is_deleted_from_the_store_and_a_missing_one_changes_nothing() {
    let store = Arc::new(FakeStore::default());
    let mut cache = cache(&store, 0, 1 << 20);
    put(&mut cache, "a", b"1");
    store.apply(&cache.hand_over(1));
    batch(&mut cache, &["a", "b"], 0, |keys| {
        keys.delete(0);
        keys.delete(1);
        assert!(keys.get(0).is_none());
    })
    .unwrap();
    let slots = cache.hand_over(2);
    assert_eq!(slots.iter().map(|slot| slot.value).collect::<Vec<_>>(), [None]);
    store.apply(&slots);
    assert!(store.values.lock().unwrap().is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    /// Rows of a batch of one of the two operators: key, and what is done to it.
    Batch(usize, Vec<(usize, Action)>),
    Barrier,
    /// So many of the oldest epochs in flight are applied together.
    Applied(usize),
    Later(i64),
    Collect,
    Reopen,
}

#[derive(Clone, Debug)]
enum Action {
    Read,
    Put(usize),
    Delete,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let length = prop_oneof![8 => 0..400usize, 1 => 30_000..70_000usize];
    let action = prop_oneof![3 => Just(Action::Read), 6 => length.prop_map(Action::Put), 1 => Just(Action::Delete)];
    let step = prop_oneof![
        12 => (0..2usize, vec((0..40usize, action), 0..30)).prop_map(|(op, rows)| Step::Batch(op, rows)),
        4 => Just(Step::Barrier),
        4 => (1..4usize).prop_map(Step::Applied),
        3 => (0..400i64).prop_map(Step::Later),
        1 => Just(Step::Collect),
        1 => Just(Step::Reopen),
    ];
    vec(step, 1..60)
}

/// Keys of many lengths, the empty one among them.
fn key(index: usize) -> Vec<u8> {
    vec![index as u8; index * index % 150]
}

const TTLS: [u64; 2] = [0, 300];
type Model = BTreeMap<(usize, Vec<u8>), (u32, i64, Vec<u8>)>;

struct World {
    store: Arc<Store>,
    caches: [SlotCache; 2],
    epoch: u64,
    in_flight: VecDeque<(u64, Vec<DirtySlots>)>,
}

impl World {
    fn open(path: &Path, max_bytes: usize) -> Self {
        let config = Config { path: path.into(), cache_bytes: max_bytes, block_cache_bytes: 1 << 20 };
        let store = Store::open(&config, &["one", "two"]).unwrap();
        let caches = ["one", "two"].map(|name| {
            let id = store.operator_id(name).unwrap();
            SlotCache::new(store.clone(), id, TTLS[usize::from(name == "two")], max_bytes)
        });
        Self { epoch: store.applied_epoch(), store, caches, in_flight: VecDeque::new() }
    }

    fn barrier(&mut self) {
        self.epoch += 1;
        let epoch = self.epoch;
        self.in_flight.push_back((epoch, self.caches.iter_mut().map(|cache| cache.hand_over(epoch)).collect()));
    }

    fn apply_oldest(&mut self, epochs: usize) {
        for (epoch, slots) in self.in_flight.drain(..epochs.min(self.in_flight.len())) {
            self.store.take(epoch, None, slots).unwrap();
        }
        self.store.settle().unwrap();
        self.caches.iter_mut().for_each(|cache| cache.applied(self.store.applied_epoch()));
    }

    fn stop(mut self) {
        self.barrier();
        self.apply_oldest(usize::MAX);
        self.store.flush().unwrap();
    }

    fn batch(
        &mut self,
        operator: usize,
        rows: &[(usize, Action)],
        now: i64,
        hash: fn(&[u8]) -> KeyHash,
        model: &mut Model,
    ) {
        let column = BinaryArray::from_iter_values(rows.iter().map(|&(index, _)| key(index)));
        let hashes: Vec<_> = rows.iter().map(|&(index, _)| hash(&key(index))).collect();
        let mut keys = self.caches[operator].begin(&hashes, &KeyColumn::new(&column).unwrap(), now, now).unwrap();
        let index = keys.row_index().to_vec();
        for (row, (key_index, action)) in rows.iter().enumerate() {
            let k = index[row] as usize;
            let name = (operator, key(*key_index));
            assert_eq!(keys.key(k), name.1);
            let wanted = model.get(&name).filter(|(_, expires, _)| *expires > now);
            assert_eq!(keys.get(k), wanted.map(|(version, _, slot)| (*version, slot.as_slice())));
            match action {
                Action::Read => {}
                Action::Put(len) => {
                    let (version, slot) = (row as u32, vec![(row * 31 + len) as u8; *len]);
                    keys.put(k, version, &slot);
                    let expires = if TTLS[operator] == 0 { i64::MAX } else { now + TTLS[operator] as i64 };
                    model.insert(name, (version, expires, slot));
                }
                Action::Delete => {
                    keys.delete(k);
                    model.remove(&name);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn cache_and_store_together_behave_like_a_map(
        steps in steps(),
        max_bytes in prop_oneof![Just(0usize), Just(3_000), Just(20_000), Just(1 << 24)],
        colliding in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        // Few hashes, so that tags, whole hashes and key groups collide.
        let hash = if colliding { |key: &[u8]| hash_key(key) & 0x0200_0000_0000_0003 } else { hash_key };
        let mut world = World::open(folder.path(), max_bytes);
        let mut model = Model::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Batch(operator, rows) => world.batch(operator, &rows, now, hash, &mut model),
                Step::Barrier => world.barrier(),
                Step::Applied(epochs) => world.apply_oldest(epochs),
                Step::Later(ms) => now += ms,
                Step::Collect => {
                    world.store.collect_expired(now);
                    world.store.compact();
                }
                Step::Reopen => {
                    world.stop();
                    world = World::open(folder.path(), max_bytes);
                }
            }
        }
        for operator in 0..2 {
            let all: Vec<_> = (0..40).map(|index| (index, Action::Read)).collect();
            world.batch(operator, &all, now, hash, &mut model);
        }
        world.stop();
        let mut world = World::open(folder.path(), max_bytes);
        for operator in 0..2 {
            let all: Vec<_> = (0..40).map(|index| (index, Action::Read)).collect();
            world.batch(operator, &all, now, hash, &mut model);
        }
    }
}
