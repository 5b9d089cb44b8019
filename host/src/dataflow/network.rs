//! Builds the threads of a pipeline and the channels between them.
//!
//! Channels have no bound of their own: everything in them holds a ticket of the one budget, which
//! bounds them all (see [`super::budget`]). Threads end by ownership: when the intake and the
//! inboxes are told to stop, workers return and drop their senders, and sinks see the end.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::Config;
use super::budget::Budget;
use super::clock::Clock;
use super::committed::Committed;
use super::endpoint::{Sink, SinkRows, Source, Wants};
use super::events::{Event, Events};
use super::exchange::{Router, Routing};
use super::failure::Failure;
use super::graph::{Graph, Layout, Root};
use super::hub::{AsyncPart, Hub, HubStats};
use super::message::{Part, ToWorker};
use super::node::OperatorFactory;
use super::outlet::{Gathered, Outlet};
use super::partitions::Partitions;
use super::port::{Bounds, Port, PortOutput, Standing};
use super::queue::Queue;
use super::sequencer::Sequencer;
use super::stats::Stats;
use super::worker::{Names, Scratch, StageState, Worker};
use super::writer::Writer;
use crate::codec::{Decoder, Encoder, Format};
use crate::record::Position;

/// Everything that a pipeline is made of.
pub struct Parts<'a> {
    /// Settings.
    pub config: Config,
    /// The shape.
    pub graph: Graph,
    /// One a source.
    pub sources: Vec<SourcePart<'a>>,
    /// One an operator.
    pub operators: Vec<OperatorPart<'a>>,
    /// One a sink: the sink and the layout of its records.
    pub sinks: Vec<(Box<dyn Sink>, Format)>,
    /// First epoch of the run.
    pub epoch: u64,
    /// What is counted.
    pub stats: Arc<Stats>,
}

/// What an operator of the graph is made of.
pub enum OperatorPart<'a> {
    /// One runs on each worker.
    OnWorkers(OperatorFactory<'a>),
    /// One runs beside them; the graph says that it is asynchronous.
    Beside(AsyncPart),
}

/// A source, where it begins, and how each worker decodes it.
pub struct SourcePart<'a> {
    /// The source.
    pub source: Box<dyn Source>,
    /// Positions of the committed epoch; none at the very beginning.
    pub start: Vec<Position>,
    /// How its bytes are decoded.
    pub decoder: DecoderFactory<'a>,
}

/// Makes a worker's decoder of a source; none when the source hands over rows.
pub type DecoderFactory<'a> = Box<dyn FnMut() -> Result<Option<Decoder>, String> + 'a>;

/// A running pipeline, as the coordinator holds it.
pub struct Network {
    pub(crate) ports: Vec<Arc<Port>>,
    bounds: Bounds,
    workers: Vec<Sender<ToWorker>>,
    threads: Vec<JoinHandle<()>>,
    events: Receiver<Event>,
    /// Reports of a barrier that make an epoch complete.
    reports: usize,
    stats: Arc<Stats>,
    committed: Arc<Committed>,
    /// Of the asynchronous operators, in topological order: what is with them, and behind them.
    hubs: Vec<(Arc<HubStats>, Arc<Budget>)>,
}

impl Network {
    /// Starts all threads.
    ///
    /// # Errors
    /// When a part cannot be made; nothing runs then.
    pub fn start(parts: Parts<'_>, events: Events) -> Result<Self, Failure> {
        let Parts { config, graph, mut sources, mut operators, sinks, epoch, stats } = parts;
        let layout = Arc::new(Layout::of(&graph));
        let graph = Arc::new(graph);
        let workers = config.workers.max(1);
        let budget = Budget::new(config.max_in_flight_rows, config.max_in_flight_bytes);
        stats.watch(&budget);
        let bounds = Bounds { budget, queue: Queue::new(&config) };
        let committed = Arc::<Committed>::default();
        let Events(event_sender, event_receiver) = events;
        let (intake_sender, intake) = unbounded();
        let (answer_sender, answers) = unbounded();
        let (hub_senders, hub_receivers): (Vec<_>, Vec<_>) =
            layout.hubs.iter().map(|_| tokio::sync::mpsc::unbounded_channel()).unzip();
        let timed = layout.timed(&graph);
        // Time comes from sources with their out-of-orderness, and from hubs as it is.
        let behind = |lane: usize| match graph.sources.get(lane) {
            Some(source) => source.out_of_orderness,
            None => timed[lane].then_some(Duration::ZERO),
        };
        let (inboxes, inbox_receivers): (Vec<_>, Vec<_>) = (0..workers).map(|_| unbounded()).unzip();
        let (sink_senders, sink_receivers): (Vec<_>, Vec<_>) =
            sinks.iter().map(|_| unbounded::<Part<SinkRows>>()).unzip();
        let names: Vec<Names> = graph
            .sources
            .iter()
            .map(|node| Names { source: node.name.as_str().into(), partitions: Arc::<Partitions>::default() })
            .collect();
        let names = Arc::new(names);

        let mut made = Vec::new();
        for (id, inbox) in inbox_receivers.into_iter().enumerate() {
            let mut decoders = Vec::new();
            for (node, part) in graph.sources.iter().zip(&mut sources) {
                decoders.push((part.decoder)().map_err(|e| Failure::new(format!("source `{}`", node.name), e))?);
            }
            let mut encoders = Vec::new();
            for (node, (_, format)) in graph.sinks.iter().zip(&sinks) {
                let encoder = || Encoder::new(*format, &node.schema, node.fields.as_deref());
                let encoder = (node.wants != Wants::Nothing).then(encoder).transpose();
                encoders.push(encoder.map_err(|e| Failure::new(format!("sink `{}`", node.name), e))?);
            }
            let mut stages = Vec::new();
            for (index, stage) in layout.stages.iter().enumerate() {
                let mut runs = Vec::new();
                for &operator in &stage.operators {
                    let name = &graph.operators[operator].name;
                    let failed = |e: String| Failure::new(format!("operator `{name}`"), e);
                    let OperatorPart::OnWorkers(make) = &mut operators[operator] else {
                        return Err(failed("runs beside the workers, and the graph has it on them".into()));
                    };
                    runs.push((operator, make(id).map_err(failed)?));
                }
                let parts = layout.parts_at_stage(index, workers);
                let behind = |lane: usize| behind(lane).filter(|_| stage.lanes.contains(&lane));
                stages.push(StageState {
                    sequencer: Sequencer::new(&parts),
                    operators: runs,
                    epoch,
                    clock: Clock::new(graph.sources.len(), (0..layout.lanes).map(behind)),
                    asked: false,
                });
            }
            let outlet = Outlet {
                worker: id as u16,
                graph: Arc::clone(&graph),
                names: Arc::clone(&names),
                router: Router::new(Routing::even(workers)),
                encoders,
                peers: inboxes.clone(),
                hubs: hub_senders.clone(),
                sinks: sink_senders.clone(),
                stats: Arc::clone(&stats),
                gathered: Gathered::new(layout.stages.len(), workers, layout.hubs.len(), sinks.len()),
            };
            made.push(Worker {
                graph: Arc::clone(&graph),
                layout: Arc::clone(&layout),
                names: Arc::clone(&names),
                decoders,
                stages,
                outlet,
                intake: intake.clone(),
                answers: answers.clone(),
                inbox,
                events: event_sender.clone(),
                scratch: Scratch::default(),
            });
        }
        drop((sink_senders, hub_senders, intake, answers));
        let mut hubs = Vec::new();
        let mut parts: Vec<Option<OperatorPart<'_>>> = operators.into_iter().map(Some).collect();
        for ((hub, &operator), inbox) in layout.hubs.iter().enumerate().zip(hub_receivers) {
            let name = graph.operators[operator].name.clone();
            let Some(OperatorPart::Beside(part)) = parts[operator].take() else {
                let message = "runs on the workers, and the graph has it beside them";
                return Err(Failure::new(format!("operator `{name}`"), message));
            };
            let expected = layout.parts_at_hub(hub, workers);
            let behind = |lane: usize| behind(lane).filter(|_| expected[lane] > 0);
            hubs.push(Hub {
                operator,
                name,
                lane: (graph.sources.len() + hub) as u16,
                part,
                sequencer: Sequencer::new(&expected),
                clock: Clock::new(graph.sources.len(), (0..layout.lanes).map(behind)),
                names: Arc::clone(&names),
                inbox,
                answers: answer_sender.clone(),
                events: event_sender.clone(),
                budget: Budget::new(config.max_in_flight_rows, config.max_in_flight_bytes),
                epoch,
            });
        }
        drop(answer_sender);

        let keyed = layout.stages.iter().filter(|s| matches!(s.root, Root::Operator(_))).count();
        let fed = |sink: &usize| layout.parts_at_sink(*sink, workers).iter().any(|&p| p > 0);
        let reports = keyed * workers + layout.hubs.len() + (0..sinks.len()).filter(fed).count();

        let mut network = Self {
            ports: Vec::new(),
            bounds: bounds.clone(),
            workers: inboxes,
            threads: Vec::new(),
            events: event_receiver,
            reports,
            stats: Arc::clone(&stats),
            committed: Arc::clone(&committed),
            hubs: hubs.iter().map(|hub| (Arc::clone(&hub.part.stats), Arc::clone(&hub.budget))).collect(),
        };
        for ((index, (sink, format)), inbox) in sinks.into_iter().enumerate().zip(sink_receivers) {
            let node = &graph.sinks[index];
            let encoder = Encoder::new(format, &node.schema, node.fields.as_deref());
            let header = (node.wants != Wants::Nothing).then(|| encoder.map(|e| e.header())).transpose();
            let header = header.map_err(|e| Failure::new(format!("sink `{}`", node.name), e))?;
            let parts = layout.parts_at_sink(index, workers);
            let writer = Writer {
                index,
                sink,
                header: header.flatten(),
                sequencer: Sequencer::new(&parts),
                inbox,
                events: event_sender.clone(),
                stats: Arc::clone(&stats),
                counts_latency: graph.dead_letters != Some(index),
                unflushed: Vec::new(),
                flushed: Instant::now(),
                closed: false,
            };
            network.spawn(format!("sink-{index}"), &event_sender, move || writer.run())?;
        }
        for (id, worker) in made.into_iter().enumerate() {
            network.spawn(format!("worker-{id}"), &event_sender, move || worker.run())?;
        }
        for hub in hubs {
            network.spawn(format!("hub-{}", hub.operator), &event_sender, move || hub.run())?;
        }
        for (index, SourcePart { source, start, .. }) in sources.into_iter().enumerate() {
            let partitions = Arc::clone(&names[index].partitions);
            let (intake, bounds, stats) = (intake_sender.clone(), bounds.clone(), Arc::clone(&stats));
            let port = Port::new(index as u16, intake, bounds, stats, partitions, &start, epoch);
            network.ports.push(Arc::clone(&port));
            let events = event_sender.clone();
            let node = format!("source `{}`", graph.sources[index].name);
            let mut output = PortOutput { port, events: events.clone(), committed: Arc::clone(&committed) };
            let run = move || {
                let caught = std::panic::catch_unwind(AssertUnwindSafe(|| source.run(&start, &mut output)));
                let result =
                    caught.unwrap_or_else(|_| Err(Failure::new(node, "panicked; please report this as a bug")));
                output.end();
                let _ = events.send(Event::SourceDone(index, result));
                Ok(())
            };
            network.spawn(format!("source-{index}"), &event_sender, run)?;
        }
        Ok(network)
    }

    fn spawn(
        &mut self,
        name: String,
        events: &Sender<Event>,
        body: impl FnOnce() -> Result<(), Failure> + Send + 'static,
    ) -> Result<(), Failure> {
        let events = events.clone();
        let node = name.clone();
        let run = move || {
            let caught = std::panic::catch_unwind(AssertUnwindSafe(body));
            let result = caught.unwrap_or_else(|_| Err(Failure::new(node, "panicked; please report this as a bug")));
            if let Err(failure) = result {
                let _ = events.send(Event::Failed(failure));
            }
        };
        let thread = std::thread::Builder::new().name(name).spawn(run);
        self.threads.push(thread.map_err(|e| Failure::new("thread", e))?);
        Ok(())
    }

    /// What the threads report.
    pub fn events(&self) -> &Receiver<Event> {
        &self.events
    }

    /// Reports ([`Event::HandedOver`] and [`Event::Prepared`]) that make an epoch complete.
    pub fn reports(&self) -> usize {
        self.reports
    }

    /// Number of sources.
    pub fn sources(&self) -> usize {
        self.ports.len()
    }

    /// Counters.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// Puts a barrier behind what every source has handed over so far. Returns, by source, the
    /// partitions and where they go on behind the barrier.
    /// Behind the `last` nothing comes: asynchronous operators let it pass when they have answered all.
    pub fn barrier(&self, last: bool) -> Vec<Vec<Standing>> {
        self.ports.iter().map(|p| p.barrier(last)).collect()
    }

    /// Takes nothing from sources for a while, or again. What is in flight goes on.
    pub fn pause(&self, on: bool) {
        self.bounds.budget.pause(on);
    }

    /// Whether rows are on their way to an asynchronous operator, or with it.
    pub fn awaits_answers(&self) -> bool {
        // Rows go downstream, and are counted at the next place before they are not at the last.
        let of_hub = |(stats, budget): &(Arc<HubStats>, Arc<Budget>)| stats.rows() > 0 || budget.rows_in_flight() > 0;
        !self.hubs.is_empty() && (self.bounds.budget.rows_in_flight() > 0 || self.hubs.iter().any(of_hub))
    }

    /// Rows that asynchronous operators have not answered.
    pub fn unanswered(&self) -> u64 {
        self.hubs.iter().map(|(stats, _)| stats.rows()).sum()
    }

    /// Tells sources that an epoch is committed.
    pub fn committed(&self, epoch: u64) {
        self.committed.set(epoch);
    }

    /// Turns away what sources still want to hand over. When this returns, nothing more enters.
    pub fn stop_sources(&self) {
        self.bounds.budget.close();
        self.bounds.queue.close();
        self.ports.iter().for_each(|p| p.stop());
    }

    /// Tells workers that an epoch is in the store.
    pub fn applied(&self, epoch: u64) {
        self.workers.iter().for_each(|w| drop(w.send(ToWorker::Applied(epoch))));
    }

    /// Ends all threads and waits for them; sinks are closed durably. A failure on the way out is
    /// returned.
    ///
    /// # Errors
    /// The first failure that a thread reported.
    pub fn finish(self) -> Result<(), Failure> {
        self.stop_sources();
        self.committed.close();
        self.workers.iter().for_each(|w| drop(w.send(ToWorker::Stop)));
        drop((self.workers, self.ports));
        for thread in self.threads {
            // Panics were caught and reported as events.
            let _ = thread.join();
        }
        let failed = self.events.try_iter().find_map(|e| match e {
            Event::Failed(f) => Some(f),
            _ => None,
        });
        failed.map_or(Ok(()), Err)
    }
}
