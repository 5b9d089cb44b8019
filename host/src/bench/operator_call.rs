//! A sandboxed operator against the same logic as a native closure over a hash map: same rows in,
//! same columns out, compared value by value.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray, UInt32Array};
use arrow::datatypes::{
    DataType, Field, Float64Type, Schema, SchemaRef, TimeUnit, TimestampMillisecondType, UInt32Type,
};

use super::measure;
use crate::operator::{Config, Engine, Keyed, Limits, OperatorConfig, Outcome, Runner};
use crate::record::{Batch, hash_keys};
use crate::report::{Bar, Measurement};
use crate::state::{KeyColumn, SlotCache, Store};

const ROWS: usize = 1 << 19;
const BATCH: usize = 256;
/// Passes over all rows; the median counts.
const PASSES: usize = 7;
const HOUR_MS: i64 = 3_600_000;
const TILES: i64 = 24;

/// Measures the call for 1,000 keys (all in the processor's cache) and 100,000.
pub(super) fn run(plugins: &Path, scratch: &Path) -> Result<Vec<Measurement>, String> {
    let mut measures = Vec::new();
    for (keys, bar) in [(100_000, Some(Bar::AtMost(1.5))), (1_000, None)] {
        let (native, sandboxed) = compare(plugins, scratch, keys)?;
        let name = |what: &str| format!("operator call, {keys} keys, batches of {BATCH}: {what}");
        measures.push(measure(name("sandboxed ÷ native"), sandboxed / native, "ratio", bar));
        measures.push(measure(name("sandboxed"), sandboxed, "ns/row", None));
        measures.push(measure(name("native"), native, "ns/row", None));
    }
    Ok(measures)
}

/// Nanoseconds a row: native, sandboxed.
fn compare(plugins: &Path, scratch: &Path, keys: u64) -> Result<(f64, f64), String> {
    let first = batches(keys, 0)?;
    let mut sandboxed = Sandboxed::new(plugins, &scratch.join(format!("call-{keys}")))?;
    let mut native = Native::default();
    // The first pass fills both states and compares; it is not timed.
    for batch in &first {
        let (a, b) = (native.process(batch)?, sandboxed.process(batch)?);
        for (name, expected) in ["last_amount", "amount_ratio", "count_24h", "mean_24h"].iter().zip(&a) {
            let found = b.column(name).ok_or_else(|| format!("the plugin has no column {name}"))?;
            if !same(expected, found) {
                return Err(format!("the sandboxed operator and the closure differ in column {name}"));
            }
        }
    }
    let (mut natives, mut sandboxes) = (Vec::new(), Vec::new());
    for pass in 1..=PASSES {
        let batches = batches(keys, pass)?;
        let start = Instant::now();
        for batch in &batches {
            std::hint::black_box(native.process(batch)?);
        }
        natives.push(start.elapsed().as_nanos() as f64 / ROWS as f64);
        let start = Instant::now();
        for batch in &batches {
            std::hint::black_box(sandboxed.process(batch)?);
        }
        sandboxes.push(start.elapsed().as_nanos() as f64 / ROWS as f64);
    }
    Ok((median(&mut natives), median(&mut sandboxes)))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Sums that were kept in another order may differ in the last digits.
fn same(a: &ArrayRef, b: &ArrayRef) -> bool {
    match a.data_type() {
        DataType::UInt32 => a.as_primitive::<UInt32Type>() == b.as_primitive::<UInt32Type>(),
        _ => {
            let (a, b) = (a.as_primitive::<Float64Type>(), b.as_primitive::<Float64Type>());
            a.len() == b.len()
                && a.values().iter().zip(b.values()).all(|(x, y)| (x - y).abs() <= 1e-9 * x.abs().max(1.0))
        }
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("user_id", DataType::Utf8, false),
        Field::new("amount", DataType::Float64, false),
        Field::new("timestamp", DataType::Timestamp(TimeUnit::Millisecond, None), false),
    ]))
}

/// Rows over uniform keys, a second apart; a pass follows the one before in event time.
fn batches(keys: u64, pass: usize) -> Result<Vec<Batch>, String> {
    let mut random = 0x9E37_79B9_7F4A_7C15_u64 + pass as u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    (0..ROWS / BATCH)
        .map(|b| {
            let users = StringArray::from_iter_values((0..BATCH).map(|_| format!("customer_{}", next() % keys)));
            let amounts = Float64Array::from_iter_values((0..BATCH).map(|_| (next() % 20_000) as f64 / 100.0));
            let times: Vec<i64> = (0..BATCH).map(|i| ((pass * ROWS + b * BATCH + i) as i64) * 1000).collect();
            let columns: Vec<ArrayRef> =
                vec![Arc::new(users), Arc::new(amounts), Arc::new(TimestampMillisecondArray::from(times.clone()))];
            Ok(Batch {
                columns: RecordBatch::try_new(schema(), columns).map_err(|e| e.to_string())?,
                offsets: (0..BATCH).map(|i| (b * BATCH + i) as u64).collect(),
                event_times: times.into(),
            })
        })
        .collect()
}

/// The plugin as the host runs it: slot cache, packing, call, unpacking.
struct Sandboxed {
    runner: Runner,
    cache: SlotCache,
    outcome: Outcome,
    hashes: Vec<u64>,
    rows: Vec<u32>,
}

impl Sandboxed {
    fn new(plugins: &Path, scratch: &Path) -> Result<Self, String> {
        let limits = Limits::default();
        let config = Config::new(plugins.into(), scratch);
        let engine = Engine::new(&config)?;
        let file = plugins.join("simple-enrichment.wasm");
        let bytes = std::fs::read(&file).map_err(|e| format!("{}: {e}; run `make plugins`", file.display()))?;
        let plugin = engine.load(&bytes).map_err(|e| e.to_string())?;
        let operator = OperatorConfig {
            name: "enrich".into(),
            plugin: "simple-enrichment".into(),
            key: Some("user_id".into()),
            config: Vec::new(),
            grants: Default::default(),
            forward: None,
            generation_column: None,
        };
        let state =
            crate::state::Config { path: scratch.join("state"), cache_bytes: 256 << 20, block_cache_bytes: 8 << 20 };
        let store = Store::open(&state, &["enrich"]).map_err(|e| e.to_string())?;
        let id = store.operator_id("enrich").map_err(|e| e.to_string())?;
        let ttl = plugin.description().state.map_or(0, |s| s.ttl_ms);
        Ok(Self {
            runner: Runner::new(&engine, plugin, &operator, &limits, &schema()).map_err(|e| e.to_string())?,
            cache: SlotCache::new(store, id, ttl, 256 << 20),
            outcome: Outcome::default(),
            hashes: Vec::new(),
            rows: Vec::new(),
        })
    }

    fn process(&mut self, batch: &Batch) -> Result<Batch, String> {
        let column = batch.columns.column(0);
        self.hashes.clear();
        hash_keys(column, &mut self.hashes);
        let keys = KeyColumn::new(column.as_ref()).ok_or("not a key")?;
        // The closure knows no expiry either: the whole of time is one window.
        let mut slots = self.cache.begin(&self.hashes, &keys, i64::MIN, i64::MIN).map_err(|e| e.to_string())?;
        self.rows.clear();
        self.rows.extend_from_slice(slots.row_index());
        let keyed = Keyed { rows: &self.rows, keys: slots.len() as u32, slots: &mut slots };
        self.runner.process(batch, Some(keyed), i64::MIN, 0, &mut self.outcome).map_err(|e| e.to_string())?;
        if !self.outcome.rejected.is_empty() {
            return Err("the plugin rejected rows".into());
        }
        self.outcome.ports.pop().ok_or_else(|| "the plugin has no output".into())
    }
}

#[derive(Default)]
struct Xxh3(u64);

impl Hasher for Xxh3 {
    fn write(&mut self, bytes: &[u8]) {
        // `str` appends a byte that no UTF-8 text holds; it needs no hashing.
        if bytes != [0xff] {
            self.0 = xxhash_rust::xxh3::xxh3_64(bytes);
        }
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

/// What a user's state is without a sandbox.
#[derive(Default)]
struct Profile {
    last_amount: Option<f64>,
    newest: i64,
    count: u32,
    sum: f64,
    counts: [u32; TILES as usize],
    sums: [f64; TILES as usize],
}

impl Profile {
    fn add(&mut self, time: i64, amount: f64) {
        let hour = time.div_euclid(HOUR_MS);
        if self.count == 0 && self.newest == 0 {
            self.newest = hour;
        }
        // Hours that are new to the window empty their tiles.
        let moved = hour - self.newest;
        if moved > 0 {
            for step in 1..=moved.min(TILES) {
                let tile = (self.newest + step).rem_euclid(TILES) as usize;
                self.count -= std::mem::take(&mut self.counts[tile]);
                self.sum -= std::mem::take(&mut self.sums[tile]);
            }
            self.newest = hour;
        } else if moved <= -TILES {
            return;
        }
        let tile = hour.rem_euclid(TILES) as usize;
        self.counts[tile] += 1;
        self.sums[tile] += amount;
        self.count += 1;
        self.sum += amount;
    }
}

#[derive(Default)]
struct Native {
    users: HashMap<String, Profile, BuildHasherDefault<Xxh3>>,
}

impl Native {
    fn process(&mut self, batch: &Batch) -> Result<[ArrayRef; 4], String> {
        let users = batch.columns.column(0).as_string::<i32>();
        let amounts = batch.columns.column(1).as_primitive::<Float64Type>();
        let times = batch.columns.column(2).as_primitive::<TimestampMillisecondType>();
        let rows = batch.rows();
        let (mut lasts, mut ratios) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        let (mut counts, mut means) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        for ((user, &amount), &time) in users.iter().zip(amounts.values()).zip(times.values()) {
            let user = user.ok_or("a null user")?;
            let profile = match self.users.get_mut(user) {
                Some(profile) => profile,
                None => self.users.entry(user.to_owned()).or_default(),
            };
            profile.add(time, amount);
            let last = profile.last_amount.replace(amount);
            lasts.push(last.unwrap_or(0.0));
            ratios.push(last.filter(|l| *l != 0.0).map_or(1.0, |l| amount / l));
            counts.push(profile.count);
            means.push(profile.sum / f64::from(profile.count));
        }
        Ok([
            Arc::new(Float64Array::from(lasts)),
            Arc::new(Float64Array::from(ratios)),
            Arc::new(UInt32Array::from(counts)),
            Arc::new(Float64Array::from(means)),
        ])
    }
}
