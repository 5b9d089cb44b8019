//! What an operator may ask and tell beside its rows: time, key, log, counters.

use std::cell::Cell;

/// The host's side of a context: the imports of a plugin, or the test harness.
pub trait Host {
    /// Writes a line to the host's log.
    fn log(&self, level: Level, message: &str);
    /// Processing time of the batch in hand, milliseconds since the Unix epoch.
    fn processing_time(&self) -> i64;
    /// Watermark of the operator's input, milliseconds since the Unix epoch; `i64::MIN` before the
    /// first event.
    fn watermark(&self) -> i64;
}

/// How much a log line matters. The numbers are those of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Level {
    /// Something is broken.
    Error = 1,
    /// Something is odd.
    Warn = 2,
    /// Something happened that an operator of the pipeline wants to know.
    Info = 3,
    /// For the author of the plugin.
    Debug = 4,
    /// For the author of the plugin, in plenty.
    Trace = 5,
}

/// A counter of the operator, declared by `#[operator(counters = ["…"])]` as an associated constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter(usize);

impl Counter {
    #[doc(hidden)]
    pub const fn numbered(index: usize) -> Self {
        Self(index)
    }
}

/// What belongs to the row in hand.
pub struct Context<'a> {
    pub(crate) batch: &'a BatchContext<'a>,
    pub(crate) event_time: i64,
    pub(crate) key: Option<&'a [u8]>,
}

impl<'a> Context<'a> {
    /// Event time of the row, milliseconds since the Unix epoch.
    pub fn event_time(&self) -> i64 {
        self.event_time
    }

    /// Watermark of the operator's input: no row older than it is expected any more. `i64::MIN`
    /// before the first event.
    pub fn watermark(&self) -> i64 {
        cached(&self.batch.watermark, || self.batch.host.watermark())
    }

    /// Processing time of the batch, milliseconds since the Unix epoch, as the host gives it. The
    /// same for all rows of a batch.
    pub fn processing_time(&self) -> i64 {
        cached(&self.batch.processing_time, || self.batch.host.processing_time())
    }

    /// The key of the row, as the bytes that the host hashes; `None` in a stateless operator.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// The key of the row as text; `None` in a stateless operator and for a key that is not text.
    pub fn key_str(&self) -> Option<&'a str> {
        self.key.and_then(|key| std::str::from_utf8(key).ok())
    }

    /// Adds to a counter. Counts of a row that is rejected afterwards stay.
    pub fn count(&self, counter: Counter, by: u64) {
        if let Some(count) = self.batch.counters.get(counter.0) {
            count.set(count.get().saturating_add(by));
        }
    }

    /// Writes a line to the host's log. Lines are rate-limited there; nothing is written for them
    /// here, so build the message only where it is wanted.
    pub fn log(&self, level: Level, message: &str) {
        self.batch.host.log(level, message);
    }

    /// Logs an error.
    pub fn error(&self, message: &str) {
        self.log(Level::Error, message);
    }

    /// Logs a warning.
    pub fn warn(&self, message: &str) {
        self.log(Level::Warn, message);
    }

    /// Logs information.
    pub fn info(&self, message: &str) {
        self.log(Level::Info, message);
    }

    /// Logs for the author of the plugin.
    pub fn debug(&self, message: &str) {
        self.log(Level::Debug, message);
    }
}

/// What belongs to the batch in hand. Times are asked of the host once a batch, and only if wanted.
pub(crate) struct BatchContext<'a> {
    host: &'a dyn Host,
    watermark: Cell<Option<i64>>,
    processing_time: Cell<Option<i64>>,
    counters: &'a [Cell<u64>],
}

impl<'a> BatchContext<'a> {
    pub(crate) fn new(host: &'a dyn Host, counters: &'a [Cell<u64>]) -> Self {
        Self { host, watermark: Cell::new(None), processing_time: Cell::new(None), counters }
    }
}

fn cached(cell: &Cell<Option<i64>>, ask: impl FnOnce() -> i64) -> i64 {
    cell.get().unwrap_or_else(|| {
        let value = ask();
        cell.set(Some(value));
        value
    })
}
