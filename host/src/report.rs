//! What commands report: plain data, filled by `app`, shown by `cli` as text or JSON. Times are in
//! the unit that the field's name ends with; counts are rows unless the name says otherwise.

use std::path::PathBuf;

use arrow::datatypes::{Schema, SchemaRef};
use serde::{Serialize, Serializer};

use crate::config::Input;
use crate::epoch::EpochSummary;
use crate::record::format_type;

/// What a run did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Whether a signal ended it before the end of the input.
    pub stopped: bool,
    /// Rows read.
    pub rows_in: u64,
    /// Bytes read, after decompression.
    pub bytes_in: u64,
    /// What each sink took.
    pub sinks: Vec<SinkReport>,
    /// Rows that became dead letters.
    pub dead_lettered: u64,
    /// What each generation of each plugin processed, in the order in which they took over.
    pub generations: Vec<GenerationReport>,
    /// Epochs that were committed.
    pub epochs: u64,
    /// What is known of them.
    pub epoch: EpochSummary,
    /// From the beginning of the plan (plugins compiled, models read) to the last sink's end.
    pub elapsed_seconds: f64,
    /// `rows_in` by `elapsed_seconds`.
    pub rows_per_second: f64,
    /// From the moment a row was there to its end at a sink; absent when no row came through.
    pub latency: Option<Latency>,
    /// From the start of the process to the first row at a sink; absent when none came through.
    pub first_row_ms: Option<f64>,
    /// Longest time in which no sink wrote a row, between two that did.
    pub longest_gap_ms: f64,
    /// Time of all threads on all cores by `rows_in`.
    pub cpu_seconds_per_row: f64,
    /// Peak of the process's resident memory.
    pub peak_memory_bytes: u64,
}

/// What one sink took.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SinkReport {
    /// Name in the pipeline.
    pub name: String,
    /// Rows written, dead letters included.
    pub rows: u64,
    /// Bytes written, before compression.
    pub bytes: u64,
    /// The file, for file sinks.
    pub path: Option<PathBuf>,
}

/// What one generation of a plugin processed.
#[derive(Clone, Debug, Default, Serialize)]
pub struct GenerationReport {
    /// Name of the operator.
    pub operator: String,
    /// Number of the generation, from 1.
    pub generation: u64,
    /// The plugin's version.
    pub version: String,
    /// SHA-256 of the component, in hexadecimal.
    pub sha256: String,
    /// The first epoch that it processed.
    pub since_epoch: u64,
    /// Rows processed.
    pub rows: u64,
    /// The plugin's own counters.
    pub counters: std::collections::BTreeMap<String, f64>,
}

/// Percentiles of a latency in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    /// Half of the rows were at least this fast.
    pub p50_us: f64,
    /// 90 %.
    pub p90_us: f64,
    /// 99 %.
    pub p99_us: f64,
    /// The slowest.
    pub max_us: f64,
}

/// The schema of one edge, as found by loading plugins and models.
#[derive(Clone, Debug, Serialize)]
pub struct Edge {
    /// The output.
    pub from: Input,
    /// Name of the operator or sink that reads it.
    pub to: String,
    /// Its columns.
    #[serde(serialize_with = "columns")]
    pub schema: SchemaRef,
}

/// One column as a user writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as in `[source.NAME.fields]`.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Whether it may be null.
    pub nullable: bool,
}

/// The columns of a schema.
pub fn columns_of(schema: &Schema) -> Vec<Column> {
    let column = |f: &arrow::datatypes::FieldRef| Column {
        name: f.name().clone(),
        type_name: format_type(f.data_type()),
        nullable: f.is_nullable(),
    };
    schema.fields().iter().map(column).collect()
}

fn columns<S: Serializer>(schema: &SchemaRef, serializer: S) -> Result<S::Ok, S::Error> {
    columns_of(schema).serialize(serializer)
}

/// What `generate` wrote.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Generated {
    /// Rows written.
    pub rows: u64,
    /// Of those, fraud.
    pub fraud: u64,
    /// Bytes written, as stored.
    pub bytes: u64,
}

/// One measured value of `bench`.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    /// What was measured.
    pub name: String,
    /// The value.
    pub value: f64,
    /// Its unit; `ratio` for ratios.
    pub unit: String,
    /// The bar that it should meet.
    pub bar: Option<Bar>,
}

impl Measurement {
    /// Whether the bar is met; `None` without one.
    pub fn met(&self) -> Option<bool> {
        self.bar.map(|bar| match bar {
            Bar::AtMost(limit) => self.value <= limit,
            Bar::AtLeast(limit) => self.value >= limit,
        })
    }
}

/// What a measured value should be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bar {
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
}

/// What `plugins inspect` found in a file.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PluginReport {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// Name by which a pipeline finds it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Columns that it reads.
    pub inputs: Vec<Column>,
    /// Its outputs, the main one first.
    pub outputs: Vec<PortReport>,
    /// Its keyed state, when it has one.
    pub state: Option<StateReport>,
    /// Names of its counters.
    pub counters: Vec<String>,
    /// Capabilities that it would like to be granted.
    pub capabilities: Vec<String>,
    /// Interfaces that it imports.
    pub imports: Vec<String>,
    /// Interfaces that it exports.
    pub exports: Vec<String>,
}

/// One output of a plugin.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PortReport {
    /// Its name in `operator.port`.
    pub name: String,
    /// Columns that the plugin adds.
    pub columns: Vec<Column>,
}

/// Keyed state of a plugin.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct StateReport {
    /// Version of a slot's layout.
    pub version: u32,
    /// When a slot expires after its last write; 0 is never.
    pub ttl_ms: u64,
    /// Bytes of a slot when that is fixed, 0 when it varies.
    pub fixed_size: u32,
}
