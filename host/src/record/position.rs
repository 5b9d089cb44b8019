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
        /// Hash of its beginning, by which another file under the same name is noticed; 0 is not known.
        #[serde(default)]
        identity: u64,
    },
    /// A Kafka topic; what belongs to an epoch, the broker's transactions say.
    Kafka {
        /// Its name.
        topic: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_later_version_are_ignored_and_missing_ones_are_unknown() {
        let read: Position = serde_json::from_str(r#"{"partition":"in/3","next":7,"leader":2}"#).unwrap();
        assert_eq!(read, Position::new("in/3", 7));
        assert_eq!(read.newest_event_time, i64::MIN);
    }

    #[test]
    fn extreme_numbers_survive() {
        let position =
            Position { next: u64::MAX, byte: u64::MAX - 1, identity: u64::MAX, ..Position::new("a\n\"b", 0) };
        let json = serde_json::to_string(&position).unwrap();
        assert_eq!(serde_json::from_str::<Position>(&json).unwrap(), position);
    }

    #[test]
    fn a_sink_says_what_kind_of_state_it_has() {
        let file = SinkState::File { path: "out.jsonl".into(), length: 12, identity: 7 };
        let json = serde_json::to_string(&file).unwrap();
        assert_eq!(json, r#"{"kind":"file","path":"out.jsonl","length":12,"identity":7}"#);
        assert_eq!(serde_json::from_str::<SinkState>(&json).unwrap(), file);
    }
}
