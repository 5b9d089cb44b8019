//! A pipeline that runs: its parts built from a plan, its threads, and the watch on the plugin
//! folder. A run is one attempt after the other: whatever can be tried again goes back to the last
//! committed epoch and begins there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use crossbeam_channel::{Receiver, Sender, unbounded};

use super::control::Control;
use super::memory::{self, Beginning, Memory, Recovered};
use super::nodes::{InferenceNode, KeyedState, PluginNode};
use super::{Made, Plan};
use crate::admin::Inference;
use crate::codec::Decoder;
use crate::dataflow::{
    AsyncPart, Events, Failure, FailureKind, Network, Operator, OperatorFactory, OperatorPart, Order, Parts,
    SourcePart, Stats,
};
use crate::epoch::{Coordinator, EpochStats, ModelState, Outcome};
use crate::inference::external;
use crate::kafka::Consumers;
use crate::operator::{self, Outcome as PluginOutcome, Runner, Watch};
use crate::record::InFlight;
use crate::rollout::{Change, Generations};
use crate::state::SlotCache;
use crate::{sink, source};

/// First and longest wait before an attempt; it doubles as long as no epoch is committed.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// Attempts in a row without a committed epoch, after which a run gives up: with the waits between
/// them about a minute.
const ATTEMPTS: u32 = 12;

/// A pipeline that is ready to run. It ends with [`Job::run`].
pub struct Job {
    plan: Plan,
    memory: Memory,
    control: Arc<Control>,
    stats: Arc<Stats>,
    epochs: Arc<EpochStats>,
    generations: Arc<Generations>,
    /// Index in `generations` of each operator that is a plugin.
    indexes: Vec<usize>,
    changes: (Sender<Change>, Receiver<Change>),
    input_bytes: Arc<AtomicU64>,
    /// Ends with the run.
    #[expect(dead_code, reason = "held for its drop")]
    watching: Option<Watching>,
}

impl Job {
    /// Builds what all attempts share.
    ///
    /// # Errors
    /// When the plugin folder cannot be watched, or the state folder is in use.
    pub fn new(mut plan: Plan, beginning: Beginning) -> Result<Self, Failure> {
        let control = Arc::<Control>::default();
        let memory = Memory::open(&plan.pipeline, beginning, Arc::clone(&control))?;
        let mut generations = Generations::default();
        let mut indexes = Vec::new();
        for made in &plan.operators {
            indexes.push(match made {
                Made::Plugin { config, plugin, .. } => generations.add(&config.name, Arc::clone(plugin)),
                Made::Inference { .. } | Made::External { .. } => 0,
            });
        }
        let generations = Arc::new(generations);
        let users = plan.plugin_users();
        let watching = match plan.folder.take() {
            Some(folder) if plan.pipeline.plugins.watch && !users.is_empty() => {
                let watch = folder.watch(users).map_err(|e| Failure::new("plugin folder", e))?;
                Some(Watching::start(watch, &generations, &control)?)
            }
            _ => None,
        };
        let metrics = |e| Failure::new("metrics", e);
        let stats = Arc::new(Stats::new(plan.pipeline.sinks.len()).map_err(metrics)?);
        let epochs = Arc::new(EpochStats::new().map_err(metrics)?);
        let (changes, input_bytes) = (unbounded(), Arc::default());
        Ok(Self { plan, memory, control, stats, epochs, generations, indexes, changes, input_bytes, watching })
    }

    /// A way to stop it from another thread.
    pub fn control(&self) -> Arc<Control> {
        Arc::clone(&self.control)
    }

    /// Its counters.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// The counters of its epochs.
    pub fn epochs(&self) -> &Arc<EpochStats> {
        &self.epochs
    }

    /// The members of Kafka's groups that its sources are.
    pub fn consumers(&self) -> Arc<Consumers> {
        Arc::clone(self.memory.consumers())
    }

    /// The generations of its plugins.
    pub fn generations(&self) -> &Arc<Generations> {
        &self.generations
    }

    /// The counters of its inference operators that answer later.
    pub fn inference(&self) -> Vec<Inference> {
        let of = |made: &Made| match made {
            Made::External { binding, stats, hub } => {
                let (operator, stats, hub) = (binding.config().name.clone(), Arc::clone(stats), Arc::clone(hub));
                Some(Inference { operator, stats, hub })
            }
            Made::Plugin { .. } | Made::Inference { .. } => None,
        };
        self.plan.operators.iter().filter_map(of).collect()
    }

    /// Tells of each change of a generation, when it takes over.
    pub fn changes(&self) -> Receiver<Change> {
        self.changes.1.clone()
    }

    /// Bytes of input, when they are known beforehand; 0 otherwise, and before the sources are open.
    pub fn input_bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.input_bytes)
    }

    /// Runs to the end: of the input, on request, or at the first failure that cannot be tried again.
    ///
    /// # Errors
    /// The failure.
    pub fn run(mut self) -> Result<Outcome, Failure> {
        let (mut wait, mut tried) = (BACKOFF.0, 0);
        loop {
            let (before, begun) = (self.epochs.settled(), Instant::now());
            let result = self.attempt();
            self.control.detach();
            let failure = match result {
                Ok(outcome) => break Ok(outcome),
                Err(failure) => failure,
            };
            if self.epochs.committed() > 0 {
                self.memory.forget_resume();
            }
            if self.epochs.settled() > before || begun.elapsed() >= BACKOFF.1 {
                (wait, tried) = (BACKOFF.0, 0);
            }
            tried += 1;
            self.epochs.failed(&failure);
            if failure.kind != FailureKind::Rewind || !self.memory.can_rewind() || self.control.drained() {
                break Err(failure);
            }
            if tried >= ATTEMPTS {
                let message = format!("{}; gave up after {tried} attempts without a committed epoch", failure.message);
                break Err(Failure { message, kind: FailureKind::Stop, ..failure });
            }
            tracing::warn!(
                cause = %failure, attempt = tried, wait_ms = wait.as_millis() as u64,
                "going back to the last committed epoch"
            );
            self.epochs.rewound();
            let until = Instant::now() + wait;
            while Instant::now() < until && !self.control.drained() {
                std::thread::sleep(Duration::from_millis(10));
            }
            wait = (wait * 2).min(BACKOFF.1);
        }
    }

    fn attempt(&mut self) -> Result<Outcome, Failure> {
        let Plan { pipeline, graph, operators, inputs, engine, .. } = &self.plan;
        let keyed: Vec<&str> = graph.operators.iter().filter(|o| o.key.is_some()).map(|o| o.name.as_str()).collect();
        let asynchronous: Vec<&str> =
            graph.operators.iter().filter(|o| o.asynchronous).map(|o| o.name.as_str()).collect();
        let recovered = self.memory.recover(pipeline, &keyed, &asynchronous, &self.generations)?;
        let epoch = recovered.first;
        let store = &recovered.store.clone();
        let share = pipeline.state.cache_bytes / (keyed.len() * pipeline.dataflow.workers).max(1);
        let mut factories: Vec<OperatorPart<'_>> = Vec::new();
        for (((made, input), node), &index) in operators.iter().zip(inputs).zip(&graph.operators).zip(&self.indexes) {
            let generations = &self.generations;
            let limits = &pipeline.plugins.limits;
            let factory: OperatorFactory<'_> = match made {
                Made::External { binding, stats, hub } => {
                    let start = in_flight(&recovered, &node.name, input)?;
                    factories.push(OperatorPart::Beside(AsyncPart {
                        make: super::nodes::external(binding, stats),
                        order: match binding.config().order {
                            external::Order::Ordered => Order::Ordered,
                            external::Order::Unordered => Order::Unordered,
                            external::Order::Key => Order::Key,
                        },
                        key: binding.key(),
                        waiting: binding.config().waiting,
                        start,
                        stats: Arc::clone(hub),
                    }));
                    continue;
                }
                Made::Inference { binding, .. } => Box::new(move |_| {
                    let opened = binding.open().map_err(|e| e.to_string())?;
                    Ok(Box::new(InferenceNode(opened)) as Box<dyn Operator>)
                }),
                Made::Plugin { config, ports, .. } => Box::new(move |_| {
                    let engine = engine.as_ref().ok_or("there is no plugin host")?;
                    let current = generations.at(index, epoch).ok_or("it has no first generation")?;
                    let plugin = &current.plugin;
                    let runner =
                        Runner::new(engine, Arc::clone(plugin), config, limits, input).map_err(|e| e.to_string())?;
                    let keyed = match (node.key, store) {
                        (Some(column), Some(store)) => {
                            let id = store.operator_id(&config.name).map_err(|e| e.to_string())?;
                            let ttl = plugin.description().state.map_or(0, |s| s.ttl_ms);
                            let cache = SlotCache::new(Arc::clone(store), id, ttl, share);
                            Some(KeyedState { column, cache, hashes: Vec::new(), rows: Vec::new() })
                        }
                        _ => None,
                    };
                    Ok(Box::new(PluginNode {
                        runner,
                        keyed,
                        generations: Arc::clone(generations),
                        index,
                        current,
                        stamp: config
                            .generation_column
                            .as_ref()
                            .map(|_| ports.iter().map(|(_, s)| s.clone()).collect()),
                        outcome: PluginOutcome::default(),
                        broken: None,
                    }) as Box<dyn Operator>)
                }),
            };
            factories.push(OperatorPart::OnWorkers(factory));
        }

        let mut sources: Vec<SourcePart<'_>> = Vec::new();
        let mut bytes = Some(0);
        for config in &pipeline.sources {
            let (rows, bytes_each) = (pipeline.dataflow.batch_rows, pipeline.dataflow.batch_bytes);
            let source = source::open(config, rows, bytes_each, &recovered.consumers)?;
            bytes = bytes.zip(source.total_bytes()).map(|(a, b)| a + b);
            let decoder = || {
                let new =
                    Decoder::new(config.format, &config.schema, config.event_time.as_deref(), config.max_record_bytes);
                new.map(Some).map_err(|e| e.to_string())
            };
            let start = recovered.sources.get(&config.name).cloned().unwrap_or_default();
            sources.push(SourcePart { source, start, decoder: Box::new(decoder) });
        }
        self.input_bytes.store(bytes.unwrap_or(0), Relaxed);
        self.memory.replayable(sources.iter().all(|s| s.source.replayable()));
        let mut sinks = Vec::new();
        for (config, _) in &pipeline.sinks {
            let opened = sink::open(config, recovered.sinks.get(&config.name), &recovered.kafka)?;
            sinks.push((opened, config.format));
        }
        let events = Events::default();
        self.control.attach(events.handle());
        let parts = Parts {
            config: pipeline.dataflow.clone(),
            graph: graph.clone(),
            sources,
            operators: factories,
            sinks,
            epoch,
            stats: Arc::clone(&self.stats),
        };
        let (generations, sender) = (Arc::clone(&self.generations), self.changes.0.clone());
        let (provenance, models) = (Arc::clone(&recovered.kafka.provenance), models(operators));
        memory::tell(&provenance, epoch, &generations, &models);
        let commit = self.memory.commit(recovered, pipeline, &keyed, &self.generations, models.clone())?;
        let settle = move |epoch| {
            let changes = generations.settle(epoch);
            if !changes.is_empty() {
                memory::tell(&provenance, epoch, &generations, &models);
            }
            for change in changes {
                // Nobody listens when there is no progress to show.
                let _ = sender.send(change);
            }
        };
        let network = Network::start(parts, events)?;
        let interval = pipeline.dataflow.checkpoint_interval;
        Coordinator::new(network, commit, Arc::clone(&self.epochs), interval, epoch, settle).run()
    }
}

/// The rows that an operator had in flight when the committed epoch ended.
fn in_flight(recovered: &Recovered, operator: &str, input: &SchemaRef) -> Result<Vec<InFlight>, Failure> {
    let Some(kept) = recovered.in_flight.get(operator) else { return Ok(Vec::new()) };
    let rows = kept.restore(input).map_err(|e| {
        let message = format!(
            "{} rows were in flight when the committed epoch ended, but {e}; give its input those columns back until \
             they are answered, or go back to a savepoint",
            kept.rows
        );
        Failure::new(format!("operator `{operator}`"), message)
    })?;
    tracing::info!(operator, rows = kept.rows, "rows that were in flight are asked for again");
    Ok(rows)
}

/// The model of each inference operator.
fn models(operators: &[Made]) -> BTreeMap<String, ModelState> {
    let state = |made: &Made| match made {
        Made::Plugin { .. } | Made::External { .. } => None,
        Made::Inference { name, binding } => {
            let model = binding.model();
            let (version, sha256) = (model.version().to_owned(), model.sha256().to_owned());
            Some((name.clone(), ModelState { model: model.name().to_owned(), version, sha256 }))
        }
    };
    operators.iter().filter_map(state).collect()
}

/// The thread that puts new generations forward.
struct Watching {
    /// Dropped first: its end ends the thread.
    watch: Option<Watch>,
    thread: Option<JoinHandle<()>>,
}

impl Watching {
    fn start(watch: Watch, generations: &Arc<Generations>, control: &Arc<Control>) -> Result<Self, Failure> {
        let (events, generations, control) = (watch.events().clone(), Arc::clone(generations), Arc::clone(control));
        let body = move || {
            for event in events {
                match event {
                    operator::Event::Generation(new) => {
                        if !generations.propose(&new.plugin).is_empty() {
                            control.request_barrier();
                        }
                    }
                    // The folder has said why; nothing changes.
                    operator::Event::Refused(_) => {}
                }
            }
        };
        let thread = std::thread::Builder::new().name("generations".into()).spawn(body);
        let thread = thread.map_err(|e| Failure::new("thread", e))?;
        Ok(Self { watch: Some(watch), thread: Some(thread) })
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        drop(self.watch.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by its hook.
            let _ = thread.join();
        }
    }
}
