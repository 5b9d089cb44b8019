//! `[source.NAME]` once validated.

use std::path::PathBuf;
use std::time::Duration;

use arrow::datatypes::SchemaRef;

use crate::codec::{Compression, Format};

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
