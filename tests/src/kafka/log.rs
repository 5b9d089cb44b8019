//! What goes into a topic and what comes out of it, as plain values.

use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::{Value, json};

/// Which records a consumer sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Those of committed transactions, up to the last stable offset.
    ReadCommitted,
    /// All, also those of open and aborted transactions.
    ReadUncommitted,
}

impl Isolation {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ReadCommitted => "read_committed",
            Self::ReadUncommitted => "read_uncommitted",
        }
    }
}

/// A record to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// Its partition; by the key where none is given.
    pub partition: Option<u32>,
    /// Its key.
    pub key: Option<String>,
    /// Its value; `None` is a tombstone.
    pub value: Option<String>,
    /// Its timestamp in milliseconds; the time of writing where none is given.
    pub timestamp: Option<i64>,
}

impl Input {
    /// A record without a key.
    pub fn value(value: impl Into<String>) -> Self {
        Self { value: Some(value.into()), ..Self::default() }
    }

    /// A record with a key.
    pub fn keyed(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..Self::value(value) }
    }

    /// The same in a given partition.
    #[must_use]
    pub fn at(self, partition: u32) -> Self {
        Self { partition: Some(partition), ..self }
    }

    pub(super) fn json(records: &[Self]) -> Value {
        let one =
            |r: &Self| json!({ "partition": r.partition, "key": r.key, "value": r.value, "timestamp": r.timestamp });
        records.iter().map(one).collect()
    }
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: u64,
    /// Its timestamp in milliseconds.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<String>,
    /// Its value.
    pub value: Option<String>,
    /// Its headers, in order.
    pub headers: Vec<(String, Option<String>)>,
}

impl Record {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).and_then(|(_, value)| value.as_deref())
    }

    /// The value as JSON.
    pub fn json(&self) -> Value {
        let text = self.value.as_deref().unwrap_or("null");
        serde_json::from_str(text).unwrap_or_else(|e| panic!("{self:?}: {e}"))
    }
}

/// Where a partition begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    /// Its oldest record.
    pub start: u64,
    /// Behind the last record that `read_committed` may see now.
    pub last_stable: u64,
    /// Behind its last record.
    pub high_watermark: u64,
}

/// The records that `consume` of the client wrote, by partition and offset.
pub(super) fn read(file: &Path) -> Vec<Record> {
    let file = std::fs::File::open(file).expect("the consumed records");
    let parse = |line: String| {
        let mut v: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"));
        Record {
            partition: v["partition"].as_u64().unwrap_or_default() as u32,
            offset: v["offset"].as_u64().unwrap_or_default(),
            timestamp: v["timestamp"].as_i64().unwrap_or_default(),
            headers: serde_json::from_value(v["headers"].take()).unwrap_or_else(|e| panic!("{line}: {e}")),
            key: v["key"].as_str().map(str::to_owned),
            value: v["value"].as_str().map(str::to_owned),
        }
    };
    let mut records: Vec<Record> = BufReader::new(file).lines().map(|l| parse(l.expect("a line"))).collect();
    records.sort_by_key(|r| (r.partition, r.offset));
    records
}
