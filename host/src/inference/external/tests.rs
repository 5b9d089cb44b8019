//! The operator with a scripted way to its model, in a time that the test stops and winds on.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Schema, UInt32Type};
use hashbrown::{HashMap, HashSet};
use proptest::prelude::*;

use super::rows::Request;
use super::transport::{CallFailure, Fate, Transport};
use super::*;
use crate::inference::http::{BadRow, ErrorClass, Outputs, Reply};
use crate::record::Batch;

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
    ])
}

/// Rows with these numbers; key: the number by ten; marked where it is even.
fn batch(values: &[f32], first: u64) -> Batch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Float32Array::from(values.to_vec())),
        Arc::new(Int64Array::from_iter_values(values.iter().map(|v| *v as i64 / 10))),
        Arc::new(BooleanArray::from_iter(values.iter().map(|v| Some(*v as i64 % 2 == 0)))),
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
    async fn call(&self, endpoint: usize, request: &Request, _: Duration) -> Result<Reply, CallFailure> {
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
        tokio::time::sleep(wait).await;
        result.map(|values| Reply { outputs: Outputs::Numbers { values, width: 1 }, model_version: None })
    }
}

fn fails(class: ErrorClass, fate: Fate) -> Result<Vec<f32>, CallFailure> {
    Err(CallFailure { class, fate, reason: "scripted".into(), bad_rows: Vec::new() })
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

#[test]
fn a_row_is_answered_with_where_its_prediction_came_from() {
    stopped(async {
        let mut bench = Bench::new(&config(), script(|_, r| (50 * MS, answers(r))));
        bench.submit(&[1.0, 2.0]);
        let rows = bench.answered(2).await;
        assert_eq!((rows[1].prediction, rows[1].source.as_str(), rows[1].attempts), (Some(4.0), "primary", 1));
        assert_eq!((rows[1].version.as_deref(), rows[1].error.as_deref()), (Some("7"), None));
        assert!((50.0..53.0).contains(&rows[1].latency_ms), "{}", rows[1].latency_ms);
        assert_eq!(bench.stats.rows(PredictionSource::Primary), 2);
    });
}

#[test]
fn no_more_requests_are_in_flight_than_the_capacity_and_room_is_theirs() {
    stopped(async {
        let mut bench = Bench::new(&config(), script(|_, r| (50 * MS, answers(r))));
        assert_eq!(bench.operator.room(), 10 + 32);
        bench.submit(&(0..42).map(|i| i as f32).collect::<Vec<_>>());
        assert_eq!(bench.operator.room(), 0);
        assert_eq!(bench.answered(42).await.len(), 42);
        assert_eq!((bench.seen.most.get(), bench.seen.calls.get()), (10, 42));
        assert!(bench.elapsed() >= 250 * MS);
    });
}

#[test]
fn rows_travel_together_and_each_gets_its_own_answer() {
    stopped(async {
        let batch = BatchConfig { max_rows: 4, max_delay: Duration::ZERO };
        let mut bench = Bench::new(&ExternalConfig { batch, ..config() }, script(|_, r| (50 * MS, answers(r))));
        bench.submit(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        let rows = bench.answered(5).await;
        assert!(rows.iter().all(|r| r.prediction == Some(r.value * 2.0)));
        let sizes: Vec<usize> = bench.seen.requests.borrow().iter().map(|r| r.1.len()).collect();
        assert_eq!(sizes, [4, 1]);
    });
}

#[test]
fn an_attempt_that_fails_is_repeated_elsewhere_under_the_same_name() {
    stopped(async {
        let first = Cell::new(true);
        let mut bench = Bench::new(
            &config(),
            script(move |_, r| match first.replace(false) {
                true => (5 * MS, fails(ErrorClass::Reset, Fate::Retriable)),
                false => (5 * MS, answers(r)),
            }),
        );
        bench.submit(&[1.0]);
        let rows = bench.answered(1).await;
        assert_eq!((rows[0].source.as_str(), rows[0].attempts, rows[0].prediction), ("retry", 2, Some(2.0)));
        let requests = bench.seen.requests.borrow();
        assert_ne!(requests[0].0, requests[1].0);
        assert_eq!(requests[0].2, requests[1].2);
    });
}

#[test]
fn what_no_attempt_can_mend_is_not_repeated() {
    stopped(async {
        let permanent = || fails(ErrorClass::Status4xx, Fate::Permanent);
        let mut bench = Bench::new(&config(), script(move |_, _| (5 * MS, permanent())));
        bench.submit(&[1.0]);
        let rows = bench.answered(1).await;
        let reason = "rejected: model `fraud` gave no prediction: status_4xx after 1 attempt: scripted";
        assert_eq!((rows[0].source.as_str(), bench.seen.calls.get()), (reason, 1));
    });
}

#[test]
fn a_failure_that_is_worth_one_more_attempt_gets_one() {
    stopped(async {
        let retry = RetryConfig { attempts: 5, ..config().retry };
        let once = || fails(ErrorClass::Status5xx, Fate::RetriableOnce);
        let mut bench = Bench::new(&ExternalConfig { retry, ..config() }, script(move |_, _| (MS, once())));
        bench.submit(&[1.0]);
        bench.answered(1).await;
        assert_eq!(bench.seen.calls.get(), 2);
    });
}

#[test]
fn a_row_whose_time_is_spent_is_answered_then_and_not_later() {
    stopped(async {
        let mut bench = Bench::new(&config(), script(|_, r| (3600 * S, answers(r))));
        bench.submit(&[1.0]);
        let rows = bench.answered(1).await;
        assert!(rows[0].source.contains("timeout after 2 attempts"), "{}", rows[0].source);
        assert!(bench.elapsed() <= 2 * S + 5 * MS, "{:?}", bench.elapsed());
        assert_eq!(bench.seen.in_flight.get(), 0);
    });
}

#[test]
fn one_bad_row_does_not_take_its_neighbours_with_it() {
    stopped(async {
        let batch = BatchConfig { max_rows: 32, max_delay: Duration::ZERO };
        let refuses = |r: &Request| match r.values.contains(&13.0) {
            true => fails(ErrorClass::Status4xx, Fate::Permanent),
            false => answers(r),
        };
        let mut bench = Bench::new(&ExternalConfig { batch, ..config() }, script(move |_, r| (5 * MS, refuses(r))));
        bench.submit(&(0..32).map(|i| i as f32).collect::<Vec<_>>());
        let rows = bench.answered(32).await;
        assert_eq!(rows.iter().filter(|r| r.prediction.is_some()).count(), 31);
        assert!(rows[13].source.contains("status_4xx"), "{}", rows[13].source);
        assert!(bench.seen.calls.get() <= 11, "{} calls", bench.seen.calls.get());
    });
}

#[test]
fn a_batch_that_is_refused_whole_costs_no_call_a_row() {
    stopped(async {
        let batch = BatchConfig { max_rows: 256, max_delay: Duration::ZERO };
        let refuses = || fails(ErrorClass::Status4xx, Fate::Permanent);
        let mut bench = Bench::new(&ExternalConfig { batch, ..config() }, script(move |_, _| (5 * MS, refuses())));
        bench.submit(&(0..256).map(|i| i as f32).collect::<Vec<_>>());
        assert_eq!(bench.answered(256).await.len(), 256);
        assert!(bench.seen.calls.get() <= 20, "{} calls", bench.seen.calls.get());
    });
}

#[test]
fn rows_that_cannot_be_sent_are_told_apart_before_they_are() {
    stopped(async {
        let batch = BatchConfig { max_rows: 4, max_delay: Duration::ZERO };
        let says = |r: &Request| match r.values.iter().position(|v| *v == 2.0) {
            Some(row) => Err(CallFailure {
                class: ErrorClass::BadRow,
                fate: Fate::Permanent,
                reason: "one row".into(),
                bad_rows: vec![BadRow { row, reason: "it is two".into() }],
            }),
            None => answers(r),
        };
        let mut bench =
            Bench::new(&ExternalConfig { batch, ..config() }, script(move |_, r| (Duration::ZERO, says(r))));
        bench.submit(&[1.0, 2.0, 3.0]);
        let rows = bench.answered(3).await;
        assert!(rows[1].source.contains("bad_row") && rows[1].source.ends_with("it is two"), "{}", rows[1].source);
        assert_eq!((rows[0].attempts, rows[2].prediction), (1, Some(6.0)));
    });
}

#[test]
fn the_chain_answers_while_the_model_is_gone_and_remembers_what_it_said() {
    stopped(async {
        let fallback = vec![
            Fallback::LastKnownGood { max_age: 60 * S, max_keys: 100 },
            Fallback::Constant { value: Constant::Number(0.5) },
        ];
        let up = Rc::new(Cell::new(true));
        let server = Rc::clone(&up);
        let config = ExternalConfig { fallback, key: Some("key".into()), ..config() };
        let mut bench = Bench::new(
            &config,
            script(move |_, r| match server.get() {
                true => (5 * MS, answers(r)),
                false => (5 * MS, fails(ErrorClass::Connect, Fate::Retriable)),
            }),
        );
        bench.submit(&[10.0]);
        bench.answered(1).await;
        up.set(false);
        // 11 has the key of 10.
        bench.submit(&[11.0, 20.0]);
        let rows = bench.answered(2).await;
        assert_eq!((rows[0].prediction, rows[0].source.as_str()), (Some(20.0), "last_known_good"));
        assert_eq!((rows[1].prediction, rows[1].source.as_str()), (Some(0.5), "constant"));
        assert_eq!((rows[1].error.as_deref(), rows[1].version.as_deref()), (Some("connect"), None));
        // Breakers open, and rows are answered without a call.
        for _ in 0..20 {
            bench.submit(&[30.0]);
            bench.answered(1).await;
        }
        let calls = bench.seen.calls.get();
        bench.submit(&[40.0]);
        let rows = bench.answered(1).await;
        assert_eq!((rows[0].error.as_deref(), rows[0].attempts), (Some("circuit_open"), 0));
        assert_eq!(bench.seen.calls.get(), calls);
        // The model is back: after a while it is found.
        up.set(true);
        tokio::time::sleep(40 * S).await;
        for _ in 0..10 {
            bench.submit(&[50.0]);
            bench.answered(1).await;
        }
        bench.submit(&[60.0]);
        assert_eq!(bench.answered(1).await[0].source, "primary");
    });
}

#[test]
fn without_a_chain_rows_wait_for_the_model_and_take_no_more_room() {
    stopped(async {
        let up = Rc::new(Cell::new(false));
        let server = Rc::clone(&up);
        let mut bench = Bench::new(
            &config(),
            script(move |_, r| match server.get() {
                true => (5 * MS, answers(r)),
                false => (5 * MS, fails(ErrorClass::Connect, Fate::Retriable)),
            }),
        );
        bench.submit(&[1.0; 40]);
        tokio::time::sleep(3 * S).await;
        let given_up = bench.fetch().len();
        assert!(given_up < 40, "{given_up} of 40 rows were given up");
        assert!(bench.operator.room() < 40);
        up.set(true);
        let rows = bench.answered(40 - given_up).await;
        assert!(rows.iter().filter(|r| r.prediction.is_some()).count() > 0);
    });
}

#[test]
fn a_row_may_wait_so_long_for_a_request_and_no_longer() {
    stopped(async {
        let timeouts = Timeouts { queue: Some(100 * MS), ..config().timeouts };
        let concurrency = ConcurrencyConfig { max: 1, ..config().concurrency };
        let config = ExternalConfig { timeouts, capacity: 1, concurrency, ..config() };
        let mut bench = Bench::new(&config, script(|_, r| (900 * MS, answers(r))));
        bench.submit(&[1.0, 2.0, 3.0]);
        let rows = bench.answered(2).await;
        assert!(rows.iter().all(|r| r.source.contains("queue_timeout")), "{rows:?}");
        assert!(bench.elapsed() < 110 * MS);
        assert_eq!(bench.answered(1).await[0].prediction, Some(2.0));
    });
}

#[test]
fn an_endpoint_that_is_back_gets_its_share_within_seconds() {
    stopped(async {
        let up = Rc::new(Cell::new(false));
        let server = Rc::clone(&up);
        let mut bench = Bench::new(
            &config(),
            script(move |endpoint, r| match endpoint == 1 || server.get() {
                true => (5 * MS, answers(r)),
                false => (MS, fails(ErrorClass::Connect, Fate::Retriable)),
            }),
        );
        let mut calls = [0, 0];
        for round in 0..400 {
            up.set(round >= 200);
            bench.submit(&[1.0]);
            assert!(bench.answered(1).await[0].prediction.is_some());
            tokio::time::sleep(50 * MS).await;
            if round >= 300 {
                bench.seen.requests.borrow().last().iter().for_each(|r| calls[r.0] += 1);
            }
        }
        assert!(calls[0] > 20 && calls[1] > 20, "{calls:?}");
        assert!(bench.stats.endpoints[0].requests.load(std::sync::atomic::Ordering::Relaxed) < 250);
    });
}

#[test]
fn under_overload_rows_are_answered_by_the_chain_when_their_wait_is_over() {
    stopped(async {
        let timeouts = Timeouts { queue: Some(100 * MS), ..config().timeouts };
        let config = ExternalConfig { timeouts, fallback: vec![Fallback::Skip], ..config() };
        let mut bench = Bench::new(&config, script(|_, r| (500 * MS, answers(r))));
        assert!(bench.operator.room() >= 32);
        bench.submit(&(0..40).map(|i| i as f32).collect::<Vec<_>>());
        let rows = bench.answered(30).await;
        assert!(bench.elapsed() < 150 * MS, "{:?}", bench.elapsed());
        assert!(rows.iter().all(|r| r.prediction.is_none() && r.source == "skipped"));
        assert!(rows.iter().all(|r| r.error.as_deref() == Some("queue_timeout")));
        assert_eq!(bench.answered(10).await.len(), 10);
    });
}

#[test]
fn an_endpoint_that_asks_to_be_left_alone_does_not_stop_the_chain() {
    stopped(async {
        let fallback = vec![Fallback::Constant { value: Constant::Number(0.5) }];
        let asks = || fails(ErrorClass::Overload, Fate::Overload(Some(60 * S)));
        let mut bench = Bench::new(&ExternalConfig { fallback, ..config() }, script(move |_, _| (MS, asks())));
        for _ in 0..50 {
            bench.submit(&[1.0]);
            assert_eq!(bench.answered(1).await[0].source, "constant");
        }
        assert!(bench.elapsed() < 30 * S && bench.seen.calls.get() < 20, "{:?}", bench.elapsed());
    });
}

#[test]
fn a_slow_call_is_overtaken_by_a_second_one() {
    stopped(async {
        let hedge = Some(HedgeConfig { quantile: 0.9, budget: 1.0 });
        let slow = Rc::new(Cell::new(None));
        let which = Rc::clone(&slow);
        let mut bench = Bench::new(
            &ExternalConfig { hedge, ..config() },
            script(move |e, r| match which.get() == Some(e) {
                true => (900 * MS, answers(r)),
                false => (10 * MS, answers(r)),
            }),
        );
        for _ in 0..300 {
            bench.submit(&[1.0]);
            bench.answered(1).await;
        }
        slow.set(Some(0));
        let mut hedged = 0;
        for _ in 0..20 {
            bench.submit(&[2.0]);
            let rows = bench.answered(1).await;
            hedged += usize::from(rows[0].source == "hedge");
            assert!(rows[0].latency_ms < 500.0, "{rows:?}");
        }
        assert!(hedged > 0);
        assert_eq!(bench.seen.in_flight.get(), 0);
    });
}

#[test]
fn equal_features_are_asked_for_once() {
    stopped(async {
        let cache = Some(CacheConfig { max_entries: 100, ttl: 60 * S });
        let mut bench = Bench::new(&ExternalConfig { cache, ..config() }, script(|_, r| (50 * MS, answers(r))));
        bench.submit(&[1.0, 1.0, 2.0]);
        let rows = bench.answered(3).await;
        let sources: Vec<&str> = rows.iter().map(|r| r.source.as_str()).collect();
        assert_eq!((sources.iter().filter(|s| **s == "cache").count(), bench.seen.calls.get()), (1, 2));
        bench.submit(&[2.0]);
        assert_eq!(bench.answered(1).await[0].source, "cache");
        assert_eq!(bench.seen.calls.get(), 2);
    });
}

#[test]
fn only_marked_rows_and_a_stable_share_are_sent() {
    stopped(async {
        let all: Vec<f32> = (0..1000).map(|i| i as f32).collect();
        let mut bench =
            Bench::new(&ExternalConfig { when: Some("when".into()), ..config() }, script(|_, r| (MS, answers(r))));
        bench.submit(&all);
        let rows = bench.answered(1000).await;
        assert!(rows.iter().all(|r| r.prediction.is_some() == (r.value as i64 % 2 == 0)));
        assert!(rows.iter().filter(|r| r.prediction.is_none()).all(|r| r.source == "skipped" && r.version.is_none()));

        let mut chosen = Vec::new();
        for _ in 0..2 {
            let config = ExternalConfig { sample: 0.1, key: Some("key".into()), ..config() };
            let mut bench = Bench::new(&config, script(|_, r| (MS, answers(r))));
            bench.submit(&all);
            let rows = bench.answered(1000).await;
            let keys: HashSet<i64> =
                rows.iter().filter(|r| r.prediction.is_some()).map(|r| r.value as i64 / 10).collect();
            assert!((2..25).contains(&keys.len()), "{} of 100 keys", keys.len());
            // All rows of a key fare alike.
            assert!(rows.iter().all(|r| r.prediction.is_some() == keys.contains(&(r.value as i64 / 10))));
            chosen.push(keys);
        }
        assert_eq!(chosen[0], chosen[1]);
    });
}

#[test]
fn a_prediction_that_is_no_number_is_none() {
    stopped(async {
        let mut bench = Bench::new(&config(), script(|_, _| (MS, Ok(vec![f32::NAN]))));
        bench.submit(&[1.0]);
        assert!(bench.answered(1).await[0].source.contains("NaN, not a finite number"));
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever calls come to, in whatever order, with whatever settings: each row is answered once and
    /// in time, no more calls are in flight than may be, and nothing is left behind.
    #[test]
    fn each_row_is_answered_once_whatever_happens(
        seed: u64,
        sizes in prop::collection::vec(1usize..20, 1..12),
        pauses in prop::collection::vec(0u64..400, 12),
        max_rows in 1usize..9,
        attempts in 1u32..5,
        capacity in 1usize..12,
        adaptive: bool,
        hedged: bool,
        cached: bool,
        queue: bool,
        chain in 0usize..3,
        drop_at in prop::option::of(0u64..3_000),
    ) {
        stopped(async move {
            let mut links = vec![
                Fallback::Constant { value: Constant::Number(0.5) },
                Fallback::LastKnownGood { max_age: S, max_keys: 10 },
            ];
            links.truncate(chain);
            let config = ExternalConfig {
                capacity,
                batch: BatchConfig { max_rows, max_delay: Duration::from_millis(seed % 20) },
                retry: RetryConfig { attempts, ..config().retry },
                concurrency: ConcurrencyConfig { adaptive, initial: 2, min: 1, max: capacity },
                hedge: hedged.then_some(HedgeConfig { quantile: 0.5, budget: 1.0 }),
                cache: cached.then_some(CacheConfig { max_entries: 4, ttl: S }),
                timeouts: Timeouts { queue: queue.then_some(300 * MS), ..config().timeouts },
                key: Some("key".into()),
                fallback: links,
                ..config()
            };
            let rng = RefCell::new(fastrand::Rng::with_seed(seed));
            let mut bench = Bench::new(&config, script(move |_, r| {
                let mut rng = rng.borrow_mut();
                let wait = Duration::from_micros(rng.u64(0..200_000));
                match rng.u8(0..20) {
                    0 => (3600 * S, answers(r)),
                    1 | 2 => (wait, fails(ErrorClass::Reset, Fate::Retriable)),
                    3 => (wait, fails(ErrorClass::Status5xx, Fate::RetriableOnce)),
                    4 => (wait, fails(ErrorClass::Overload, Fate::Overload(rng.bool().then_some(100 * MS)))),
                    5 => (wait, fails(ErrorClass::Status4xx, Fate::Permanent)),
                    6 => (Duration::ZERO, Err(CallFailure {
                        class: ErrorClass::BadRow,
                        fate: Fate::Permanent,
                        reason: "bad".into(),
                        bad_rows: vec![BadRow { row: rng.usize(0..r.rows + 1), reason: "bad".into() }],
                    })),
                    7 => (wait, Ok(vec![f32::NAN; r.rows])),
                    _ => (wait, answers(r)),
                }
            }));
            let mut seen: HashSet<u64> = HashSet::new();
            let mut all = 0;
            for (size, pause) in sizes.iter().zip(&pauses) {
                bench.submit(&(0..*size).map(|i| (i % 7) as f32).collect::<Vec<_>>());
                all += size;
                tokio::time::sleep(Duration::from_millis(*pause)).await;
                for id in bench.done.borrow().iter() {
                    assert!(seen.insert(*id), "row {id} was answered twice");
                }
                bench.fetch();
            }
            if let Some(at) = drop_at {
                // Shutdown: what is not answered then is never.
                tokio::time::sleep(Duration::from_millis(at)).await;
                for id in bench.done.borrow().iter() {
                    assert!(seen.insert(*id), "row {id} was answered twice");
                }
                return;
            }
            while seen.len() < all {
                tokio::time::sleep(10 * MS).await;
                for id in bench.done.borrow().iter() {
                    assert!(seen.insert(*id), "row {id} was answered twice");
                }
                bench.fetch();
                assert!(bench.elapsed() < 600 * S, "{} of {all} rows were answered", seen.len());
            }
            assert!(bench.seen.most.get() <= capacity * 2, "{} calls in flight", bench.seen.most.get());
            tokio::time::sleep(5 * S).await;
            assert!(bench.done.borrow().is_empty());
            assert_eq!(bench.seen.in_flight.get(), 0);
            use std::sync::atomic::Ordering::Relaxed;
            assert_eq!(bench.stats.requests_in_flight.load(Relaxed), 0);
            assert!(bench.stats.endpoints.iter().all(|e| e.in_flight.load(Relaxed) == 0));
        });
    }
}
