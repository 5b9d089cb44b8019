//! `[source.NAME]` once validated.

use std::path::PathBuf;
use std::time::Duration;

use arrow::datatypes::SchemaRef;

use crate::codec::{Compression, Format};
use crate::kafka::Properties;

/// One source of a pipeline.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name in the pipeline.
    pub name: String,
    /// Where the rows come from.
    pub connector: Connector,
    /// Layout of the records; the generator has none.
    pub format: Format,
    /// Columns and types of the rows.
    pub schema: SchemaRef,
    /// Column that holds the event time (`timestamp` or `i64` milliseconds), when there is one.
    pub event_time: Option<String>,
    /// How far behind the newest event a row may arrive.
    pub max_out_of_orderness: Duration,
    /// Longest record in bytes; a longer one is a dead letter. Default 1 MiB.
    pub max_record_bytes: usize,
}

/// Kinds of source.
#[derive(Clone, Debug)]
pub enum Connector {
    /// A file, read once or followed.
    File {
        /// Where it is.
        path: PathBuf,
        /// How it is compressed.
        compression: Compression,
        /// Wait for more at its end, until the pipeline is stopped.
        follow: bool,
    },
    /// Standard input.
    Stdin {
        /// How it is compressed.
        compression: Compression,
    },
    /// Rows made by the host.
    Generator(Generator),
    /// Topics of Kafka.
    Kafka(Kafka),
}

/// Settings of a source that reads Kafka.
#[derive(Clone, Debug)]
pub struct Kafka {
    /// Topics to read.
    pub topics: Vec<String>,
    /// The consumer group.
    pub group: String,
    /// Where a partition begins that neither the pipeline nor the group has read.
    pub auto_offset_reset: AutoOffsetReset,
    /// After this time without a record a partition no longer holds the watermark back; never
    /// without it.
    pub idle_timeout: Option<Duration>,
    /// What becomes of records without a value.
    pub tombstones: Tombstones,
    /// What to do when retention has deleted records that were not read.
    pub missing_records: Missing,
    /// Identity of the process, as in `[kafka] transactional_id`.
    pub identity: String,
    /// Properties of the client.
    pub client: Properties,
}

/// Where a partition begins that was never read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoOffsetReset {
    /// At its first record.
    #[default]
    Earliest,
    /// Behind its last record.
    Latest,
    /// Nowhere: stop.
    Error,
}

/// What becomes of records without a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tombstones {
    /// They are counted.
    #[default]
    Skip,
    /// They are dead letters, as a record `null` would be.
    DeadLetter,
}

/// What to do when a position lies before the beginning of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// Stop, and say what is missing.
    #[default]
    Stop,
    /// Go on behind the gap, with a warning.
    Skip,
}

/// Settings of the generator.
#[derive(Clone, Debug)]
pub struct Generator {
    /// What it makes.
    pub kind: GeneratorKind,
    /// How many rows; without it, until the pipeline is stopped.
    pub rows: Option<u64>,
    /// Rows a second, open-loop; without it, as fast as they are taken.
    pub rate: Option<u64>,
    /// Seed of the random numbers.
    pub seed: u64,
}

/// What the generator makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GeneratorKind {
    /// Card transactions, as `millstream generate transactions` makes them, as JSON lines or CSV.
    Transactions,
    /// Rows of one column `features` of this many f32, without a text form in between.
    Vectors(usize),
    /// The same as JSON lines, `{"features":[…]}`, to be decoded like any other input.
    VectorLines(usize),
}
