//! What librdkafka logs and reports, as lines of the host's log (target `librdkafka`). It can write
//! a line for each attempt to connect; beyond a few in ten seconds lines are only counted.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::error::{Kind, code, of_code};

/// Lines of one level that are written in a [`WINDOW`]: enough to see what happens.
const LINES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(10);

/// Writes and counts the lines of one client.
#[derive(Debug)]
pub(super) struct Log {
    /// The part of the pipeline that the client belongs to.
    node: String,
    levels: Mutex<[Window; 4]>,
    /// The last thing that went wrong, for messages that would otherwise only say "timed out".
    last: Mutex<Option<String>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    since: Option<Instant>,
    written: u32,
    dropped: u64,
}

impl Window {
    /// Whether a line may be written, and how many were not since the last one.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.duration_since(since) >= WINDOW) {
            *self = Self { since: Some(now), written: 0, dropped: self.dropped };
        }
        if self.written >= LINES {
            self.dropped += 1;
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.dropped))
    }
}

impl Log {
    pub(super) fn new(node: impl Into<String>) -> Self {
        Self { node: node.into(), levels: Mutex::default(), last: Mutex::default() }
    }

    /// A log line of librdkafka.
    pub(super) fn line(&self, level: Level, facility: &str, message: &str) {
        // librdkafka calls a lost connection an error; it will connect again.
        let index = match level {
            Level::Emerg | Level::Alert | Level::Critical => 0,
            Level::Error | Level::Warning => 1,
            Level::Notice | Level::Info => 2,
            Level::Debug => 3,
        };
        if index <= 1 {
            self.remember(message);
        }
        self.write(index, facility, message);
    }

    /// An error event: about the client as a whole, and for information unless it is fatal. What
    /// passes by itself has a line of its own already; that all brokers are gone has not.
    pub(super) fn event(&self, error: &KafkaError, reason: &str) {
        let code = code(error);
        if code != Code::AutoOffsetReset {
            self.remember(reason);
        }
        let is_told = of_code(code) == Kind::Retry && code != Code::AllBrokersDown;
        self.write(if is_told { 3 } else { 1 }, "ERROR", reason);
    }

    /// The last thing that went wrong, ready to be put behind a message.
    pub(super) fn last(&self) -> String {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|reason| format!(" (last error: {reason})")).unwrap_or_default()
    }

    fn remember(&self, reason: &str) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
    }

    fn write(&self, index: usize, facility: &str, message: &str) {
        let now = Instant::now();
        let admitted = {
            let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
            levels.get_mut(index).and_then(|window| window.admit(now))
        };
        let Some(dropped) = admitted else { return };
        let node = self.node.as_str();
        match index {
            0 => tracing::error!(target: "librdkafka", node, facility, dropped, "{message}"),
            1 => tracing::warn!(target: "librdkafka", node, facility, dropped, "{message}"),
            2 => tracing::info!(target: "librdkafka", node, facility, dropped, "{message}"),
            _ => tracing::debug!(target: "librdkafka", node, facility, dropped, "{message}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_a_few_are_counted_and_told_with_the_next() {
        let (mut window, start) = (Window::default(), Instant::now());
        for _ in 0..LINES {
            assert_eq!(window.admit(start), Some(0));
        }
        assert_eq!(window.admit(start), None);
        assert_eq!(window.admit(start), None);
        assert_eq!(window.admit(start + WINDOW), Some(2));
        assert_eq!(window.admit(start + WINDOW), Some(0));
    }
}
