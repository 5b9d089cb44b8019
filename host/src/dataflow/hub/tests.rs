//! Pipelines with an asynchronous operator: source → count by key → answer later → count by key →
//! sink, on real threads.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};

use super::*;
use crate::codec::Format;
use crate::dataflow::{
    Chunk, Config, Events, Failure, Graph, Network, Next, Operator, OperatorNode, OperatorPart, Origin, Output, Parts,
    Prepared, Sink, SinkNode, SinkRows, Source, SourceNode, SourcePart, Stats, Times, Wants,
};
use crate::epoch::{Commit, Coordinator, Done, EpochStats, Gathered, Outcome};
use crate::record::{Position, SinkState};

fn schema() -> SchemaRef {
    let int = |name: &str| Field::new(name, DataType::Int64, false);
    Arc::new(Schema::new(vec![Field::new("key", DataType::Utf8, false), int("n"), int("count"), int("again")]))
}

fn with(batch: &Batch, column: usize, values: Vec<i64>) -> Result<Batch, String> {
    let mut columns = batch.columns.columns().to_vec();
    columns[column] = Arc::new(Int64Array::from(values));
    let columns = RecordBatch::try_new(schema(), columns).map_err(|e| e.to_string())?;
    Ok(Batch { columns, ..batch.clone() })
}

fn numbers(batch: &Batch) -> Vec<i64> {
    batch.columns.column(1).as_primitive::<Int64Type>().values().to_vec()
}

/// Rows from its position to `rows`, key `n % 7`, event time `n`, a few at a time.
struct Numbers {
    rows: u64,
    block: u64,
    pause: Duration,
}

impl Source for Numbers {
    fn run(self: Box<Self>, start: &[Position], output: &mut dyn Output) -> Result<(), Failure> {
        let begin = start.first().cloned().unwrap_or(Position::new("numbers", 0));
        let mut next = begin.next;
        let partition = output.open(begin);
        while next < self.rows {
            let range = next..(next + self.block).min(self.rows);
            next = range.end;
            let ints = |f: fn(u64) -> i64| Arc::new(Int64Array::from_iter_values(range.clone().map(f)));
            let keys: StringArray = range.clone().map(|n| Some(format!("k{}", n % 7))).collect();
            let columns =
                RecordBatch::try_new(schema(), vec![Arc::new(keys), ints(|n| n as i64), ints(|_| 0), ints(|_| 0)]);
            let columns = columns.map_err(|e| Failure::new("numbers", e))?;
            let event_times = range.clone().map(|n| n as i64).collect();
            let batch = Batch { columns, offsets: range.collect(), event_times };
            let next = Next { place: next, ..Next::default() };
            if output.send(partition, Chunk::Rows(batch), next, Instant::now()).is_err() {
                break;
            }
            std::thread::sleep(self.pause);
        }
        Ok(())
    }
}

/// Writes the running count of the key into a column, and notes rows that come late.
struct Count {
    column: usize,
    counts: HashMap<String, i64>,
    late: Arc<AtomicUsize>,
}

impl Operator for Count {
    fn process(&mut self, batch: &Batch, times: Times, emitted: &mut Emitted) -> Result<(), String> {
        let late = batch.event_times.iter().filter(|&&t| t < times.watermark).count();
        self.late.fetch_add(late, Relaxed);
        let mut counted = Vec::new();
        for key in batch.columns.column(0).as_string::<i32>().iter().flatten() {
            let count = self.counts.entry(key.to_owned()).or_default();
            *count += 1;
            counted.push(*count);
        }
        emitted.outputs.push((0, with(batch, self.column, counted)?));
        Ok(())
    }
}

/// Answers each row after a while of its own; of multiples of 10 it rejects those of 100.
struct Later {
    capacity: usize,
    taken: Rc<std::cell::Cell<usize>>,
    most: Arc<AtomicUsize>,
    calls: Arc<AtomicUsize>,
    slow: Option<(i64, Duration)>,
    /// Calls that were made when the slow one was answered.
    meanwhile: Arc<AtomicUsize>,
    completions: Completions,
}

impl AsyncOperator for Later {
    fn room(&self) -> usize {
        self.capacity - self.taken.get()
    }

    fn submit(&mut self, submission: Submission) {
        let numbers = numbers(&submission.rows);
        assert_eq!((&*submission.source, &*submission.partition), ("numbers", "numbers"));
        for (id, n) in (submission.first..).zip(numbers) {
            self.taken.set(self.taken.get() + 1);
            self.calls.fetch_add(1, Relaxed);
            self.most.fetch_max(self.taken.get(), Relaxed);
            let slow = self.slow.filter(|(slow, _)| *slow == n);
            let wait = match slow {
                Some((_, wait)) => wait,
                None => Duration::from_micros((n as u64).wrapping_mul(2_654_435_761) % 3_000),
            };
            let (taken, completions) = (Rc::clone(&self.taken), self.completions.clone());
            let (calls, meanwhile) = (Arc::clone(&self.calls), Arc::clone(&self.meanwhile));
            tokio::task::spawn_local(async move {
                tokio::time::sleep(wait).await;
                if slow.is_some() {
                    meanwhile.store(calls.load(Relaxed), Relaxed);
                }
                taken.set(taken.get() - 1);
                completions.complete([id]);
            });
        }
    }

    fn emit(&mut self, ids: &[u64], rows: &Batch, emitted: &mut Emitted) -> Result<(), String> {
        assert_eq!(ids.len(), rows.rows());
        let rejected = |&(_, n): &(usize, &i64)| n % 100 == 99;
        let numbers = numbers(rows);
        let all = || numbers.iter().enumerate();
        emitted.rejected.extend(all().filter(rejected).map(|(row, _)| (row as u32, "unwanted".to_owned())));
        let kept: Vec<u32> = all().filter(|x| !rejected(x)).map(|(row, _)| row as u32).collect();
        emitted.outputs.push((0, rows.take(&kept.into()).map_err(|e| e.to_string())?));
        Ok(())
    }
}

/// Lines, and how many there were at each barrier.
#[derive(Clone, Default)]
struct Collect(Arc<Mutex<Written>>);

/// Bytes, and lines by epoch.
type Written = (Vec<u8>, HashMap<u64, usize>);

impl Collect {
    fn rows(&self) -> Vec<serde_json::Value> {
        let bytes = &self.0.lock().unwrap().0;
        let lines = std::str::from_utf8(bytes).unwrap().lines();
        lines.map(|l| serde_json::from_str(l).unwrap()).collect()
    }
}

impl Sink for Collect {
    fn write(&mut self, rows: &SinkRows) -> Result<(), Failure> {
        self.0.lock().unwrap().0.extend_from_slice(&rows.bytes);
        Ok(())
    }
    fn flush(&mut self) -> Result<(), Failure> {
        Ok(())
    }
    fn prepare(&mut self, epoch: u64) -> Result<Prepared, Failure> {
        let mut kept = self.0.lock().unwrap();
        let lines = kept.0.iter().filter(|&&b| b == b'\n').count();
        kept.1.insert(epoch, lines);
        Ok(SinkState::Nothing.into())
    }
    fn finish(self: Box<Self>) -> Result<(), Failure> {
        Ok(())
    }
}

/// Keeps what each epoch left behind.
#[derive(Clone, Default)]
struct Keep(Arc<Mutex<Vec<Kept>>>);

#[derive(Clone, Debug)]
struct Kept {
    epoch: u64,
    position: Position,
    in_flight: Vec<InFlight>,
    watermark: Option<i64>,
}

impl Commit for Keep {
    fn commit(&mut self, gathered: Gathered) -> Result<Done, Failure> {
        let Gathered { epoch, positions, in_flight, watermark, .. } = gathered;
        let position = positions[0].first().map_or(Position::new("numbers", 0), |s| s.position.clone());
        let in_flight = in_flight.into_iter().flat_map(|(operator, rows)| {
            assert_eq!(operator, 1);
            rows
        });
        self.0.lock().unwrap().push(Kept { epoch, position, in_flight: in_flight.collect(), watermark });
        Ok(Done { epoch, applied: epoch, recorded: true, ..Done::default() })
    }
}

#[derive(Clone)]
struct Setup {
    workers: usize,
    order: Order,
    rows: u64,
    pause: Duration,
    capacity: usize,
    waiting: usize,
    slow: Option<(i64, Duration)>,
    max_rows: usize,
    start: Option<Kept>,
}

impl Default for Setup {
    fn default() -> Self {
        let (workers, order, rows, pause) = (2, Order::Unordered, 3000, Duration::from_micros(100));
        Self { workers, order, rows, pause, capacity: 50, waiting: 500, slow: None, max_rows: 4096, start: None }
    }
}

struct Ran {
    result: Result<Outcome, Failure>,
    out: Vec<serde_json::Value>,
    lines_at: HashMap<u64, usize>,
    rejected: Vec<serde_json::Value>,
    rejected_at: HashMap<u64, usize>,
    epochs: Vec<Kept>,
    late: usize,
    most: usize,
    calls: usize,
    meanwhile: usize,
    restored: u64,
}

fn run(setup: Setup, events: Events) -> Ran {
    let of = |index| Origin::Operator { index, port: 0 };
    let sink = |name: &str, inputs, schema| SinkNode {
        name: name.into(),
        inputs,
        schema,
        fields: None,
        wants: Wants::Bytes,
        key: None,
        max_record_bytes: None,
    };
    let node = |name: &str, inputs, key, asynchronous| OperatorNode { name: name.into(), inputs, key, asynchronous };
    let graph = Graph {
        sources: vec![SourceNode { name: "numbers".into(), out_of_orderness: Some(Duration::ZERO) }],
        operators: vec![
            node("first", vec![Origin::Source(0)], Some(0), false),
            node("later", vec![of(0)], None, true),
            node("second", vec![of(1)], Some(0), false),
        ],
        sinks: vec![sink("out", vec![of(2)], schema()), sink("rejected", vec![], crate::record::dead_letter_schema())],
        dead_letters: Some(1),
    };
    let config = Config {
        workers: setup.workers,
        max_in_flight_rows: setup.max_rows,
        max_in_flight_bytes: 1 << 24,
        batch_rows: 1024,
        batch_bytes: 1 << 18,
        checkpoint_interval: Duration::from_millis(10),
    };
    let (late, most, calls) = (Arc::<AtomicUsize>::default(), Arc::default(), Arc::<AtomicUsize>::default());
    let count = |column| {
        let late = Arc::clone(&late);
        OperatorPart::OnWorkers(Box::new(move |_| {
            Ok(Box::new(Count { column, counts: HashMap::new(), late: Arc::clone(&late) }) as Box<dyn Operator>)
        }))
    };
    let (capacity, slow) = (setup.capacity, setup.slow);
    let meanwhile = Arc::<AtomicUsize>::default();
    let (most_taken, called, at_slow) = (Arc::clone(&most), Arc::clone(&calls), Arc::clone(&meanwhile));
    let stats = Arc::<HubStats>::default();
    let (position, in_flight) = match setup.start {
        Some(kept) => (vec![kept.position], kept.in_flight),
        None => (Vec::new(), Vec::new()),
    };
    let part = AsyncPart {
        make: Box::new(move |completions| {
            let taken = Rc::default();
            let (most, calls, meanwhile) = (most_taken, called, at_slow);
            Ok(Box::new(Later { capacity, taken, most, calls, slow, meanwhile, completions }))
        }),
        order: setup.order,
        key: Some(0),
        waiting: setup.waiting,
        start: in_flight,
        stats: Arc::clone(&stats),
    };
    let numbers = Numbers { rows: setup.rows, block: 5, pause: setup.pause };
    let (out, rejected, keep) = (Collect::default(), Collect::default(), Keep::default());
    let parts = Parts {
        config,
        graph,
        sources: vec![SourcePart { source: Box::new(numbers), start: position, decoder: Box::new(|| Ok(None)) }],
        operators: vec![count(2), OperatorPart::Beside(part), count(3)],
        sinks: vec![(Box::new(out.clone()), Format::Json), (Box::new(rejected.clone()), Format::Json)],
        epoch: 1,
        stats: Arc::new(Stats::new(2).unwrap()),
    };
    let network = Network::start(parts, events).unwrap();
    let epochs = Arc::new(EpochStats::new().unwrap());
    let result = Coordinator::new(network, Box::new(keep.clone()), epochs, Duration::from_millis(10), 1, |_| {}).run();
    let at = |c: &Collect| c.0.lock().unwrap().1.clone();
    Ran {
        result,
        out: out.rows(),
        lines_at: at(&out),
        rejected: rejected.rows(),
        rejected_at: at(&rejected),
        epochs: keep.0.lock().unwrap().clone(),
        late: late.load(Relaxed),
        most: most.load(Relaxed),
        calls: calls.load(Relaxed),
        meanwhile: meanwhile.load(Relaxed),
        restored: stats.restored.load(Relaxed),
    }
}

fn n(row: &serde_json::Value) -> i64 {
    row["n"].as_i64().unwrap()
}

/// What rows of the sink and dead letters are of which number.
fn seen(out: &[serde_json::Value], rejected: &[serde_json::Value]) -> Vec<i64> {
    let mut seen: Vec<i64> = out.iter().map(n).chain(rejected.iter().map(|l| l["offset"].as_i64().unwrap())).collect();
    seen.sort_unstable();
    seen
}

#[test]
fn every_row_comes_out_once_in_each_order() {
    for order in [Order::Ordered, Order::Unordered, Order::Key] {
        for workers in [1, 3] {
            let ran = run(Setup { order, workers, ..Setup::default() }, Events::default());
            assert_eq!(ran.result, Ok(Outcome::Completed));
            assert_eq!(seen(&ran.out, &ran.rejected), (0..3000).collect::<Vec<_>>(), "{order:?}, {workers} workers");
            assert_eq!(ran.rejected.len(), 30);
            assert_eq!(ran.rejected[0]["operator"], "later");
            assert_eq!(ran.late, 0, "{order:?}: the watermark overtook a row");
            assert!(ran.most <= 50 && ran.most > 25, "{} rows were in flight", ran.most);
            assert_eq!(ran.calls, 3000);
            if order != Order::Unordered {
                // Behind the operator a key sees its rows as before it: without those rejected.
                let mut by_key: HashMap<String, i64> = HashMap::new();
                let mut rows: Vec<&serde_json::Value> = ran.out.iter().collect();
                rows.sort_by_key(|r| n(r));
                for row in rows {
                    let count = by_key.entry(row["key"].to_string()).or_default();
                    *count += 1;
                    assert_eq!(row["again"], *count, "{order:?}: {row}");
                }
            }
            if order == Order::Ordered && workers == 1 {
                assert!(ran.out.iter().map(n).is_sorted());
            }
        }
    }
}

#[test]
fn an_epoch_holds_what_is_out_or_in_flight_and_nothing_else() {
    for order in [Order::Ordered, Order::Unordered, Order::Key] {
        let ran = run(Setup { order, workers: 2, ..Setup::default() }, Events::default());
        assert!(ran.epochs.len() > 5);
        let with_rows = ran.epochs.iter().filter(|e| !e.in_flight.is_empty()).count();
        assert!(with_rows > 3, "{with_rows} of {} epochs had rows in flight", ran.epochs.len());
        for kept in &ran.epochs {
            let (lines, letters) = (ran.lines_at[&kept.epoch], ran.rejected_at[&kept.epoch]);
            let mut rows = seen(&ran.out[..lines], &ran.rejected[..letters]);
            for part in &kept.in_flight {
                rows.extend(numbers(&part.rows));
                let oldest = part.rows.event_times.iter().copied().min();
                assert!(oldest.is_none_or(|o| o >= part.watermark));
                // No operator behind it may forget what these rows are about to read.
                assert!(kept.watermark.is_some_and(|w| w <= part.watermark));
            }
            rows.sort_unstable();
            assert_eq!(rows, (0..kept.position.next as i64).collect::<Vec<_>>(), "{order:?}, epoch {}", kept.epoch);
        }
        assert!(ran.epochs.last().unwrap().in_flight.is_empty(), "the last epoch answers all");
    }
}

#[test]
fn a_restart_asks_again_for_what_was_in_flight_and_each_row_has_its_effect_once() {
    for order in [Order::Ordered, Order::Unordered, Order::Key] {
        let first = run(Setup { order, ..Setup::default() }, Events::default());
        let kept = first.epochs.iter().filter(|e| !e.in_flight.is_empty()).nth(3).unwrap().clone();
        let (lines, letters) = (first.lines_at[&kept.epoch], first.rejected_at[&kept.epoch]);
        let in_flight: usize = kept.in_flight.iter().map(|p| p.rows.rows()).sum();
        let position = kept.position.next as usize;
        let second = run(Setup { order, start: Some(kept), ..Setup::default() }, Events::default());
        assert_eq!(second.result, Ok(Outcome::Completed));
        assert_eq!(second.restored, in_flight as u64);
        assert_eq!(second.calls, 3000 - position + in_flight);
        let out: Vec<_> = first.out[..lines].iter().chain(&second.out).cloned().collect();
        let rejected: Vec<_> = first.rejected[..letters].iter().chain(&second.rejected).cloned().collect();
        assert_eq!(seen(&out, &rejected), (0..3000).collect::<Vec<_>>());
        assert_eq!(second.late, 0);
    }
}

#[test]
fn one_slow_row_does_not_stall_the_calls_behind_it() {
    let slow = Some((500, Duration::from_millis(150)));
    for (order, waiting) in [(Order::Ordered, 100_000), (Order::Key, 100_000), (Order::Unordered, 1)] {
        let pause = Duration::ZERO;
        let setup = Setup { order, slow, capacity: 10, waiting, pause, rows: 900, ..Setup::default() };
        let ran = run(setup, Events::default());
        assert_eq!(seen(&ran.out, &ran.rejected), (0..900).collect::<Vec<_>>());
        // Ten were in flight with it; that more were asked for is what this is about.
        assert!(ran.meanwhile > 540, "{} calls were made before the slow one was answered", ran.meanwhile);
        let at = ran.out.iter().position(|r| n(r) == 500).unwrap();
        match order {
            // It comes in its turn, though those behind it were answered before.
            Order::Ordered => assert!(ran.out[..at].iter().all(|r| n(r) < 500)),
            _ => assert!(ran.out[..at].iter().any(|r| n(r) > 500)),
        }
    }
}

#[test]
fn rows_that_wait_for_their_turn_are_bounded() {
    // Row 0 answers last: of the others no more than may wait are asked for.
    let slow = Some((0, Duration::from_millis(300)));
    let events = Events::default();
    let handle = events.handle();
    let setup =
        Setup { order: Order::Ordered, slow, capacity: 10, waiting: 20, pause: Duration::ZERO, ..Setup::default() };
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(150));
        handle.drain();
    });
    let ran = run(Setup { max_rows: 64, ..setup }, events);
    stopper.join().unwrap();
    assert_eq!(ran.result, Ok(Outcome::Drained));
    // In flight, waiting, and as many as the sources may have on the way.
    let rows = seen(&ran.out, &ran.rejected);
    assert_eq!(rows, (0..rows.len() as i64).collect::<Vec<_>>());
    assert!(rows.len() <= 20 + 10 + 64 + 5, "{} rows were taken", rows.len());
}

#[test]
fn what_cannot_be_made_stops_the_pipeline_with_its_name() {
    let make: AsyncFactory = Box::new(|_| Err("no such model".into()));
    let graph = Graph {
        sources: vec![SourceNode { name: "numbers".into(), out_of_orderness: None }],
        operators: vec![OperatorNode {
            name: "later".into(),
            inputs: vec![Origin::Source(0)],
            key: None,
            asynchronous: true,
        }],
        sinks: Vec::new(),
        dead_letters: None,
    };
    let (order, stats) = (Order::Unordered, Arc::default());
    let part = AsyncPart { make, order, key: None, waiting: 1, start: Vec::new(), stats };
    let source = Box::new(Numbers { rows: u64::MAX, block: 5, pause: Duration::from_millis(1) });
    let config = Config {
        workers: 1,
        max_in_flight_rows: 100,
        max_in_flight_bytes: 1 << 20,
        batch_rows: 10,
        batch_bytes: 1 << 10,
        checkpoint_interval: Duration::from_millis(10),
    };
    let parts = Parts {
        config,
        graph,
        sources: vec![SourcePart { source, start: Vec::new(), decoder: Box::new(|| Ok(None)) }],
        operators: vec![OperatorPart::Beside(part)],
        sinks: Vec::new(),
        epoch: 1,
        stats: Arc::new(Stats::new(0).unwrap()),
    };
    let network = Network::start(parts, Events::default()).unwrap();
    let epochs = Arc::new(EpochStats::new().unwrap());
    let keep = Box::new(Keep::default());
    let result = Coordinator::new(network, keep, epochs, Duration::from_millis(10), 1, |_| {}).run();
    assert_eq!(result, Err(Failure::new("operator `later`", "no such model")));
}
