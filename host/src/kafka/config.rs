//! `[kafka]` and the groups of sources, once validated.

use std::time::Duration;

use super::Properties;

/// What the process is to Kafka, and what its exactly-once sinks share.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Name under which this process writes transactions, and by which a newer process fences an
    /// older one. Default: the pipeline's name.
    pub transactional_id: String,
    /// Compacted topic that holds the pointer to the committed epoch. Default: `<pipeline>-epochs`.
    pub pointer_topic: String,
    /// Client of the exactly-once sinks, the same for all; none when there is no such sink.
    pub producer: Option<Properties>,
}

impl Config {
    /// How long a commit may take before its outcome is resolved anew: the time after which the
    /// broker gives up a transaction by itself.
    pub fn commit_timeout(&self) -> Duration {
        self.producer.as_ref().map_or(super::client::TRANSACTION_TIMEOUT, Properties::transaction_timeout)
    }
}

/// A source as a member of its group.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// Name of the source.
    pub source: String,
    /// The consumer group.
    pub group: String,
    /// Topics to read.
    pub topics: Vec<String>,
    /// Identity of the process: two processes with the same one fence each other.
    pub identity: String,
    /// Properties of the client.
    pub client: Properties,
}
