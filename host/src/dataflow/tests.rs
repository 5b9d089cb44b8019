//! The dataflow end to end, with sources, operators and sinks made for the purpose.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};

use super::*;
use crate::codec::Format;
use crate::epoch::{Coordinator, EpochStats, Forget, Outcome};
use crate::record::{Batch, Position, SinkState};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Utf8, true),
        Field::new("n", DataType::Int64, false),
        Field::new("count", DataType::Int64, false),
    ]))
}

/// Rows `n` in blocks of `block`, key `n % keys` (null where that is 0 and `nulls` is set).
struct Numbers {
    rows: i64,
    keys: i64,
    block: i64,
    nulls: bool,
}

impl Source for Numbers {
    fn run(self: Box<Self>, _: &[Position], output: &mut dyn Output) -> Result<(), Failure> {
        let partition = output.open(Position::new("numbers", 1));
        for start in (0..self.rows).step_by(self.block as usize) {
            let range = start..(start + self.block).min(self.rows);
            let key = |n: i64| (!self.nulls || n % self.keys != 0).then(|| format!("k{}", n % self.keys));
            let columns: Vec<arrow::array::ArrayRef> = vec![
                Arc::new(range.clone().map(key).collect::<StringArray>()),
                Arc::new(Int64Array::from_iter_values(range.clone())),
                Arc::new(Int64Array::from_iter_values(range.clone().map(|_| 0))),
            ];
            let columns = RecordBatch::try_new(schema(), columns).map_err(|e| Failure::new("numbers", e))?;
            let offsets = range.clone().map(|n| n as u64 + 1).collect();
            let next = Next { place: range.end as u64 + 1, ..Next::default() };
            let batch = Batch { columns, offsets, event_times: range.collect() };
            if output.send(partition, Chunk::Rows(batch), next, Instant::now()).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Counts rows per key, and rejects rows whose `n` is in the list.
#[derive(Default)]
struct Count {
    counts: std::collections::HashMap<String, i64>,
    reject: Vec<i64>,
    fail_at: Option<i64>,
}

impl Operator for Count {
    fn process(&mut self, batch: &Batch, _: Times, emitted: &mut Emitted) -> Result<(), String> {
        let keys = batch.columns.column(0).as_string::<i32>();
        let numbers = batch.columns.column(1).as_primitive::<Int64Type>();
        let (mut kept, mut counts) = (Vec::new(), Vec::new());
        for row in 0..batch.rows() {
            let n = numbers.value(row);
            if self.fail_at == Some(n) {
                return Err("told to fail".into());
            }
            if self.reject.contains(&n) {
                emitted.rejected.push((row as u32, "unwanted".into()));
                continue;
            }
            let count = self.counts.entry(keys.value(row).to_owned()).or_default();
            *count += 1;
            counts.push(*count);
            kept.push(row as u32);
        }
        let mut out = batch.take(&kept.into()).map_err(|e| e.to_string())?;
        let mut columns = out.columns.columns().to_vec();
        columns[2] = Arc::new(Int64Array::from(counts));
        out.columns = RecordBatch::try_new(schema(), columns).map_err(|e| e.to_string())?;
        emitted.outputs.push((0, out));
        Ok(())
    }
}

#[derive(Clone, Default)]
struct Collect(Arc<Mutex<Vec<u8>>>, Option<Duration>);

impl Collect {
    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Sink for Collect {
    fn write(&mut self, rows: &SinkRows) -> Result<(), Failure> {
        if let Some(pause) = self.1 {
            std::thread::sleep(pause);
        }
        self.0.lock().unwrap().extend_from_slice(&rows.bytes);
        Ok(())
    }
    fn flush(&mut self) -> Result<(), Failure> {
        Ok(())
    }
    fn prepare(&mut self, _: u64) -> Result<Prepared, Failure> {
        Ok(SinkState::Nothing.into())
    }
    fn finish(self: Box<Self>) -> Result<(), Failure> {
        Ok(())
    }
}

struct Setup {
    workers: usize,
    numbers: Numbers,
    /// A second source of the same rows, into the same operator.
    twice: bool,
    reject: Vec<i64>,
    fail_at: Option<i64>,
    dead_letters: bool,
    pause: Option<Duration>,
    max_rows: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            workers: 2,
            numbers: Numbers { rows: 5000, keys: 37, block: 64, nulls: false },
            twice: false,
            reject: Vec::new(),
            fail_at: None,
            dead_letters: true,
            pause: None,
            max_rows: 10_000,
        }
    }
}

struct Ran {
    result: Result<Outcome, Failure>,
    out: Vec<String>,
    rejected: Vec<String>,
    stats: Arc<Stats>,
    most_in_flight: u64,
}

/// source → count by key → count by key again → sink.
fn run(setup: Setup, events: Events) -> Ran {
    let of = |index| Origin::Operator { index, port: 0 };
    let sink = |name: &str, inputs: Vec<Origin>, schema| SinkNode {
        name: name.into(),
        inputs,
        schema,
        fields: None,
        wants: Wants::Bytes,
        key: None,
        max_record_bytes: None,
    };
    let mut sinks = vec![sink("out", vec![of(1)], schema())];
    let (out, rejected) = (Collect(Arc::default(), setup.pause), Collect::default());
    let mut ends: Vec<(Box<dyn Sink>, Format)> = vec![(Box::new(out.clone()), Format::Json)];
    if setup.dead_letters {
        sinks.push(sink("rejected", vec![], crate::record::dead_letter_schema()));
        ends.push((Box::new(rejected.clone()), Format::Json));
    }
    let operator = |name: &str, inputs| OperatorNode { name: name.into(), inputs, key: Some(0), asynchronous: false };
    let source = |name: &str| SourceNode { name: name.into(), out_of_orderness: Some(Duration::ZERO) };
    let mut nodes = vec![source("numbers")];
    let Numbers { rows, keys, block, nulls } = setup.numbers;
    let part = |source| SourcePart { source, start: Vec::new(), decoder: Box::new(|| Ok(None)) };
    let mut sources = vec![part(Box::new(Numbers { rows, keys, block, nulls }) as Box<dyn Source>)];
    if setup.twice {
        nodes.push(source("again"));
        sources.push(part(Box::new(Numbers { rows, keys, block: block / 2 + 1, nulls })));
    }
    let inputs = (0..nodes.len()).map(Origin::Source).collect();
    let graph = Graph {
        sources: nodes,
        operators: vec![operator("first", inputs), operator("second", vec![of(0)])],
        sinks,
        dead_letters: setup.dead_letters.then_some(1),
    };
    let config = Config {
        workers: setup.workers,
        max_in_flight_rows: setup.max_rows,
        max_in_flight_bytes: 1 << 24,
        batch_rows: 1024,
        batch_bytes: 1 << 18,
        checkpoint_interval: Duration::from_millis(5),
    };
    let (reject, fail_at) = (&setup.reject, setup.fail_at);
    let parts = Parts {
        config,
        graph,
        sources,
        operators: vec![
            OperatorPart::OnWorkers(Box::new(move |_| {
                Ok(Box::new(Count { reject: reject.clone(), fail_at, ..Count::default() }) as Box<dyn Operator>)
            })),
            OperatorPart::OnWorkers(Box::new(|_| Ok(Box::new(Count::default()) as Box<dyn Operator>))),
        ],
        sinks: ends,
        epoch: 1,
        stats: Arc::new(Stats::new(2).unwrap()),
    };
    let network = Network::start(parts, events).unwrap();
    let stats = Arc::clone(network.stats());
    let (watched, done) = (Arc::clone(&stats), Arc::new(AtomicBool::new(false)));
    let until = Arc::clone(&done);
    let watcher = std::thread::spawn(move || {
        let mut most = 0;
        while !until.load(Ordering::Relaxed) {
            most = most.max(watched.in_flight());
            std::thread::yield_now();
        }
        most
    });
    let epochs = Arc::new(EpochStats::new().unwrap());
    let result = Coordinator::new(network, Box::new(Forget), epochs, Duration::from_millis(5), 1, |_| {}).run();
    done.store(true, Ordering::Relaxed);
    let most_in_flight = watcher.join().unwrap();
    Ran { result, out: out.lines(), rejected: rejected.lines(), stats, most_in_flight }
}

fn field(line: &str, name: &str) -> i64 {
    serde_json::from_str::<serde_json::Value>(line).unwrap()[name].as_i64().unwrap()
}

#[test]
fn every_row_comes_out_once_and_keys_see_their_rows_in_source_order() {
    for workers in [1, 2, 3, 8] {
        let ran = run(Setup { workers, ..Setup::default() }, Events::default());
        assert_eq!(ran.result, Ok(Outcome::Completed));
        assert_eq!(ran.out.len(), 5000);
        let mut rows: Vec<(i64, i64)> = ran.out.iter().map(|l| (field(l, "n"), field(l, "count"))).collect();
        rows.sort_unstable();
        // The running count of a key is right only when its rows were seen in order, each once.
        assert!(rows.iter().enumerate().all(|(i, &(n, count))| n == i as i64 && count == n / 37 + 1));
        assert!(ran.stats.epochs() >= 1);
        assert_eq!((ran.stats.rows_in(), ran.stats.rows_out(0)), (5000, 5000));
    }
}

#[test]
fn rows_of_two_sources_into_one_operator_come_out_once_each() {
    for workers in [1, 2, 3] {
        let ran = run(Setup { workers, twice: true, ..Setup::default() }, Events::default());
        assert_eq!(ran.result, Ok(Outcome::Completed));
        assert_eq!(ran.out.len(), 10_000);
        let mut keys: Vec<(i64, i64)> = ran.out.iter().map(|l| (field(l, "n") % 37, field(l, "count"))).collect();
        keys.sort_unstable();
        // Each key was counted without a gap or a repeat, over both sources.
        let mut expected: Vec<(i64, i64)> = Vec::new();
        for key in 0..37 {
            let rows = (0..5000).filter(|n| n % 37 == key).count() as i64 * 2;
            expected.extend((1..=rows).map(|count| (key, count)));
        }
        assert_eq!(keys, expected);
        assert!(ran.stats.epochs() >= 1);
    }
}

#[test]
fn a_rejected_row_goes_to_the_dead_letter_sink_with_its_place_and_content() {
    let ran = run(Setup { reject: vec![100], ..Setup::default() }, Events::default());
    assert_eq!(ran.result, Ok(Outcome::Completed));
    assert_eq!((ran.out.len(), ran.rejected.len()), (4999, 1));
    let letter: serde_json::Value = serde_json::from_str(&ran.rejected[0]).unwrap();
    assert_eq!(letter["offset"], 101);
    assert_eq!((letter["operator"].as_str(), letter["reason"].as_str()), (Some("first"), Some("unwanted")));
    assert_eq!(letter["raw"], r#"{"key":"k26","n":100,"count":0}"#);
    assert_eq!(ran.stats.dead_letters(), 1);
}

#[test]
fn rows_with_a_null_key_are_dead_letters() {
    let numbers = Numbers { rows: 370, keys: 37, block: 50, nulls: true };
    let ran = run(Setup { numbers, ..Setup::default() }, Events::default());
    assert_eq!((ran.out.len(), ran.rejected.len()), (360, 10));
    assert!(ran.rejected.iter().all(|l| l.contains("key `key` is null")));
}

#[test]
fn without_a_dead_letter_sink_the_first_rejected_row_stops_the_pipeline() {
    let ran = run(Setup { reject: vec![4321], dead_letters: false, ..Setup::default() }, Events::default());
    let failure = ran.result.unwrap_err().to_string();
    assert!(failure.contains("numbers:4322: unwanted") && failure.contains("dead_letters"), "{failure}");
}

#[test]
fn a_failing_operator_stops_the_pipeline_with_its_name() {
    let ran = run(Setup { fail_at: Some(2500), ..Setup::default() }, Events::default());
    assert_eq!(ran.result, Err(Failure::new("operator `first`", "told to fail")));
}

#[test]
fn a_slow_sink_holds_the_source_back() {
    let setup = Setup { pause: Some(Duration::from_millis(1)), max_rows: 256, ..Setup::default() };
    let events = Events::default();
    let ran = run(setup, events);
    assert_eq!(ran.result, Ok(Outcome::Completed));
    assert_eq!(ran.out.len(), 5000);
    let most = ran.most_in_flight;
    assert!(most > 0 && most <= 256, "{most} rows were in flight");
}

#[test]
fn draining_writes_everything_that_was_read() {
    let numbers = Numbers { rows: i64::MAX, keys: 37, block: 16, nulls: false };
    let events = Events::default();
    let handle = events.handle();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        handle.drain();
    });
    let ran = run(Setup { numbers, ..Setup::default() }, events);
    stopper.join().unwrap();
    assert_eq!(ran.result, Ok(Outcome::Drained));
    assert!(!ran.out.is_empty());
    let mut rows: Vec<i64> = ran.out.iter().map(|l| field(l, "n")).collect();
    rows.sort_unstable();
    assert!(rows.iter().enumerate().all(|(i, &n)| n == i as i64), "a row was lost or written twice");
}
