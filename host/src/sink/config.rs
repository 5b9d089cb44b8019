//! `[sink.NAME]` once validated.

use std::path::PathBuf;

use super::Wants;
use crate::codec::{Compression, Format};
use crate::kafka::Properties;

/// One sink of a pipeline.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name in the pipeline.
    pub name: String,
    /// Where rows go.
    pub connector: Connector,
    /// Layout of the records.
    pub format: Format,
    /// Columns to keep, in order; all when absent.
    pub fields: Option<Vec<String>>,
}

/// Kinds of sink.
#[derive(Clone, Debug)]
pub enum Connector {
    /// A file, replaced at start, or written on behind what is committed.
    File {
        /// Where it is.
        path: PathBuf,
        /// How it is compressed.
        compression: Compression,
    },
    /// Standard output.
    Stdout,
    /// Counted and dropped.
    Blackhole,
    /// A topic of Kafka.
    Kafka(Kafka),
}

/// Settings of a sink that writes to Kafka.
#[derive(Clone, Debug)]
pub struct Kafka {
    /// The topic.
    pub topic: String,
    /// Column that becomes the key of a record; records have none without it.
    pub key: Option<String>,
    /// What it promises.
    pub delivery: Delivery,
    /// Whether records say in headers what they came from.
    pub headers: bool,
    /// Identity of the process, as in `[kafka] transactional_id`.
    pub identity: String,
    /// Properties of the client.
    pub client: Properties,
}

/// How often a record is there after a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// Once, for readers of committed records.
    #[default]
    ExactlyOnce,
    /// Once or more often.
    AtLeastOnce,
}

impl Connector {
    /// What the sink wants to know of rows.
    pub fn wants(&self) -> Wants {
        match self {
            Self::File { .. } | Self::Stdout => Wants::Bytes,
            Self::Blackhole => Wants::Nothing,
            Self::Kafka(_) => Wants::Records,
        }
    }

    /// Name of the column that is each record's key.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Kafka(kafka) => kafka.key.as_deref(),
            _ => None,
        }
    }

    /// Bytes that a record may have; a longer one is a dead letter.
    pub fn max_record_bytes(&self) -> Option<usize> {
        match self {
            Self::Kafka(kafka) => Some(kafka.client.max_record_bytes()),
            _ => None,
        }
    }
}
