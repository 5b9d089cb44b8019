//! A producer that checks every delivery report. The first one that failed is kept, and from then on
//! the producer refuses: what it was given is not all there.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use super::Properties;
use super::error::{Error, Kind};
use super::log::Log;

/// How long the thread that takes reports waits for one: as long it may outlive its producer.
const LOOK: Duration = Duration::from_millis(100);
/// Wait for records that are being sent: a batch of them takes a few milliseconds. Slept, as a poll
/// of the client that is so short turns round without waiting; reports have a thread of their own.
const MOMENT: Duration = Duration::from_millis(1);
/// Longest wait of a flush at-least-once: librdkafka gives up a message by itself after
/// `message.timeout.ms`, and then there is a report.
const FLUSH: Duration = Duration::from_secs(600);

/// A record to be written.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The topic.
    pub topic: &'a str,
    /// Its partition; by the key when none is given.
    pub partition: Option<i32>,
    /// Its key; none for a null key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: &'a [u8],
    /// Names and values of its headers.
    pub headers: &'a [(&'a str, &'a str)],
}

/// A producer, and the thread that takes its delivery reports.
pub struct Producer {
    inner: Arc<BaseProducer<Reports>>,
    node: String,
    brokers: String,
    ended: Arc<AtomicBool>,
}

impl Producer {
    /// An idempotent producer without transactions.
    ///
    /// # Errors
    /// When librdkafka does not take the properties.
    pub fn start(node: &str, identity: &str, client: &Properties) -> Result<Self, Error> {
        let name = node.replace(['`', ' '], "");
        Self::create(node, client, &client.producer(identity, &name, false))
    }

    pub(super) fn create(node: &str, client: &Properties, config: &ClientConfig) -> Result<Self, Error> {
        let failed = |error| Error::of(format_args!("cannot create a producer for {node}"), &error);
        let inner: BaseProducer<Reports> = config.create_with_context(Reports::new(node)).map_err(failed)?;
        let (inner, ended) = (Arc::new(inner), Arc::new(AtomicBool::new(false)));
        let (polled, end) = (inner.clone(), ended.clone());
        let thread = std::thread::Builder::new().name("kafka-reports".into()).spawn(move || {
            while !end.load(Ordering::Relaxed) {
                polled.poll(LOOK);
            }
            // The last one to hold the client destroys it, which may take a moment: not the thread
            // that waits for the pipeline to start again.
        });
        thread.map_err(|error| Error::new(Kind::Stop, format!("cannot start a thread for {node}: {error}")))?;
        Ok(Self { inner, node: node.to_owned(), brokers: client.brokers().to_owned(), ended })
    }

    /// Hands a record over. Waits while the queue is full, until `stopped`.
    ///
    /// # Errors
    /// When it cannot be written, or an earlier one was not.
    pub fn send(&self, record: &Record<'_>, stopped: &dyn Fn() -> bool) -> Result<(), Error> {
        self.send_marked(record, false, stopped)
    }

    /// The same; [`Producer::marked`] then tells at which offset a marked record was written.
    pub(super) fn send_marked(&self, record: &Record<'_>, mark: bool, stopped: &dyn Fn() -> bool) -> Result<(), Error> {
        self.check()?;
        let reports = self.inner.context();
        let lot = reports.lot.load(Ordering::Acquire) % LOTS;
        let waiting = &reports.waiting[lot];
        // Before it is sent, as its report may come at once.
        waiting.fetch_add(1, Ordering::AcqRel);
        let mut next: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(record.topic, 2 * lot + usize::from(mark)).payload(record.value);
        next.key = record.key;
        next.partition = record.partition;
        if !record.headers.is_empty() {
            let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
            for (key, value) in record.headers {
                headers = headers.insert(Header { key, value: Some(value.as_bytes()) });
            }
            next.headers = Some(headers);
        }
        loop {
            match self.inner.send(next) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(Code::QueueFull), again)) => {
                    if stopped() {
                        return Err(self.closed());
                    }
                    std::thread::sleep(MOMENT);
                    self.check()?;
                    next = again;
                }
                Err((error, _)) => {
                    // A failed report is the cause, a refused record its consequence.
                    self.check()?;
                    return Err(self.failed(record.topic, &error));
                }
            }
        }
    }

    /// Waits until every record so far was written, and checks all reports.
    ///
    /// # Errors
    /// When one was not written.
    pub fn flush(&self, stopped: &dyn Fn() -> bool) -> Result<(), Error> {
        self.flush_within(FLUSH, stopped)
    }

    pub(super) fn flush_within(&self, limit: Duration, stopped: &dyn Fn() -> bool) -> Result<(), Error> {
        let since = Instant::now();
        loop {
            // Not a longer one: it would not return before its time was over.
            match self.inner.flush(Duration::ZERO) {
                Ok(()) => return self.check(),
                Err(KafkaError::Flush(Code::OperationTimedOut)) => {}
                Err(error) => return Err(Error::of(format_args!("cannot flush to {}", self.brokers), &error)),
            }
            std::thread::sleep(MOMENT);
            self.check()?;
            if stopped() {
                return Err(self.closed());
            }
            if since.elapsed() >= limit {
                let (count, last) = (self.inner.in_flight_count(), self.inner.context().log.last());
                let message = format!(
                    "{count} records of {} were not taken by {} within {limit:?}{last}; is the broker there?",
                    self.node, self.brokers
                );
                return Err(Error::new(Kind::Rewind, message));
            }
        }
    }

    /// Ends a lot: the records handed over since the one before it. Returns its number.
    pub fn end_lot(&self) -> usize {
        self.inner.context().lot.fetch_add(1, Ordering::AcqRel)
    }

    /// Waits until a lot was written, while records of later ones may follow, and checks all reports.
    ///
    /// # Errors
    /// When one was not written.
    pub fn written(&self, lot: usize, stopped: &dyn Fn() -> bool) -> Result<(), Error> {
        let since = Instant::now();
        let waiting = &self.inner.context().waiting[lot % LOTS];
        while waiting.load(Ordering::Acquire) > 0 {
            self.check()?;
            if stopped() {
                return Err(self.closed());
            }
            if since.elapsed() >= FLUSH {
                let message = format!("{} has not taken all records of {} within {FLUSH:?}", self.brokers, self.node);
                return Err(Error::new(Kind::Rewind, message));
            }
            std::thread::sleep(MOMENT);
        }
        self.check()
    }

    /// The first delivery report that failed.
    ///
    /// # Errors
    /// What it says.
    pub fn check(&self) -> Result<(), Error> {
        let reports = self.inner.context();
        if !reports.failed.load(Ordering::Acquire) {
            return Ok(());
        }
        // After a fatal error all that waits is purged, which would hide the cause.
        if let Some((code, reason)) = self.inner.client().fatal_error() {
            let message = format!("the producer of {} at {} has failed: {reason}", self.node, self.brokers);
            return Err(Error::new(super::error::of_code(code), message));
        }
        let first = reports.first.lock().unwrap_or_else(PoisonError::into_inner);
        first.as_ref().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Offset of the record that was marked, once it was written.
    pub(super) fn marked(&self) -> Option<i64> {
        let offset = self.inner.context().marked.load(Ordering::Acquire);
        (offset >= 0).then_some(offset)
    }

    pub(super) fn inner(&self) -> &Arc<BaseProducer<Reports>> {
        &self.inner
    }

    /// Instead of an error that only says that there was no answer, why there is none.
    pub(super) fn or_refusal(&self, error: Error) -> Error {
        self.inner.context().log.or_refusal(error)
    }

    /// Why it does not come back, for messages of calls that only timed out.
    pub(super) fn last(&self) -> String {
        self.inner.context().log.last()
    }

    fn failed(&self, topic: &str, error: &KafkaError) -> Error {
        Error::of(format_args!("cannot write to topic `{topic}` at {}", self.brokers), error)
    }

    fn closed(&self) -> Error {
        Error::new(Kind::Rewind, format!("the producer of {} was closed", self.node))
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("node", &self.node).finish_non_exhaustive()
    }
}

/// Lots that may wait at a time: one an epoch, and there are at most four under way.
const LOTS: usize = 8;

/// What librdkafka calls back.
pub(super) struct Reports {
    log: Log,
    failed: AtomicBool,
    first: Mutex<Option<Error>>,
    marked: AtomicI64,
    /// The lot that records belong to now, and how many of each have no report yet.
    lot: AtomicUsize,
    waiting: [AtomicUsize; LOTS],
}

impl Reports {
    fn new(node: &str) -> Self {
        Self {
            log: Log::new(node),
            failed: AtomicBool::new(false),
            first: Mutex::default(),
            marked: AtomicI64::new(-1),
            lot: AtomicUsize::new(0),
            waiting: std::array::from_fn(|_| AtomicUsize::new(0)),
        }
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.log.line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.event(&error, reason);
    }
}

impl ProducerContext for Reports {
    /// Twice the place of the record's lot, and 1 more for a marked record.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, mark: usize) {
        match result {
            Ok(message) => {
                if mark % 2 == 1 {
                    self.marked.store(message.offset(), Ordering::Release);
                }
            }
            Err((error, message)) => {
                let partition = match message.partition() {
                    ..0 => String::new(),
                    number => format!("/{number}"),
                };
                let doing = format!("a record was not written to {}{partition}", message.topic());
                let mut failure = Error::of(doing, error);
                // librdkafka has tried for as long as it was told to.
                if failure.kind == Kind::Retry {
                    failure.kind = Kind::Rewind;
                }
                let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert(failure);
                self.failed.store(true, Ordering::Release);
            }
        }
        // After what the report says: who waits for the lot looks for failures then.
        if let Some(waiting) = self.waiting.get(mark / 2) {
            waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }
}
