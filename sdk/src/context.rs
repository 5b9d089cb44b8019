//! What an operator may ask and tell beside its rows: time, key, log, counters.

use std::cell::Cell;

use millstream_batch::Input;

/// The host's side of a context: the imports of a plugin, or the test harness.
pub trait Host {
    /// Writes a line to the host's log.
    fn log(&self, level: Level, message: &str);
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
    pub(crate) host: &'a dyn Host,
    pub(crate) input: &'a Input<'a>,
    pub(crate) counters: &'a [Cell<u64>],
    pub(crate) event_time: i64,
    pub(crate) key: Option<u32>,
    pub(crate) clear_state: Cell<bool>,
}

impl<'a> Context<'a> {
    /// Event time of the row, milliseconds since the Unix epoch: the field marked `#[event_time]`,
    /// or else what the stream has; `i64::MIN` when there is neither.
    pub fn event_time(&self) -> i64 {
        self.event_time
    }

    /// Watermark of the operator's input: no row older than it is expected any more. Milliseconds
    /// since the Unix epoch; `i64::MIN` before the first event.
    pub fn watermark(&self) -> i64 {
        self.input.watermark()
    }

    /// Processing time of the batch, milliseconds since the Unix epoch, as the host gives it. The
    /// same for all rows of a batch.
    pub fn processing_time(&self) -> i64 {
        self.input.processing_time()
    }

    /// The key of the row, as the bytes that the host hashes; `None` in a stateless operator.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.input.key(self.key?)
    }

    /// The key of the row as text; `None` in a stateless operator and for a key that is not text.
    pub fn key_str(&self) -> Option<&'a str> {
        std::str::from_utf8(self.key()?).ok()
    }

    /// Forgets the state of the row's key once the row is processed: its next row starts from
    /// `Default`.
    pub fn clear_state(&self) {
        self.clear_state.set(true);
    }

    /// Adds to a counter. Counts of a row that is rejected afterwards stay.
    pub fn count(&self, counter: Counter, by: u64) {
        if let Some(count) = self.counters.get(counter.0) {
            count.set(count.get().saturating_add(by));
        }
    }

    /// Writes a line to the host's log, which limits their rate.
    pub fn log(&self, level: Level, message: &str) {
        self.host.log(level, message);
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
