//! Where the two ends of a pipeline stand at a barrier: what an epoch record keeps of sources and
//! sinks, and what a restart begins with.

use serde::{Deserialize, Serialize};

/// Where one partition of a source goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The partition: a file's path, `topic/3`, `stdin`, a generator's name.
    pub partition: String,
    /// Place of the next record (file: line number from 1; Kafka: offset, last + 1; generator: row
    /// number from 1).
    pub next: u64,
    /// Where that record begins, in bytes of the uncompressed text; 0 where that means nothing.
    #[serde(default)]
    pub byte: u64,
    /// Hash of the beginning of what was read, by which another input under the same name is
    /// noticed; 0 is not known.
    #[serde(default)]
    pub identity: u64,
    /// Newest event time of the partition's rows so far, in milliseconds since the Unix epoch;
    /// `i64::MIN` before the first. It restores the watermark.
    #[serde(default = "never")]
    pub newest_event_time: i64,
}

impl Position {
    /// The position `next` of a partition of which nothing else is known.
    pub fn new(partition: impl Into<String>, next: u64) -> Self {
        Self { partition: partition.into(), next, byte: 0, identity: 0, newest_event_time: never() }
    }
}

fn never() -> i64 {
    i64::MIN
}

/// How much of a sink belongs to an epoch and those before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum SinkState {
    /// Nothing that could be taken back.
    Nothing,
    /// A file, which is cut to this length on recovery.
    File {
        /// Its path.
        path: String,
        /// Its length in bytes, as it lies on disk.
        length: u64,
    },
    /// A Kafka topic; what belongs to an epoch, the broker's transactions say.
    Kafka {
        /// Its name.
        topic: String,
    },
}
