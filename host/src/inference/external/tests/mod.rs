//! The operator with a scripted way to its model, in a time that the test stops and winds on.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float32Array, Int64Array, ListArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Schema, UInt32Type};
use hashbrown::{HashMap, HashSet};

use super::rows::Request;
use super::transport::{CallFailure, Transport};
use super::*;
use crate::inference::http::{BadRow, ErrorClass, Outputs, Reply, Verdict};
use crate::record::Batch;

mod attempts;
mod instead;
mod random;
mod rows;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

fn config() -> ExternalConfig {
    ExternalConfig {
        name: "score".into(),
        model: "fraud".into(),
        version: Some("7".into()),
        features: vec!["x".into()],
        output: "prediction".into(),
        prefix: String::new(),
        provenance: true,
        order: Order::Unordered,
        key: None,
        capacity: 10,
        waiting: 100,
        when: None,
        sample: 1.0,
        timeouts: Timeouts { record: 2 * S, attempt: S, connect: 250 * MS, queue: None },
        place: Place::Endpoint(EndpointConfig {
            protocol: ProtocolConfig::OpenInference { binary: false, input: "features".into(), output: None },
            urls: vec!["http://a".into(), "http://b".into()],
            prediction: PredictionType::Numbers(1),
            headers: Vec::new(),
            bearer: None,
            http2: false,
            ca_file: None,
            max_reply_bytes: 1 << 20,
            classes: Vec::new(),
        }),
        batch: BatchConfig { max_rows: 1, max_delay: Duration::ZERO },
        retry: RetryConfig { attempts: 3, base: 25 * MS, max: S, budget: 0.2, budget_floor: 10.0 },
        breaker: BreakerConfig {
            window: 10 * S,
            min_calls: 20,
            failure_rate: 0.5,
            slow_rate: 0.8,
            slow_after: 800 * MS,
            consecutive: 5,
            open_for: S,
            max_open: 30 * S,
            probes: 3,
        },
        concurrency: ConcurrencyConfig { adaptive: false, initial: 10, min: 1, max: 10 },
        hedge: None,
        fallback: Vec::new(),
        cache: None,
        log_sample: 0.0,
    }
}

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("x", DataType::Float32, true),
        Field::new("key", DataType::Int64, false),
        Field::new("when", DataType::Boolean, true),
        Field::new("nullable", DataType::Int64, true),
        Field::new("list", DataType::List(Arc::new(Field::new_list_field(DataType::Float32, true))), true),
    ])
}

/// Rows with these numbers; key: the number by ten; marked where it is even, and with another key there;
/// a list of it, twice from a hundred on.
fn batch(values: &[f32], first: u64) -> Batch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Float32Array::from(values.to_vec())),
        Arc::new(Int64Array::from_iter_values(values.iter().map(|v| *v as i64 / 10))),
        Arc::new(BooleanArray::from_iter(values.iter().map(|v| Some(*v as i64 % 2 == 0)))),
        Arc::new(Int64Array::from_iter(values.iter().map(|v| (*v as i64 % 2 == 0).then_some(*v as i64 / 10)))),
        Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(
            values.iter().map(|&v| Some(vec![Some(v); if v < 100.0 { 1 } else { 2 }])),
        )),
    ];
    let columns = RecordBatch::try_new(Arc::new(schema()), columns).unwrap();
    Batch { columns, offsets: (first..first + values.len() as u64).collect(), event_times: Default::default() }
}

/// What a call comes to: after how long, and with what.
type Script = Rc<dyn Fn(usize, &Request) -> (Duration, Result<Vec<f32>, CallFailure>)>;

#[derive(Default)]
struct Seen {
    calls: Cell<usize>,
    in_flight: Cell<usize>,
    most: Cell<usize>,
    requests: RefCell<Vec<(usize, Vec<f32>, String)>>,
}

struct Scripted {
    script: Script,
    seen: Rc<Seen>,
}

impl Transport for Scripted {
    async fn call(&self, endpoint: usize, request: &Request, within: Duration) -> Result<Reply, CallFailure> {
        let (wait, result) = (self.script)(endpoint, request);
        let seen = &self.seen;
        seen.calls.set(seen.calls.get() + 1);
        seen.in_flight.set(seen.in_flight.get() + 1);
        seen.most.set(seen.most.get().max(seen.in_flight.get()));
        seen.requests.borrow_mut().push((endpoint, request.values.clone(), request.id.clone()));
        struct Leaves<'a>(&'a Cell<usize>);
        impl Drop for Leaves<'_> {
            fn drop(&mut self) {
                self.0.set(self.0.get() - 1);
            }
        }
        let _leaves = Leaves(&seen.in_flight);
        tokio::time::sleep(wait.min(within)).await;
        if wait > within {
            return Err(CallFailure::late(within));
        }
        result.map(|values| Reply { outputs: Outputs::Numbers { values, width: 1 }, model_version: None })
    }
}

fn fails(class: ErrorClass, verdict: Verdict) -> Result<Vec<f32>, CallFailure> {
    Err(CallFailure::of(class, verdict, "scripted"))
}

/// Twice the features.
fn answers(request: &Request) -> Result<Vec<f32>, CallFailure> {
    Ok(request.values.iter().map(|v| v * 2.0).collect())
}

struct Bench {
    operator: ExternalOperator,
    stats: Arc<ExternalStats>,
    seen: Rc<Seen>,
    done: Rc<RefCell<Vec<u64>>>,
    rows: HashMap<u64, f32>,
    next: u64,
    started: tokio::time::Instant,
}

impl Bench {
    fn new(config: &ExternalConfig, script: Script) -> Self {
        let binding = Arc::new(ExternalBinding::bind(config, &schema(), |_| None).unwrap());
        let (seen, done) = (Rc::<Seen>::default(), Rc::<RefCell<Vec<u64>>>::default());
        let stats = Arc::new(binding.stats());
        let transport = Scripted { script, seen: Rc::clone(&seen) };
        let told = Rc::clone(&done);
        let tell = Box::new(move |ids: &mut dyn Iterator<Item = u64>| told.borrow_mut().extend(ids));
        let operator = ExternalOperator::open(&binding, transport, Arc::clone(&stats), tell, Box::new(|| ())).unwrap();
        let started = tokio::time::Instant::now();
        Self { operator, stats, seen, done, rows: HashMap::new(), next: 0, started }
    }

    fn submit(&mut self, values: &[f32]) {
        let first = self.next;
        self.rows.extend((first..).zip(values.iter().copied()));
        self.next += values.len() as u64;
        self.operator.submit(&batch(values, first), first, "in", "p0");
    }

    /// Waits until so many rows are answered, and fetches all that are.
    async fn answered(&mut self, count: usize) -> Vec<Fetched> {
        while self.done.borrow().len() < count {
            tokio::time::sleep(MS).await;
        }
        self.fetch()
    }

    fn fetch(&mut self) -> Vec<Fetched> {
        let ids = std::mem::take(&mut *self.done.borrow_mut());
        let values: Vec<f32> = ids.iter().map(|id| self.rows[id]).collect();
        let Emitted { rows, rejected } = self.operator.emit(&ids, &batch(&values, 0)).unwrap();
        let mut fetched: Vec<Fetched> = Vec::new();
        let text = |name: &str, row: usize| {
            let column = rows.columns.column_by_name(name).unwrap().as_string::<i32>().clone();
            (!column.is_null(row)).then(|| column.value(row).to_owned())
        };
        for row in 0..rows.rows() {
            let of = |name| rows.columns.column_by_name(name).unwrap();
            let predictions = of("prediction").as_primitive::<Float32Type>();
            fetched.push(Fetched {
                value: of("x").as_primitive::<Float32Type>().value(row),
                prediction: (!predictions.is_null(row)).then(|| predictions.value(row)),
                source: text("prediction_source", row).unwrap(),
                error: text("error_class", row),
                version: text("model_version", row),
                attempts: of("attempts").as_primitive::<UInt32Type>().value(row),
                latency_ms: of("latency_ms").as_primitive::<Float64Type>().value(row),
            });
        }
        for (row, reason) in rejected {
            let (value, source) = (values[row as usize], format!("rejected: {reason}"));
            fetched.push(Fetched { value, source, ..Fetched::default() });
        }
        fetched.sort_by(|a, b| a.value.total_cmp(&b.value));
        fetched
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

#[derive(Debug, Default, PartialEq)]
struct Fetched {
    value: f32,
    prediction: Option<f32>,
    source: String,
    error: Option<String>,
    version: Option<String>,
    attempts: u32,
    latency_ms: f64,
}

/// Runs a test in stopped time.
fn stopped<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

fn script(f: impl Fn(usize, &Request) -> (Duration, Result<Vec<f32>, CallFailure>) + 'static) -> Script {
    Rc::new(f)
}
