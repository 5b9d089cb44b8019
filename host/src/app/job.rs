//! A pipeline that runs: its parts built from a plan, its threads, and the watch on the plugin
//! folder.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::nodes::{InferenceNode, KeyedState, PluginNode};
use super::{Made, Plan};
use crate::codec::Decoder;
use crate::config::Pipeline;
use crate::dataflow::{DecoderFactory, Events, Failure, Handle, Network, Operator, OperatorFactory, Parts, Stats};
use crate::epoch::{Coordinator, Outcome};
use crate::operator::{self, Outcome as PluginOutcome, Runner, Watch};
use crate::rollout::{Change, Generations};
use crate::state::{SlotCache, Store};
use crate::{sink, source};

/// A pipeline whose threads run. It ends with [`Job::run`].
pub struct Job {
    network: Network,
    store: Option<Arc<Store>>,
    interval: Duration,
    epoch: u64,
    handle: Handle,
    stats: Arc<Stats>,
    generations: Arc<Generations>,
    changes: (Sender<Change>, Receiver<Change>),
    input_bytes: Option<u64>,
    watching: Option<Watching>,
}

impl Job {
    /// Builds all parts of a plan and starts them.
    ///
    /// # Errors
    /// When a part cannot be made: a file that cannot be opened, a database that is in use.
    pub fn start(plan: Plan) -> Result<Self, Failure> {
        let users = plan.plugin_users();
        let Plan { pipeline, graph, operators, inputs, engine, folder, .. } = plan;
        let keyed: Vec<&str> = graph.operators.iter().filter(|o| o.key.is_some()).map(|o| o.name.as_str()).collect();
        let store = match keyed.is_empty() {
            true => None,
            false => Some(Store::open(&pipeline.state, &keyed).map_err(|e| Failure::new("state", e))?),
        };
        let epoch = store.as_ref().map_or(0, |s| s.applied_epoch()) + 1;
        let mut generations = Generations::default();
        let indexes: Vec<usize> = operators
            .iter()
            .map(|made| match made {
                Made::Plugin { config, plugin, .. } => generations.add(&config.name, Arc::clone(plugin), epoch),
                Made::Inference(_) => 0,
            })
            .collect();
        let generations = Arc::new(generations);
        let share = pipeline.state.cache_bytes / (keyed.len() * pipeline.dataflow.workers).max(1);
        let mut factories: Vec<OperatorFactory<'_>> = Vec::new();
        for (((made, input), node), index) in operators.iter().zip(&inputs).zip(&graph.operators).zip(indexes) {
            let (store, generations, engine) = (&store, &generations, &engine);
            let limits = &pipeline.plugins.limits;
            factories.push(match made {
                Made::Inference(binding) => Box::new(move |_| {
                    let opened = binding.open().map_err(|e| e.to_string())?;
                    Ok(Box::new(InferenceNode(opened)) as Box<dyn Operator>)
                }),
                Made::Plugin { config, plugin, ports } => Box::new(move |_| {
                    let engine = engine.as_ref().ok_or("there is no plugin host")?;
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
                    let current = generations.at(index, epoch).ok_or("it has no first generation")?;
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
            });
        }

        let (sources, input_bytes) = open_sources(&pipeline)?;
        let mut sinks = Vec::new();
        for (config, _) in &pipeline.sinks {
            sinks.push((sink::open(config)?, config.format));
        }
        let events = Events::default();
        let handle = events.handle();
        let parts = Parts {
            config: pipeline.dataflow.clone(),
            graph: graph.clone(),
            sources,
            operators: factories,
            sinks,
            epoch,
        };
        let network = Network::start(parts, events)?;
        let stats = Arc::clone(network.stats());
        let watching = match folder {
            Some(folder) if pipeline.plugins.watch && !users.is_empty() => {
                let watch = folder.watch(users).map_err(|e| Failure::new("plugin folder", e))?;
                Some(Watching::start(watch, &generations, &handle)?)
            }
            _ => None,
        };
        Ok(Self {
            network,
            store,
            interval: pipeline.dataflow.checkpoint_interval,
            epoch,
            handle,
            stats,
            generations,
            changes: unbounded(),
            input_bytes,
            watching,
        })
    }

    /// A way to stop it from another thread.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Its counters.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// The generations of its plugins.
    pub fn generations(&self) -> &Arc<Generations> {
        &self.generations
    }

    /// Tells of each change of a generation, when it takes over.
    pub fn changes(&self) -> Receiver<Change> {
        self.changes.1.clone()
    }

    /// Bytes of input, when they are known beforehand.
    pub fn input_bytes(&self) -> Option<u64> {
        self.input_bytes
    }

    /// Runs to the end: of the input, on request, or at the first failure.
    ///
    /// # Errors
    /// The failure.
    pub fn run(self) -> Result<Outcome, Failure> {
        let Self { network, store, interval, epoch, generations, changes: (sender, _), watching, .. } = self;
        let settle = |epoch| {
            for change in generations.settle(epoch) {
                // Nobody listens when there is no progress to show.
                let _ = sender.send(change);
            }
        };
        let outcome = Coordinator::new(network, store, interval, epoch, settle).run();
        drop(watching);
        outcome
    }
}

type Sources<'a> = Vec<(Box<dyn source::Source>, DecoderFactory<'a>)>;

fn open_sources(pipeline: &Pipeline) -> Result<(Sources<'_>, Option<u64>), Failure> {
    let mut sources: Sources<'_> = Vec::new();
    let mut bytes = Some(0);
    for config in &pipeline.sources {
        let opened = source::open(config, pipeline.dataflow.batch_rows, pipeline.dataflow.batch_bytes)?;
        bytes = bytes.zip(opened.total_bytes()).map(|(a, b)| a + b);
        let decoder = || {
            let new =
                Decoder::new(config.format, &config.schema, config.event_time.as_deref(), config.max_record_bytes);
            new.map(Some).map_err(|e| e.to_string())
        };
        sources.push((opened, Box::new(decoder)));
    }
    Ok((sources, bytes))
}

/// The thread that puts new generations forward.
struct Watching {
    /// Dropped first: its end ends the thread.
    watch: Option<Watch>,
    thread: Option<JoinHandle<()>>,
}

impl Watching {
    fn start(watch: Watch, generations: &Arc<Generations>, handle: &Handle) -> Result<Self, Failure> {
        let (events, generations, handle) = (watch.events().clone(), Arc::clone(generations), handle.clone());
        let body = move || {
            for event in events {
                match event {
                    operator::Event::Generation(new) => {
                        if !generations.propose(&new.plugin).is_empty() {
                            handle.request_barrier();
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
