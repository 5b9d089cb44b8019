//! The one transactional producer of a pipeline. Its transaction is the decision about an epoch: the
//! outputs of all exactly-once sinks, the offsets of the sources and the pointer to the epoch's
//! record are there together, or not at all.
//!
//! ```text
//! start   create the pointer topic, init_transactions (fences an older process), sentinel, read
//! begin   the transaction of an epoch is open: sinks that wait in `enter` go on
//! commit  flush, pointer, send_offsets for each group, commit_transaction
//! ```
//!
//! There is one transaction at a time: sinks that are an epoch ahead wait until the one before was
//! committed. A transaction that failed is never aborted by hand, and a producer that saw an error
//! never used again: the caller drops it and starts a new one, and the pointer tells what happened.
//! Nothing waits for ever: calls are made in short slices that [`Transactor::close`] interrupts, and
//! the commit runs on a thread of its own, in case librdkafka does not come back at all.
//!
//! Known residue: librdkafka does not speak the second version of the transaction protocol
//! (KIP-890). A commit request that was delayed in the network across a failover could meet the
//! next transaction of the same producer. A new producer after every doubt makes that as unlikely
//! as it can be made from here.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::producer::Producer as _;

use super::consumers::GroupOffsets;
use super::error::{Error, Kind, classify, code};
use super::pointer::{self, Until};
use super::{Config, Consumers, Pointer, Producer, Record, consumer, topic};
use crate::record::Position;

/// Length of one call of librdkafka that waits for a broker; it goes on in the next one.
const SLICE: Duration = Duration::from_millis(200);
/// Pause before something is tried again that failed at once.
const PAUSE: Duration = Duration::from_millis(500);
/// How often a wait is told of, and how long a refusal (of a password, of a certificate) has to last
/// to be believed.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the watchdog allows a commit beyond its timeout to find out by itself.
const GRACE: Duration = Duration::from_secs(15);

/// What became of an epoch's transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was committed.
    Committed,
    /// It was not, and will not be: drop the transactor, rewind.
    Aborted(String),
    /// Nobody knows: drop the transactor, start another, and go where the pointer says.
    Uncertain(String),
    /// Another process has taken over: end.
    Fenced(String),
}

/// The transactional producer.
#[derive(Debug)]
pub struct Transactor {
    config: Config,
    process: String,
    producer: Producer,
    closed: AtomicBool,
    open: Mutex<Open>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Open {
    /// The epoch whose records are taken.
    epoch: Option<u64>,
    /// Whether a transaction was begun; one without records serves the next epoch.
    begun: bool,
}

impl Transactor {
    /// Takes over from whoever wrote under this transactional id before, and tells what that one
    /// committed last. Waits for a broker that is not there, until `stopped`.
    ///
    /// # Errors
    /// When a person has to change something, when another process took over meanwhile, or `stopped`.
    pub fn start(config: &Config, stopped: &dyn Fn() -> bool) -> Result<(Arc<Self>, Pointer), Error> {
        Self::start_as(this_process(), config, stopped)
    }

    pub(super) fn start_as(
        process: &str,
        config: &Config,
        stopped: &dyn Fn() -> bool,
    ) -> Result<(Arc<Self>, Pointer), Error> {
        let mut told: Option<Instant> = None;
        loop {
            match Self::attempt(process, config, stopped) {
                Err(error) if matches!(error.kind, Kind::Retry | Kind::Rewind) && !stopped() => {
                    if told.is_none_or(|told| told.elapsed() >= PATIENCE) {
                        told = Some(Instant::now());
                        tracing::warn!(%error, "cannot begin to write transactions yet");
                    }
                    wait(PAUSE, stopped);
                }
                done => return done,
            }
        }
    }

    fn attempt(process: &str, config: &Config, stopped: &dyn Fn() -> bool) -> Result<(Arc<Self>, Pointer), Error> {
        let Some(client) = &config.producer else {
            return Err(Error::new(Kind::Stop, "no sink writes transactions"));
        };
        topic::ensure(config)?;
        let id = &config.transactional_id;
        let producer = Producer::create("the exactly-once sinks", client, &client.producer(id, "sinks", true))?;
        let transactor = Self {
            config: config.clone(),
            process: process.to_owned(),
            producer,
            closed: AtomicBool::new(false),
            open: Mutex::default(),
            changed: Condvar::new(),
        };
        transactor.init(stopped)?;
        let sentinel = transactor.write_sentinel(stopped)?;
        let history = pointer::history(config, Until::Seen(sentinel), stopped)?;
        Ok((Arc::new(transactor), history.pointer))
    }

    /// Fences older processes, and decides what they left open.
    fn init(&self, stopped: &dyn Fn() -> bool) -> Result<(), Error> {
        let (mut told, mut refused) = (Instant::now(), None::<Instant>);
        loop {
            let error = match self.producer.inner().init_transactions(SLICE) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let described = self.failed("begin to write transactions", &error);
            if stopped() || !is_retriable(&error) {
                return Err(described);
            }
            match classify(&error) {
                Kind::Stop | Kind::Fenced if refused.get_or_insert_with(Instant::now).elapsed() >= PATIENCE => {
                    return Err(described);
                }
                Kind::Stop | Kind::Fenced => {}
                _ => refused = None,
            }
            if told.elapsed() >= PATIENCE {
                told = Instant::now();
                tracing::warn!(error = %described, "cannot begin to write transactions yet");
            }
            if code(&error) != Code::OperationTimedOut {
                wait(SLICE, stopped);
            }
        }
    }

    /// Writes the sentinel in a transaction of its own, and tells its offset.
    fn write_sentinel(&self, stopped: &dyn Fn() -> bool) -> Result<i64, Error> {
        let inner = self.producer.inner();
        inner.begin_transaction().map_err(|error| self.failed("begin a transaction", &error))?;
        let key = pointer::sentinel_key(&self.config.transactional_id);
        let value = pointer::sentinel(&self.process);
        self.producer.send_marked(&self.pointer_record(key.as_bytes(), &value), true, stopped)?;
        let limit = self.config.commit_timeout();
        self.producer.flush_within(limit, stopped)?;
        let committed = sliced(limit, stopped, |slice| inner.commit_transaction(slice));
        committed.map_err(|error| self.failed("commit a transaction", &error))?;
        let unknown = || {
            Error::new(
                Kind::Rewind,
                format!("the broker did not say where in `{}` it wrote", self.config.pointer_topic),
            )
        };
        self.producer.marked().ok_or_else(unknown)
    }

    /// Opens the transaction of an epoch: everything before it is committed, or had nothing to
    /// commit.
    ///
    /// # Errors
    /// When the producer has failed.
    pub fn begin(&self, epoch: u64) -> Result<(), Error> {
        let mut open = self.open();
        if !open.begun {
            let begun = self.producer.inner().begin_transaction();
            begun.map_err(|error| self.failed("begin a transaction", &error))?;
            open.begun = true;
        }
        open.epoch = Some(epoch);
        self.changed.notify_all();
        Ok(())
    }

    /// Waits until the transaction of the epoch behind `prepared` is open, and tells which epoch
    /// that is; it stays open until the caller has prepared it. `prepared` is the newest epoch that
    /// the caller has prepared, if any.
    ///
    /// # Errors
    /// When the transactor is closed.
    pub fn enter(&self, prepared: Option<u64>) -> Result<u64, Error> {
        let mut open = self.open();
        loop {
            if self.is_closed() {
                return Err(Error::new(Kind::Rewind, "the transactional producer was closed"));
            }
            if let Some(epoch) = open.epoch.filter(|epoch| prepared.is_none_or(|prepared| *epoch > prepared)) {
                return Ok(epoch);
            }
            open = self.changed.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Hands over a record of the epoch that was entered. Waits while the queue is full.
    ///
    /// # Errors
    /// When it cannot be written, an earlier one was not, or the transactor is closed.
    pub fn produce(&self, record: &Record<'_>) -> Result<(), Error> {
        self.producer.send(record, &|| self.is_closed()).map_err(|error| self.explain(error))
    }

    /// Waits until all records so far are with the broker, as a part of the open transaction.
    ///
    /// # Errors
    /// When one could not be written, or that takes longer than a commit may.
    pub fn flushed(&self) -> Result<(), Error> {
        let flushed = self.producer.flush_within(self.config.commit_timeout(), &|| self.is_closed());
        flushed.map_err(|error| self.explain(error))
    }

    /// Commits the epoch whose transaction is open: `positions` are those of all sources, by name.
    /// Returns within the commit timeout and a little, or soon after [`Transactor::close`].
    pub fn commit(
        self: &Arc<Self>,
        epoch: u64,
        run: u64,
        checksum: u32,
        positions: &BTreeMap<String, Vec<Position>>,
        consumers: &Consumers,
    ) -> Outcome {
        {
            let mut open = self.open();
            if open.epoch != Some(epoch) || !open.begun {
                return Outcome::Aborted(format!("epoch {epoch} has no open transaction"));
            }
            // Whatever comes of it, no record of the next epoch may get in.
            open.epoch = None;
        }
        let groups = match consumers.offsets(positions) {
            Ok(groups) => groups,
            Err(error) => return Outcome::Aborted(error.message),
        };
        let value = pointer::encode(epoch, run, checksum, positions);
        let transactor = self.clone();
        let outcome = self.watched(move || transactor.write_commit(&value, &groups));
        let outcome = outcome.unwrap_or_else(|| {
            let brokers = self.config.producer.as_ref().map_or("", |client| client.brokers());
            Outcome::Uncertain(format!("the commit at {brokers} did not end in time{}", self.producer.last()))
        });
        if outcome == Outcome::Committed {
            self.open().begun = false;
        }
        outcome
    }

    /// Everything that belongs to the commit, in its order.
    fn write_commit(&self, pointer: &[u8], groups: &[GroupOffsets]) -> Outcome {
        let limit = self.config.commit_timeout();
        let (inner, stopped) = (self.producer.inner(), || self.is_closed());
        let prepared = || -> Result<(), Error> {
            self.producer.send(&self.pointer_record(self.config.transactional_id.as_bytes(), pointer), &stopped)?;
            self.producer.flush_within(limit, &stopped)?;
            for group in groups {
                let doing = format!("add the offsets of source `{}` to the transaction", group.source);
                let failed = |error| self.failed(&doing, &error);
                let list = consumer::list(group.offsets.iter().map(|(partition, next)| (partition, Some(*next))));
                let list = list.map_err(failed)?;
                // Not resumable like the other calls: each try has the whole time.
                let added =
                    sliced(limit, &stopped, |_| inner.send_offsets_to_transaction(&list, &group.metadata, limit));
                added.map_err(failed)?;
            }
            Ok(())
        };
        // Until here nobody has asked for a commit, so there is none.
        if let Err(error) = prepared() {
            let error = self.explain(error);
            return match error.kind {
                Kind::Fenced => Outcome::Fenced(error.message),
                _ => Outcome::Aborted(error.message),
            };
        }
        let Err(error) = sliced(limit, &stopped, |slice| inner.commit_transaction(slice)) else {
            return Outcome::Committed;
        };
        let is_abort = matches!(&error, KafkaError::Transaction(error) if error.txn_requires_abort());
        let error = self.explain(self.failed("commit the epoch", &error));
        match error.kind {
            Kind::Fenced => Outcome::Fenced(error.message),
            _ if is_abort => Outcome::Aborted(error.message),
            _ => Outcome::Uncertain(error.message),
        }
    }

    /// Ends all waiting. The broker forgets an open transaction when the next producer starts.
    pub fn close(&self) {
        let _open = self.open();
        self.closed.store(true, Ordering::SeqCst);
        self.changed.notify_all();
    }

    /// A broker says "fenced" also of a producer whose transaction it gave up for its age. Only when
    /// the topic shows another process was this one really replaced.
    fn explain(&self, error: Error) -> Error {
        if error.kind != Kind::Fenced {
            return error;
        }
        let since = Instant::now();
        let history = pointer::history(&self.config, Until::End, &|| self.is_closed() || since.elapsed() >= PATIENCE);
        match history {
            Ok(history) if history.process.as_ref().is_some_and(|process| *process != self.process) => {
                let id = &self.config.transactional_id;
                let message = format!(
                    "{}; another process writes under the transactional id `{id}` now; run one process of this \
                     pipeline, or give each its own `[kafka] transactional_id`",
                    error.message
                );
                Error::new(Kind::Fenced, message)
            }
            _ => {
                let message = format!(
                    "{}; no other process has written, so the broker gave up the transaction for its age \
                     (transaction.timeout.ms = {})",
                    error.message,
                    self.config.commit_timeout().as_millis()
                );
                Error::new(Kind::Rewind, message)
            }
        }
    }

    /// Runs `f` on a thread of its own and waits for it, but not longer than a commit may take, and
    /// not when closed. The thread is then left behind, with the producer that hangs.
    fn watched<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new().name("kafka-commit".into()).spawn(move || {
            // Nobody may wait for it any more.
            let _ = sender.send(f());
        });
        if let Err(error) = thread {
            tracing::error!(%error, "cannot start a thread for a commit");
            return None;
        }
        let limit = self.config.commit_timeout() + GRACE;
        let since = Instant::now();
        loop {
            match receiver.recv_timeout(SLICE) {
                Ok(done) => return Some(done),
                Err(RecvTimeoutError::Timeout) if !self.is_closed() && since.elapsed() < limit => {}
                Err(_) => return None,
            }
        }
    }

    fn pointer_record<'a>(&'a self, key: &'a [u8], value: &'a [u8]) -> Record<'a> {
        Record { topic: &self.config.pointer_topic, partition: Some(0), key: Some(key), value, headers: &[] }
    }

    fn failed(&self, doing: &str, error: &KafkaError) -> Error {
        let brokers = self.config.producer.as_ref().map_or("", |client| client.brokers());
        let last = if code(error) == Code::OperationTimedOut { self.producer.last() } else { String::new() };
        let id = &self.config.transactional_id;
        Error::of(format_args!("transactional id `{id}` cannot {doing} at {brokers}{last}"), error)
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a call that can be resumed in slices, until it is done, fails for good, or `stopped`.
fn sliced(
    limit: Duration,
    stopped: &dyn Fn() -> bool,
    mut call: impl FnMut(Duration) -> KafkaResult<()>,
) -> KafkaResult<()> {
    let since = Instant::now();
    loop {
        let error = match call(SLICE) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if !is_retriable(&error) || stopped() || since.elapsed() >= limit {
            return Err(error);
        }
        if code(&error) != Code::OperationTimedOut {
            wait(SLICE, stopped);
        }
    }
}

/// Whether the same call may be made again.
fn is_retriable(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.is_retriable() && !error.is_fatal(),
        // The flush before a commit.
        KafkaError::Flush(code) => *code == Code::OperationTimedOut,
        _ => false,
    }
}

fn wait(pause: Duration, stopped: &dyn Fn() -> bool) {
    let since = Instant::now();
    while since.elapsed() < pause && !stopped() {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A name that no other process has, and that all transactors of this one share.
fn this_process() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        format!("{}-{started:x}", std::process::id())
    })
}
