//! Runs a pipeline and reports what it did.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Control, Error, Job, Options, RestoreOptions, plan, process, restore_savepoint};
use crate::admin;
use crate::config::Pipeline;
use crate::dataflow::Stats;
use crate::epoch::Outcome;
use crate::inference::external::PredictionSource;
use crate::inference::http::ErrorClass;
use crate::progress::Progress;
use crate::report::{GenerationReport, InferenceReport, Latency, Report, SinkReport};
use crate::rollout::{Change, Generations};
use crate::sink::Connector;

/// How often the progress line's counters are brought up to date.
const REFRESH: Duration = Duration::from_millis(100);

/// Runs a pipeline to the end of its input or a signal.
///
/// # Errors
/// When it cannot start, or fails.
pub fn run(pipeline: Pipeline, options: Options) -> Result<Report, Error> {
    let signals = Signals::watch()?;
    // Named places at which tests end the process; nothing without the variable.
    let _crash_points = std::env::var_os("FAILPOINTS").map(|_| fail::FailScenario::setup());
    let started = process::started();
    let begun = Instant::now();
    let sinks: Vec<_> = pipeline.sinks.iter().map(|(config, _)| config.clone()).collect();
    let dead_letters = pipeline.dead_letters.as_ref().and_then(|n| sinks.iter().position(|s| &s.name == n));
    let name = pipeline.name.clone();
    let is_kafka = |s: &&crate::source::Config| matches!(s.connector, crate::source::Connector::Kafka(_));
    let kafka_sources: Vec<String> = pipeline.sources.iter().filter(is_kafka).map(|s| s.name.clone()).collect();
    let admin = pipeline.admin;
    if let Some(savepoint) = &options.savepoint {
        let allow_non_restored_state = options.beginning.allow_non_restored_state;
        let how = RestoreOptions { allow_non_restored_state, once: true, replace: false };
        let restored = restore_savepoint(&pipeline, savepoint, how)?;
        tracing::info!(savepoint, epoch = restored.epoch, slots = restored.slots, "beginning with a savepoint");
    }
    let plan = plan(pipeline).map_err(Error::Check)?;
    let job = Job::new(plan, options.beginning)?;
    signals.drain(job.control())?;
    let (stats, generations, changes) = (Arc::clone(job.stats()), Arc::clone(job.generations()), job.changes());
    let (epochs, input_bytes) = (Arc::clone(job.epochs()), job.input_bytes());
    let inference = job.inference();
    let progress = options.progress;
    if let Some(admin) = &admin {
        let names = sinks.iter().map(|s| s.name.clone()).collect();
        admin::start(admin, look(name.clone(), names, kafka_sources, &job)).map_err(Error::Failed)?;
    }

    let (done, finished) = bounded::<()>(0);
    let outcome = std::thread::scope(|scope| {
        let follower = Follower {
            stats: &stats,
            input_bytes: &input_bytes,
            progress: &progress,
            sinks: sinks.len(),
            dead_letters,
        };
        scope.spawn(move || follower.run(&changes, &finished));
        let outcome = job.run();
        drop::<Sender<()>>(done);
        outcome
    });
    let outcome = outcome?;

    let elapsed = begun.elapsed().as_secs_f64();
    let rows_in = stats.rows_in();
    let report = |(index, sink): (usize, &crate::sink::Config)| SinkReport {
        name: sink.name.clone(),
        rows: stats.rows_out(index),
        bytes: stats.bytes_out(index),
        path: match &sink.connector {
            Connector::File { path, .. } => Some(path.clone()),
            _ => None,
        },
    };
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    Ok(Report {
        pipeline: name,
        stopped: outcome == Outcome::Drained,
        rows_in,
        bytes_in: stats.bytes_in(),
        sinks: sinks.iter().enumerate().map(report).collect(),
        dead_lettered: stats.dead_letters(),
        generations: generation_reports(&generations),
        inference: inference.iter().map(inference_report).collect(),
        epochs: stats.epochs(),
        epoch: epochs.summary(),
        elapsed_seconds: elapsed,
        rows_per_second: rows_in as f64 / elapsed.max(1e-9),
        latency: latency(&stats),
        first_row_ms: stats.first_out().map(|d| ms(stats.started.saturating_duration_since(started) + d)),
        longest_gap_ms: ms(stats.longest_gap()),
        cpu_seconds_per_row: process::cpu_seconds() / (rows_in as f64).max(1.0),
        peak_memory_bytes: process::peak_memory(),
    })
}

/// How the run is doing, for the admin server.
fn look(pipeline: String, sinks: Vec<String>, sources: Vec<String>, job: &Job) -> admin::Look {
    let lag: Vec<_> = sources.into_iter().map(|name| (job.consumers().lag(&name), name)).collect();
    let (stats, epochs, generations) =
        (Arc::clone(job.stats()), Arc::clone(job.epochs()), Arc::clone(job.generations()));
    let (control, inference) = (job.control(), job.inference());
    Arc::new(move || admin::Facts {
        inference: inference.clone(),
        pipeline: pipeline.clone(),
        running: control.running(),
        rows_in: stats.rows_in(),
        bytes_in: stats.bytes_in(),
        in_flight: stats.in_flight(),
        dead_letters: stats.dead_letters(),
        latency: stats.latency(),
        sinks: sinks
            .iter()
            .enumerate()
            .map(|(index, name)| admin::SinkFacts {
                name: name.clone(),
                rows: stats.rows_out(index),
                bytes: stats.bytes_out(index),
            })
            .collect(),
        epochs: epochs.summary(),
        generations: generations
            .all()
            .into_iter()
            .filter_map(|(operator, generations)| {
                let newest = generations.last()?;
                Some(admin::Generation {
                    operator,
                    number: newest.number.into(),
                    version: newest.plugin.description().version.clone(),
                    sha256: newest.plugin.sha256().to_string(),
                })
            })
            .collect(),
        lag: lag
            .iter()
            .flat_map(|(lag, source)| {
                lag.partitions().into_iter().filter_map(|p| {
                    let (source, partition) = (source.clone(), p.partition.to_string());
                    Some(admin::Lag { source, partition, records: p.rows? })
                })
            })
            .collect(),
    })
}

fn latency(stats: &Stats) -> Option<Latency> {
    let l = stats.latency();
    (l.max_us > 0).then_some(Latency {
        p50_us: l.p50_us as f64,
        p90_us: l.p90_us as f64,
        p99_us: l.p99_us as f64,
        max_us: l.max_us as f64,
    })
}

fn inference_report(of: &admin::Inference) -> InferenceReport {
    let (stats, hub) = (&of.stats, &of.hub);
    let some = |(_, count): &(String, u64)| *count > 0;
    let sources = PredictionSource::ALL.into_iter().map(|s| (s.as_str().to_owned(), stats.rows(s)));
    let failed = |class| stats.endpoints.iter().map(|e| e.failures(class)).sum::<u64>();
    let failures = ErrorClass::ALL.into_iter().map(|c| (c.as_str().to_owned(), failed(c)));
    let calls: u64 = stats.endpoints.iter().map(|e| e.latency_us.count()).sum();
    let us: u64 = stats.endpoints.iter().map(|e| e.latency_us.sum()).sum();
    InferenceReport {
        operator: of.operator.clone(),
        rows: sources.filter(some).collect(),
        rejected: stats.rejected.load(Relaxed),
        requests: stats.endpoints.iter().map(|e| e.requests.load(Relaxed)).sum(),
        failures: failures.filter(some).collect(),
        retries: stats.retries.load(Relaxed),
        hedges: stats.hedges.load(Relaxed),
        mean_call_us: (calls > 0).then(|| us as f64 / calls as f64),
        full_seconds: hub.full_ns.load(Relaxed) as f64 / 1e9,
        restored: hub.restored.load(Relaxed),
    }
}

fn generation_reports(generations: &Generations) -> Vec<GenerationReport> {
    let mut reports = Vec::new();
    for (operator, generations) in generations.all() {
        for generation in generations {
            reports.push(GenerationReport {
                operator: operator.clone(),
                generation: u64::from(generation.number),
                version: generation.plugin.description().version.clone(),
                sha256: generation.plugin.sha256().to_string(),
                since_epoch: generation.from_epoch,
                rows: generation.rows(),
                counters: generation.counters().into_iter().collect(),
            });
        }
    }
    reports
}

/// Carries the run's counters to whoever shows them.
struct Follower<'a> {
    stats: &'a Stats,
    input_bytes: &'a AtomicU64,
    progress: &'a Progress,
    sinks: usize,
    dead_letters: Option<usize>,
}

impl Follower<'_> {
    fn run(&self, changes: &Receiver<Change>, finished: &Receiver<()>) {
        loop {
            select! {
                recv(changes) -> change => match change {
                    Ok(change) => self.tell(&change),
                    Err(_) => break,
                },
                recv(finished) -> _ => break,
                default(REFRESH) => {}
            }
            self.refresh();
        }
        changes.try_iter().for_each(|c| self.tell(&c));
        self.refresh();
    }

    fn tell(&self, change: &Change) {
        let generation = &change.generation;
        let plugin = generation.plugin.label();
        self.progress.event(format!(
            "{}: generation {} since epoch {}: {plugin}",
            change.operator, generation.number, generation.from_epoch
        ));
    }

    fn refresh(&self) {
        let (stats, progress) = (self.stats, self.progress);
        let out = (0..self.sinks).filter(|s| Some(*s) != self.dead_letters).map(|s| stats.rows_out(s)).sum();
        let latency = stats.latency();
        progress.total_bytes.store(self.input_bytes.load(Relaxed), Relaxed);
        progress.rows_in.store(stats.rows_in(), Relaxed);
        progress.bytes_in.store(stats.bytes_in(), Relaxed);
        progress.rows_out.store(out, Relaxed);
        progress.dead_letters.store(stats.dead_letters(), Relaxed);
        progress.p50_us.store(latency.p50_us, Relaxed);
        progress.p99_us.store(latency.p99_us, Relaxed);
        progress.in_flight.store(stats.in_flight(), Relaxed);
    }
}

/// SIGINT and SIGTERM, watched from the first moment on: one that comes while the pipeline is being
/// built drains it as soon as it runs.
struct Signals {
    runtime: tokio::runtime::Runtime,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn watch() -> Result<Self, Error> {
        let failed = |e: std::io::Error| Error::Failed(format!("signals cannot be watched: {e}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let watch = async { Ok((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)) };
        let (interrupt, terminate) = runtime.block_on(watch).map_err(failed)?;
        Ok(Self { runtime, interrupt, terminate })
    }

    /// The first signal drains; a second one gives up at once.
    fn drain(self, control: Arc<Control>) -> Result<(), Error> {
        let Self { runtime, mut interrupt, mut terminate } = self;
        let body = move || {
            runtime.block_on(async move {
                for times in 0.. {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                    }
                    if times > 0 {
                        tracing::error!("stopped by a second signal; what was in flight is lost");
                        std::process::exit(1);
                    }
                    tracing::info!("stopping: finishing what is in flight");
                    control.drain();
                }
            });
        };
        // It ends with the process.
        let thread = std::thread::Builder::new().name("signals".into()).spawn(body);
        thread.map(drop).map_err(|e| Error::Failed(format!("signals cannot be watched: {e}")))
    }
}
