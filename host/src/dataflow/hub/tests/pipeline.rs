//! The pipeline of the tests: source → count by key → answer later → count by key → sink.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};

use crate::codec::Format;
use crate::dataflow::hub::*;
use crate::dataflow::{
    Chunk, Config, Events, Failure, Graph, Network, Next, Operator, OperatorNode, OperatorPart, Origin, Output, Parts,
    Prepared, Sink, SinkNode, SinkRows, Source, SourceNode, SourcePart, Stats, Times, Wants,
};
use crate::epoch::{Commit, Coordinator, Done, EpochStats, Gathered, Outcome};
use crate::record::{Position, SinkState};

pub(super) fn schema() -> SchemaRef {
    let int = |name: &str| Field::new(name, DataType::Int64, false);
    Arc::new(Schema::new(vec![Field::new("key", DataType::Utf8, false), int("n"), int("count"), int("again")]))
}

pub(super) fn with(batch: &Batch, column: usize, values: Vec<i64>) -> Result<Batch, String> {
    let mut columns = batch.columns.columns().to_vec();
    columns[column] = Arc::new(Int64Array::from(values));
    let columns = RecordBatch::try_new(schema(), columns).map_err(|e| e.to_string())?;
    Ok(Batch { columns, ..batch.clone() })
}

pub(super) fn numbers(batch: &Batch) -> Vec<i64> {
    batch.columns.column(1).as_primitive::<Int64Type>().values().to_vec()
}

/// Rows from its position to `rows`, key `n % 7`, event time `n`, a few at a time.
pub(super) struct Numbers {
    pub rows: u64,
    pub block: u64,
    pub pause: Duration,
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
pub(super) struct Count {
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
pub(super) struct Later {
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
pub(super) struct Collect(Arc<Mutex<Written>>);

/// Bytes, and lines by epoch.
pub(super) type Written = (Vec<u8>, HashMap<u64, usize>);

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
pub(super) struct Keep(Arc<Mutex<Vec<Kept>>>);

#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub epoch: u64,
    pub position: Position,
    pub in_flight: Vec<InFlight>,
    pub watermark: Option<i64>,
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
pub(super) struct Setup {
    pub workers: usize,
    pub order: Order,
    pub rows: u64,
    pub pause: Duration,
    pub capacity: usize,
    pub waiting: usize,
    pub slow: Option<(i64, Duration)>,
    pub max_rows: usize,
    pub start: Option<Kept>,
}

impl Default for Setup {
    fn default() -> Self {
        let (workers, order, rows, pause) = (2, Order::Unordered, 3000, Duration::from_micros(100));
        Self { workers, order, rows, pause, capacity: 50, waiting: 500, slow: None, max_rows: 4096, start: None }
    }
}

pub(super) struct Ran {
    pub result: Result<Outcome, Failure>,
    pub out: Vec<serde_json::Value>,
    pub lines_at: HashMap<u64, usize>,
    pub rejected: Vec<serde_json::Value>,
    pub rejected_at: HashMap<u64, usize>,
    pub epochs: Vec<Kept>,
    pub late: usize,
    pub most: usize,
    pub calls: usize,
    pub meanwhile: usize,
    pub restored: u64,
}

pub(super) fn run(setup: Setup, events: Events) -> Ran {
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

pub(super) fn n(row: &serde_json::Value) -> i64 {
    row["n"].as_i64().unwrap()
}

/// What rows of the sink and dead letters are of which number.
pub(super) fn seen(out: &[serde_json::Value], rejected: &[serde_json::Value]) -> Vec<i64> {
    let mut seen: Vec<i64> = out.iter().map(n).chain(rejected.iter().map(|l| l["offset"].as_i64().unwrap())).collect();
    seen.sort_unstable();
    seen
}
