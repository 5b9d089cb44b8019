//! The plugin host against real components: the guests of tests/fixtures/guests.

mod cache;
mod isolation;
mod load;
mod reload;
mod rows;
mod state;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef, UInt64Type};

use super::*;
use crate::record::Batch;

/// Folder of the built fixture plugins.
fn fixtures() -> PathBuf {
    let folder = std::env::var_os("MILLSTREAM_FIXTURES").map(PathBuf::from);
    folder.expect(
        "MILLSTREAM_FIXTURES must name the folder of built fixture plugins; `make test` builds them and sets it",
    )
}

fn fixture(name: &str) -> Vec<u8> {
    let file = fixtures().join(format!("{name}.wasm"));
    std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}; `make test` builds the fixture plugins", file.display()))
}

fn limits() -> Limits {
    Limits {
        deadline: Duration::from_secs(4),
        memory_bytes: 16 << 20,
        recycle_bytes: 8 << 20,
        max_answer_bytes: 4 << 20,
    }
}

fn config(cache: &Path) -> Config {
    Config { folder: fixtures(), watch: false, cache: cache.to_owned(), max_component_bytes: 8 << 20, limits: limits() }
}

/// One engine for all tests, as in a process; its cache goes with the folder for build outputs of
/// the tests.
static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let cache = tempfile::tempdir().expect("a temporary folder").keep();
    Engine::new(&config(&cache)).expect("an engine")
});

fn load(name: &str) -> Arc<Plugin> {
    ENGINE.load(&fixture(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn refusal(bytes: &[u8]) -> String {
    ENGINE.load(bytes).expect_err("it should be refused").to_string()
}

fn operator(plugin: &str) -> OperatorConfig {
    OperatorConfig {
        name: "op".into(),
        plugin: plugin.into(),
        key: None,
        config: vec![],
        grants: BTreeSet::new(),
        forward: None,
        generation_column: None,
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8, false), Field::new("value", DataType::Int64, true)]))
}

/// Rows `r0`, `r1`, … with these values, offsets from 100, event times from 1,000.
fn batch(values: impl IntoIterator<Item = impl Into<Option<i64>>>) -> Batch {
    let values: Int64Array = values.into_iter().map(Into::into).collect();
    let rows = values.len();
    let ids: StringArray = (0..rows).map(|i| Some(format!("r{i}"))).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(values)];
    Batch {
        columns: RecordBatch::try_new(schema(), columns).expect("a batch"),
        offsets: (100..).take(rows).collect(),
        event_times: (1000..).take(rows).collect(),
    }
}

fn runner(plugin: &str) -> Runner {
    Runner::new(&ENGINE, load(plugin), &operator(plugin), &limits(), &schema()).unwrap_or_else(|e| panic!("{e}"))
}

fn process(runner: &mut Runner, batch: &Batch) -> Outcome {
    let mut out = Outcome::default();
    runner.process(batch, None::<Keyed<'_, NoSlots>>, 5, 7, &mut out).unwrap_or_else(|e| panic!("{e}"));
    out
}

fn failure(runner: &mut Runner, batch: &Batch) -> String {
    let out = runner.process(batch, None::<Keyed<'_, NoSlots>>, 5, 7, &mut Outcome::default());
    out.expect_err("it should stop").to_string()
}

fn text(batch: &Batch, column: &str) -> Vec<String> {
    let column = batch.column(column).unwrap_or_else(|| panic!("no column {column}"));
    column.as_string::<i32>().iter().map(|v| v.expect("no null").to_owned()).collect()
}

fn integers(batch: &Batch, column: &str) -> Vec<i64> {
    batch.column(column).unwrap_or_else(|| panic!("no column {column}")).as_primitive::<Int64Type>().values().to_vec()
}

fn unsigned(batch: &Batch, column: &str) -> Vec<u64> {
    batch.column(column).unwrap_or_else(|| panic!("no column {column}")).as_primitive::<UInt64Type>().values().to_vec()
}

fn rejected(out: &Outcome) -> Vec<(u32, &str)> {
    out.rejected.iter().map(|r| (r.row, r.reason.as_str())).collect()
}

/// Slots by key, as a store would keep them.
#[derive(Debug, Default)]
struct Store(BTreeMap<Vec<u8>, (u32, Vec<u8>)>);

/// The keys of one batch over a [`Store`].
struct BatchSlots<'a> {
    store: &'a mut Store,
    keys: Vec<Vec<u8>>,
}

impl Slots for BatchSlots<'_> {
    fn get(&self, key_index: u32) -> Option<(u32, &[u8])> {
        self.store.0.get(self.key(key_index)).map(|(version, slot)| (*version, slot.as_slice()))
    }

    fn key(&self, key_index: u32) -> &[u8] {
        &self.keys[key_index as usize]
    }

    fn put(&mut self, key_index: u32, version: u32, slot: &[u8]) {
        self.store.0.insert(self.keys[key_index as usize].clone(), (version, slot.to_vec()));
    }

    fn delete(&mut self, key_index: u32) {
        self.store.0.remove(&self.keys[key_index as usize]);
    }
}

/// Processes rows with these keys.
fn process_keyed(runner: &mut Runner, store: &mut Store, batch: &Batch, keys: &[&str]) -> Result<Outcome, Failure> {
    let mut distinct: Vec<Vec<u8>> = Vec::new();
    let rows: Vec<u32> = keys
        .iter()
        .map(|key| {
            let at = distinct.iter().position(|k| k == key.as_bytes()).unwrap_or_else(|| {
                distinct.push(key.as_bytes().to_vec());
                distinct.len() - 1
            });
            at as u32
        })
        .collect();
    let mut slots = BatchSlots { store, keys: distinct };
    let keyed = Keyed { rows: &rows, keys: slots.keys.len() as u32, slots: &mut slots };
    let mut out = Outcome::default();
    runner.process(batch, Some(keyed), 5, 7, &mut out).map(|()| out)
}
