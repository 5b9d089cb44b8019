//! Log lines of a plugin: bounded in length and rate, with the name of the operator and the
//! plugin's generation on each.

use std::sync::Arc;
use std::time::{Duration, Instant};

/// Lines a second that one instance may write: enough to debug with, too few to fill a disk.
const LINES_A_SECOND: u32 = 100;

/// Longest line in bytes.
const MAX_LINE: usize = 4096;

/// Who writes.
#[derive(Clone, Debug)]
pub(crate) struct Logger {
    operator: Arc<str>,
    plugin: Arc<str>,
    second: Instant,
    lines: u32,
}

impl Logger {
    /// Lines of the operator `operator` under the generation `plugin`.
    pub(crate) fn new(operator: Arc<str>, plugin: Arc<str>) -> Self {
        Self { operator, plugin, second: Instant::now(), lines: 0 }
    }

    /// Writes one line, unless there were too many in this second.
    pub(crate) fn write(&mut self, level: u32, message: &str) {
        let now = Instant::now();
        if now.duration_since(self.second) >= Duration::from_secs(1) {
            if let Some(suppressed) = self.lines.checked_sub(LINES_A_SECOND).filter(|&n| n > 0) {
                tracing::warn!(operator = %self.operator, plugin = %self.plugin, suppressed, "log lines left out");
            }
            self.second = now;
            self.lines = 0;
        }
        self.lines = self.lines.saturating_add(1);
        if self.lines > LINES_A_SECOND {
            return;
        }
        let message = message.get(..message.floor_char_boundary(MAX_LINE)).unwrap_or(message);
        match level {
            1 => tracing::error!(operator = %self.operator, plugin = %self.plugin, "{message}"),
            2 => tracing::warn!(operator = %self.operator, plugin = %self.plugin, "{message}"),
            3 => tracing::info!(operator = %self.operator, plugin = %self.plugin, "{message}"),
            4 => tracing::debug!(operator = %self.operator, plugin = %self.plugin, "{message}"),
            _ => tracing::trace!(operator = %self.operator, plugin = %self.plugin, "{message}"),
        }
    }
}
