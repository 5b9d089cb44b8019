//! What a pipeline remembers between attempts and between runs, and the way back to it.
//!
//! Without `[state]` that is nothing. With it: the folder is locked, a run is claimed in checkpoint
//! storage, and each attempt begins by finding the committed epoch (`epoch::recover`). What happens
//! to an epoch then is in `durable.rs`; who decides about it in `decides.rs`; what the protocol calls
//! the state is the database of `database.rs`.

mod database;
mod decides;
mod durable;
mod journal;

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use self::database::Database;
use self::decides::{Decides, KafkaDecides};
use self::durable::{Durable, Parts};
use self::journal::Journal;
use super::control::Control;
use crate::checkpoint::{self, Location, Recorded, Storage};
use crate::config::Pipeline;
use crate::dataflow::Failure;
use crate::epoch::log::{Folder, Log, Options};
use crate::epoch::protocol::{self, Action, History, Summary, fits};
use crate::epoch::{Commit, Committer, EpochLog, EpochRecord, Forget, InFlightRows, LogError, RecoveryError, recover};
use crate::kafka::{Consumers, Transactor};
use crate::record::{Position, SinkState};
use crate::rollout::Generations;
use crate::sink::{KafkaParts, Produced, Provenance};
use crate::state::Store;

/// How long clients of Kafka may take to leave.
const LEAVE: Duration = Duration::from_secs(5);

/// What the caller of a run decides about where it begins.
#[derive(Clone, Debug, Default)]
pub struct Beginning {
    /// Positions and state of parts that the pipeline no longer has are left out instead of refused.
    pub allow_non_restored_state: bool,
    /// The epoch from which to go on, against what the deciders say.
    pub resume_from: Option<u64>,
}

/// Where an attempt begins.
pub(super) struct Recovered {
    /// Number of its first epoch.
    pub first: u64,
    pub store: Option<Arc<Store>>,
    /// By source.
    pub sources: BTreeMap<String, Vec<Position>>,
    /// By sink.
    pub sinks: BTreeMap<String, SinkState>,
    /// By asynchronous operator.
    pub in_flight: BTreeMap<String, InFlightRows>,
    /// What clients of Kafka share.
    pub kafka: KafkaParts,
    pub consumers: Arc<Consumers>,
    committer: Option<Found>,
}

type Found = (Committer<Journal, Decides, Database>, Option<EpochRecord>);

/// What a pipeline remembers.
pub(super) struct Memory {
    beginning: Beginning,
    /// `None` without `[state]`.
    kept: Option<Kept>,
    replayable: bool,
    control: Arc<Control>,
    /// Members of groups, which outlive an attempt's threads.
    consumers: Arc<Consumers>,
}

struct Kept {
    /// Held as long as the run lasts.
    #[expect(dead_code, reason = "held for its lock")]
    lock: File,
    storage: Arc<Storage>,
    /// The run of the last attempt; 0 before the first.
    run: u64,
}

impl Memory {
    /// Locks the state folder.
    pub(super) fn open(pipeline: &Pipeline, beginning: Beginning, control: Arc<Control>) -> Result<Self, Failure> {
        let kept = match pipeline.remembers {
            false => None,
            true => {
                let lock = lock(pipeline)?;
                let storage = Storage::open_or_create(&pipeline.checkpoint.location).map_err(storage_failure)?;
                Some(Kept { lock, storage: Arc::new(storage), run: 0 })
            }
        };
        Ok(Self { beginning, kept, replayable: true, control, consumers: Arc::default() })
    }

    /// Finds the committed epoch, and brings log and state there.
    pub(super) fn recover(
        &mut self,
        pipeline: &Pipeline,
        keyed: &[&str],
        asynchronous: &[&str],
        generations: &Generations,
    ) -> Result<Recovered, Failure> {
        // Those of the attempt before leave first: they would keep partitions that nobody reads.
        self.consumers.close(LEAVE);
        let consumers = Arc::clone(&self.consumers);
        let closed = Arc::<AtomicBool>::default();
        let Some(kept) = &mut self.kept else {
            let provenance = Provenance::new(1);
            let kafka = KafkaParts { transactor: None, provenance, closed };
            let (sources, sinks, in_flight) = Default::default();
            return Ok(Recovered {
                first: 1,
                store: None,
                sources,
                sinks,
                in_flight,
                kafka,
                consumers,
                committer: None,
            });
        };
        let again = kept.run > 0;
        kept.claim(&pipeline.name)?;
        let (storage, run) = (Arc::clone(&kept.storage), kept.run);
        let decision = match pipeline.kafka.producer {
            None => Decides::Log,
            Some(_) => Decides::Kafka(KafkaDecides {
                config: pipeline.kafka.clone(),
                consumers: Arc::clone(&consumers),
                control: Arc::clone(&self.control),
                transactor: None,
                offsets: BTreeMap::new(),
            }),
        };
        let database = Database::new(pipeline, keyed, Arc::clone(&storage));
        database.open_existing().map_err(|e| Failure::new("state", e))?;
        let numbers = database.numbers();
        let open = || Journal::open(pipeline, &storage, run, &numbers);
        let snapshot = |history: &History| newest_snapshot(&storage, &pipeline.name, history);
        let accept = self.beginning.resume_from;
        let place = format!("recovery from {}", storage.location());
        let failed = |error: RecoveryError| {
            let failure = action_failure(&place, error.action());
            // Storage that answered before may do so again.
            if again && matches!(error, RecoveryError::Snapshots(_)) { failure.rewind() } else { failure }
        };
        let (committer, resolution) = recover(decision, open, database, snapshot, accept).map_err(failed)?;
        committer.state.open().map_err(|e| Failure::new("state", e))?;
        let record = match resolution.committed() {
            0 => None,
            committed => Some(record_of(&committer.log, &storage, &pipeline.name, committed)?),
        };
        let (sources, sinks, in_flight) = match &record {
            None => Default::default(),
            Some(record) => {
                let names: Vec<&str> = pipeline.sources.iter().map(|s| s.name.as_str()).collect();
                let sinks: Vec<&str> = pipeline.sinks.iter().map(|(s, _)| s.name.as_str()).collect();
                let parts = protocol::Parts { sources: &names, operators: keyed, asynchronous, sinks: &sinks };
                fits(record, parts, self.beginning.allow_non_restored_state)
                    .map_err(|refusal| Failure::new("recovery", refusal))?;
                for (operator, generation) in &record.generations {
                    generations.go_on(operator, generation.number, &generation.sha256);
                }
                let checksum = committer.log.history().checksum(record.epoch);
                committer.state.remember(record, checksum);
                // Whoever went back means it, whatever the groups were told since.
                let went_back = record.begins_a_history() || accept.is_some();
                consumers.trust_epoch(went_back);
                (record.sources.clone(), record.sinks.clone(), record.in_flight.clone())
            }
        };
        let first = resolution.next();
        tracing::info!(
            run,
            committed = resolution.committed(),
            discarded = resolution.discard().len(),
            first,
            "{}",
            if resolution.committed() == 0 { "beginning" } else { "going on behind the committed epoch" }
        );
        let transactor = committer.decision.transactor();
        if let Some(transactor) = &transactor {
            transactor.begin(first).map_err(|e| decides::failure("kafka", &e))?;
        }
        let kafka = KafkaParts { transactor, provenance: Provenance::new(first), closed };
        let store = committer.state.store();
        let committer = Some((committer, record));
        Ok(Recovered { first, store, sources, sinks, in_flight, kafka, consumers, committer })
    }

    /// What makes the epochs of the attempt durable.
    pub(super) fn commit(
        &self,
        recovered: Recovered,
        pipeline: &Pipeline,
        keyed: &[&str],
        generations: &Arc<Generations>,
        models: BTreeMap<String, crate::epoch::ModelState>,
    ) -> Result<Box<dyn Commit>, Failure> {
        let (Some(kept), Some((committer, last))) = (&self.kept, recovered.committer) else {
            return Ok(Box::new(Forget));
        };
        let parts = Parts {
            sources: pipeline.sources.iter().map(|s| s.name.clone()).collect(),
            sinks: pipeline.sinks.iter().map(|(s, _)| s.name.clone()).collect(),
            operators: pipeline.operators.iter().map(|o| o.name().to_owned()).collect(),
            keyed: keyed.iter().map(|&name| name.to_owned()).collect(),
            generations: Arc::clone(generations),
            models,
            run: kept.run,
            consumers: recovered.consumers,
            kafka: recovered.kafka,
        };
        Ok(Box::new(Durable::new(pipeline, Arc::clone(&kept.storage), committer, last, parts)?))
    }

    /// An epoch was committed: from now on the deciders are believed again.
    pub(super) fn forget_resume(&mut self) {
        self.beginning.resume_from = None;
    }

    /// The members of groups, for how far they are behind.
    pub(super) fn consumers(&self) -> &Arc<Consumers> {
        &self.consumers
    }

    /// Whether all sources can begin again in their middle.
    pub(super) fn replayable(&mut self, all: bool) {
        self.replayable = all;
    }

    /// Whether an attempt can begin where the last one had got to.
    pub(super) fn can_rewind(&self) -> bool {
        self.kept.is_some() && self.replayable
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.consumers.close(LEAVE);
    }
}

impl Kept {
    /// A number of its own for each attempt; another host that took one meanwhile has taken over.
    fn claim(&mut self, pipeline: &str) -> Result<(), Failure> {
        if self.run > 0 {
            // Storage that answered before may do so again.
            let newest = checkpoint::newest_run(&self.storage).map_err(|e| storage_failure(e).rewind())?;
            if newest > self.run {
                return Err(taken_over(&self.storage, self.run, newest));
            }
        }
        let failed = |e| match self.run {
            0 => storage_failure(e),
            _ => storage_failure(e).rewind(),
        };
        self.run = checkpoint::claim_run(&self.storage, pipeline).map_err(failed)?.run;
        Ok(())
    }
}

/// Says what produces an epoch and those after it, for sinks that write it beside each record.
pub(super) fn tell(
    provenance: &Provenance,
    epoch: u64,
    generations: &Generations,
    models: &BTreeMap<String, crate::epoch::ModelState>,
) {
    let mut produced = Produced::default();
    for (operator, generation) in generations.running(epoch) {
        produced.generation(&operator, generation.number.into(), &generation.plugin.sha256().to_string());
    }
    for (operator, m) in models {
        produced.model(operator, &m.model, &m.version, &m.sha256);
    }
    provenance.set(epoch, produced);
}

fn taken_over(storage: &Storage, run: u64, newest: u64) -> Failure {
    let place = storage.location();
    let message = format!(
        "run {newest} has begun in {place} while this is run {run}: another host with the same pipeline took over"
    );
    Failure::new("checkpoint storage", message).fenced()
}

/// Nobody else may use the state folder while this run lasts.
fn lock(pipeline: &Pipeline) -> Result<File, Failure> {
    let folder = &pipeline.state.path;
    let failed = |e: std::io::Error| {
        Failure::new("state", format!("the state folder {} cannot be used: {e}; check `state.path`", folder.display()))
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let file = File::options().create(true).truncate(false).write(true).open(folder.join("LOCK")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let path = folder.clone();
            Err(Failure::new("state", crate::state::Error::Locked { path }))
        }
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// The snapshot from which the state could come, when the database is gone.
fn newest_snapshot(storage: &Storage, pipeline: &str, history: &History) -> Result<Option<Summary>, String> {
    let fits = |m: &checkpoint::Manifest| match history.get(m.epoch) {
        Some(record) => record.checksum == m.record_checksum,
        None => history.records.is_empty() || m.epoch == history.base,
    };
    // Of each epoch that a snapshot holds the log had a record.
    let last = checkpoint::newest_snapshot(storage, pipeline, |_| true).map_err(|e| e.to_string())?;
    if let Some(last) = last.filter(|last| last.epoch > history.newest && history.newest > 0) {
        return Err(format!(
            "the epoch log has lost its end: it goes to epoch {}, and there is a snapshot of epoch {}; put the missing \
             segments back, or go back to a savepoint (`millstream savepoint restore PIPELINE NAME --replace`)",
            history.newest, last.epoch
        ));
    }
    let newest = checkpoint::newest_snapshot(storage, pipeline, fits).map_err(|e| e.to_string())?;
    let Some(manifest) = newest else { return Ok(None) };
    let record = header(&manifest)?;
    Ok(Some(Summary::new(&record, manifest.record_checksum, history.checksum(record.parent))))
}

fn header(manifest: &checkpoint::Manifest) -> Result<EpochRecord, String> {
    let unreadable = |e| format!("the snapshot of epoch {} has a record that cannot be read: {e}", manifest.epoch);
    serde_json::from_value(manifest.record.clone()).map_err(unreadable)
}

/// The record of the committed epoch: from the log, or else from its snapshot.
fn record_of(log: &Journal, storage: &Storage, pipeline: &str, committed: u64) -> Result<EpochRecord, Failure> {
    match log.read(committed) {
        Ok((record, _)) => Ok(record),
        Err(LogError::Unknown { .. }) => {
            let of = |m: &checkpoint::Manifest| m.epoch == committed;
            let manifest = checkpoint::newest_snapshot(storage, pipeline, of).map_err(storage_failure)?;
            let missing = || Failure::new("recovery", format!("there is no record of the committed epoch {committed}"));
            header(&manifest.ok_or_else(missing)?).map_err(|e| Failure::new("recovery", e))
        }
        Err(error) => Err(Failure::new("epoch log", error)),
    }
}

/// What an action of the protocol is to the pipeline.
fn action_failure(node: &str, action: Action) -> Failure {
    match action {
        Action::Retry(reason) | Action::Rewind(reason) => Failure::new(node, reason).rewind(),
        Action::Stop(reason) => Failure::new(node, reason),
        Action::Exit(reason) => Failure::new(node, reason).fenced(),
    }
}

fn storage_failure(error: checkpoint::Error) -> Failure {
    let superseded = matches!(error, checkpoint::Error::Superseded { .. });
    let failure = Failure::new("checkpoint storage", error);
    if superseded { failure.fenced() } else { failure }
}

/// The folder of the log's segments: in checkpoint storage that is a folder, else beside the state.
fn log_folder(pipeline: &Pipeline) -> std::path::PathBuf {
    match &pipeline.checkpoint.location {
        Location::Folder(folder) => folder.join("log"),
        Location::S3 { .. } => pipeline.state.path.join("log"),
    }
}
