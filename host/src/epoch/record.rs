//! The record of an epoch: where the sources stood, what the sinks had written, and which versions
//! produced it. One is written for each epoch that changed anything.
//!
//! On disk it is a JSON header; the slots that the epoch changed follow it as raw bytes (`log/frame.rs`).
//! Fields may be added, each with `#[serde(default)]`: an older version ignores what it does not
//! know, a newer one reads what an older one wrote.

use std::collections::BTreeMap;

use arrow::datatypes::Schema;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::record::{InFlight, InFlightError, Position, SinkState, decode_in_flight, encode_in_flight};

/// What an epoch leaves behind, besides the slots that it changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// The epoch. Numbers go up, and none is given twice; they may have gaps.
    pub epoch: u64,
    /// The committed epoch on which it stands: that of the record before, or 0 at the very first.
    pub parent: u64,
    /// The run (one lifetime of the process) that wrote it.
    pub run: u64,
    /// Newest epoch known to be committed when this one was prepared.
    pub committed: u64,
    /// What decides whether the epoch is committed.
    #[serde(default)]
    pub decider: Decider,
    /// What the epoch went on from.
    #[serde(default)]
    pub origin: Origin,
    /// Where the partitions of each source go on, by the source's name.
    #[serde(default)]
    pub sources: BTreeMap<String, Vec<Position>>,
    /// What each sink had written, by the sink's name.
    #[serde(default)]
    pub sinks: BTreeMap<String, SinkState>,
    /// The plugin generation of each operator, by the operator's name.
    #[serde(default)]
    pub generations: BTreeMap<String, GenerationState>,
    /// The model of each inference operator, by the operator's name.
    #[serde(default)]
    pub models: BTreeMap<String, ModelState>,
    /// Rows that asynchronous operators had taken and not handed on, by the operator's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub in_flight: BTreeMap<String, InFlightRows>,
    /// The numbers that slots carry for their operators, by the operator's name.
    #[serde(default)]
    pub operators: BTreeMap<String, u16>,
}

/// Rows in flight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlightRows {
    /// How many.
    pub rows: u64,
    /// They, as `record::encode_in_flight` writes them, in base64.
    pub data: String,
}

impl InFlightRows {
    /// Rows for a record; none for none.
    ///
    /// # Errors
    /// When they do not have the same columns.
    pub fn keep(parts: &[InFlight]) -> Result<Option<Self>, String> {
        let rows = parts.iter().map(|p| p.rows.rows() as u64).sum();
        let encoded = encode_in_flight(parts).map_err(|e| e.to_string())?;
        Ok((rows > 0).then(|| Self { rows, data: BASE64.encode(encoded) }))
    }

    /// The rows, for an operator with this input.
    ///
    /// # Errors
    /// When they are damaged, or have other columns.
    pub fn restore(&self, input: &Schema) -> Result<Vec<InFlight>, InFlightError> {
        let bytes = BASE64.decode(&self.data).map_err(|e| InFlightError::Unreadable(e.to_string()))?;
        decode_in_flight(&bytes, input)
    }
}

/// What decides whether an epoch is committed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Decider {
    /// The record itself: once it is on disk, its epoch is committed.
    #[default]
    Log,
    /// A Kafka transaction with a pointer to the record in it.
    Kafka {
        /// Identity of the producer, and key of the pointer.
        transactional_id: String,
        /// Topic of the pointers.
        topic: String,
    },
}

/// What an epoch went on from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Origin {
    /// The run itself, or the one before it.
    #[default]
    Run,
    /// A savepoint: the record begins a new history, and nothing before it counts. It is decided by
    /// the log, whatever the sinks are, and has no slots: they were restored before it was written.
    Savepoint {
        /// Name of the savepoint.
        name: String,
    },
}

/// The plugin generation that an operator ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationState {
    /// Number of the generation within its run, from 1.
    pub number: u64,
    /// Name that the plugin gives itself.
    pub name: String,
    /// Version that the plugin gives itself.
    pub version: String,
    /// SHA-256 of the plugin's bytes, in hex.
    pub sha256: String,
}

/// The model that an inference operator ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelState {
    /// Name of the model.
    pub model: String,
    /// Version of the model.
    pub version: String,
    /// SHA-256 of the model's bytes, in hex.
    pub sha256: String,
}

impl EpochRecord {
    /// A record without sources, sinks and operators.
    pub fn new(epoch: u64, parent: u64, run: u64, decider: Decider) -> Self {
        Self {
            epoch,
            parent,
            run,
            committed: parent,
            decider,
            origin: Origin::Run,
            sources: BTreeMap::new(),
            sinks: BTreeMap::new(),
            generations: BTreeMap::new(),
            models: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            operators: BTreeMap::new(),
        }
    }

    /// Whether nothing before it counts.
    pub fn begins_a_history(&self) -> bool {
        matches!(self.origin, Origin::Savepoint { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_another_version_is_read_as_far_as_it_is_known() {
        let json = r#"{"epoch":7,"parent":5,"run":2,"committed":5,"timers":[1,2],"sources":{"in":[{"partition":"a","next":3}]}}"#;
        let read: EpochRecord = serde_json::from_str(json).unwrap();
        let mut expected = EpochRecord::new(7, 5, 2, Decider::Log);
        expected.sources.insert("in".into(), vec![Position::new("a", 3)]);
        assert_eq!(read, expected);
    }

    #[test]
    fn a_record_survives_as_json() {
        let kafka = Decider::Kafka { transactional_id: "fraud".into(), topic: "fraud-epochs".into() };
        let mut record = EpochRecord::new(u64::MAX, 1, 3, kafka);
        record.origin = Origin::Savepoint { name: "before-upgrade".into() };
        record.sinks.insert("out".into(), SinkState::Kafka { topic: "out".into() });
        record.operators.insert("count".into(), 4);
        let (name, version, sha256) = ("counter".to_owned(), "1.0.0".to_owned(), "ab".repeat(32));
        record.generations.insert("count".into(), GenerationState { number: 1, name, version, sha256 });
        let (model, version, sha256) = ("fraud".to_owned(), "3".to_owned(), "cd".repeat(32));
        record.models.insert("score".into(), ModelState { model, version, sha256 });
        record.in_flight.insert("score".into(), InFlightRows { rows: 2, data: "AAEC".into() });
        let json = serde_json::to_vec(&record).unwrap();
        assert_eq!(serde_json::from_slice::<EpochRecord>(&json).unwrap(), record);
    }

    #[test]
    fn an_unknown_decider_is_refused() {
        let json = r#"{"epoch":7,"parent":5,"run":2,"committed":5,"decider":{"by":"oracle"}}"#;
        let error = serde_json::from_str::<EpochRecord>(json).unwrap_err().to_string();
        assert!(error.contains("oracle"), "{error}");
    }
}
