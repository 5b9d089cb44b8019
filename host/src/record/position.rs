//! Where sources and sinks stand at a barrier: what an epoch keeps of them, so that a run can go
//! on exactly there.
//!
//! Both are kept as JSON on disk. Fields may be added, with a default; none changes its meaning.

use serde::{Deserialize, Serialize};

/// How far one partition of a source has been read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The partition: path of a file, `topic/3`, `-` for standard input, `0` of a generator.
    pub partition: String,
    /// Place of the next record (file: its line, from 1; Kafka: its offset, which is the last one
    /// read plus 1; generator: its row, from 1).
    pub next: u64,
    /// File: where that record begins, in bytes of the uncompressed text. Otherwise 0.
    #[serde(default)]
    pub byte: u64,
    /// File: xxh3 of its first 4 KiB as they were read, to tell that another file took its path;
    /// 0 = unknown.
    #[serde(default)]
    pub identity: u64,
    /// Newest event time of the partition's rows so far, in milliseconds since the Unix epoch;
    /// `i64::MIN` = none. The watermark goes on from it.
    #[serde(default = "no_event_time")]
    pub newest_event_time: i64,
}

impl Position {
    /// The beginning of a partition whose first record has the place `next`.
    pub fn beginning(partition: impl Into<String>, next: u64) -> Self {
        Self { partition: partition.into(), next, byte: 0, identity: 0, newest_event_time: no_event_time() }
    }
}

fn no_event_time() -> i64 {
    i64::MIN
}

/// What a sink has written by the end of an epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SinkState {
    /// It keeps nothing that could be taken back: standard output, a sink with at-least-once delivery.
    #[default]
    Nothing,
    /// A file, which recovery cuts to the length that the committed epoch names.
    File {
        /// The file.
        path: String,
        /// Its length in bytes at the end of the epoch.
        length: u64,
    },
    /// A Kafka topic, written in the transaction that commits the epoch.
    Kafka {
        /// The topic.
        topic: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_later_version_are_ignored_and_missing_ones_are_unknown() {
        let read: Position = serde_json::from_str(r#"{"partition":"in/3","next":7,"leader":2}"#).unwrap();
        assert_eq!(read, Position::beginning("in/3", 7));
        assert_eq!(read.newest_event_time, i64::MIN);
    }

    #[test]
    fn extreme_numbers_survive() {
        let position =
            Position { next: u64::MAX, byte: u64::MAX - 1, identity: u64::MAX, ..Position::beginning("a\n\"b", 0) };
        let json = serde_json::to_string(&position).unwrap();
        assert_eq!(serde_json::from_str::<Position>(&json).unwrap(), position);
    }

    #[test]
    fn a_sink_says_what_kind_of_state_it_has() {
        let file = SinkState::File { path: "out.jsonl".into(), length: 12 };
        let json = serde_json::to_string(&file).unwrap();
        assert_eq!(json, r#"{"kind":"file","path":"out.jsonl","length":12}"#);
        assert_eq!(serde_json::from_str::<SinkState>(&json).unwrap(), file);
    }
}
