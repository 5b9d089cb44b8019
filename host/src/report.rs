//! What commands report: plain data, filled by `app`, shown by `cli` as text or JSON. Times are in
//! the unit that the field's name ends with; counts are rows unless the name says otherwise.

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow::datatypes::{Schema, SchemaRef};
use serde::{Serialize, Serializer};
use serde_json::Value;

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
    /// What each inference operator that answers later did.
    pub inference: Vec<InferenceReport>,
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
    pub counters: BTreeMap<String, f64>,
}

/// What an inference operator that answers later did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct InferenceReport {
    /// Name of the operator.
    pub operator: String,
    /// Rows by where their prediction came from.
    pub rows: BTreeMap<String, u64>,
    /// Rows that nothing answered.
    pub rejected: u64,
    /// Calls of all endpoints.
    pub requests: u64,
    /// Calls that were not answered, by class.
    pub failures: BTreeMap<String, u64>,
    /// Attempts behind the first.
    pub retries: u64,
    /// Second requests for a slow one.
    pub hedges: u64,
    /// Mean time of an answered call in microseconds; absent when none was.
    pub mean_call_us: Option<f64>,
    /// Time for which rows waited because the operator was full.
    pub full_seconds: f64,
    /// Rows that were asked for again after a restart.
    pub restored: u64,
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

/// What a checkpoint storage holds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CheckpointList {
    /// The storage.
    pub location: String,
    /// Number of the newest run; 0 before the first.
    pub newest_run: u64,
    /// The snapshots, oldest first.
    pub snapshots: Vec<SnapshotReport>,
    /// The epoch log.
    pub log: LogReport,
    /// Names of the savepoints.
    pub savepoints: Vec<String>,
}

/// A snapshot.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SnapshotReport {
    /// The epoch that it holds.
    pub epoch: u64,
    /// The run that took it.
    pub run: u64,
    /// Name of the pipeline.
    pub pipeline: String,
    /// When it was taken, milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// Version of Millstream that took it.
    pub version: String,
    /// Number of its files.
    pub files: usize,
    /// Bytes of its files.
    pub bytes: u64,
}

/// The epoch log.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LogReport {
    /// Records that count.
    pub records: usize,
    /// Epoch of the oldest of them.
    pub first_epoch: Option<u64>,
    /// Epoch of the newest of them.
    pub last_epoch: Option<u64>,
    /// The newest epoch that is committed for all that the log tells.
    pub committed: u64,
    /// Bytes of all segments.
    pub bytes: u64,
}

/// One snapshot or savepoint in full.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CheckpointReport {
    /// Which one it is.
    pub snapshot: SnapshotReport,
    /// Where the sources go on from it.
    pub positions: Vec<PositionReport>,
    /// The operators with a number in the state.
    pub operators: Vec<String>,
    /// The record of its epoch, as the log has it.
    pub record: Value,
    /// Its files.
    pub files: Vec<FileReport>,
}

/// Where a partition of a source goes on.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PositionReport {
    /// Name of the source.
    pub source: String,
    /// The partition.
    pub partition: String,
    /// Place of the next record.
    pub next: u64,
}

/// A file in checkpoint storage.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FileReport {
    /// What it is in the database.
    pub name: String,
    /// Name of the object that holds it.
    pub object: String,
    /// Its bytes.
    pub bytes: u64,
}

/// What a verification found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct VerifyReport {
    /// The storage.
    pub location: String,
    /// Whether everything is as it was written.
    pub ok: bool,
    /// Snapshots.
    pub snapshots: u64,
    /// Savepoints.
    pub savepoints: u64,
    /// Records of the epoch log.
    pub log_records: u64,
    /// Files that were read.
    pub files: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// What is damaged or missing.
    pub bad: Vec<BadReport>,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BadReport {
    /// The file or object.
    pub object: String,
    /// What is wrong with it.
    pub problem: String,
}

/// A savepoint.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SavepointReport {
    /// Its name.
    pub name: String,
    /// Name of the pipeline.
    pub pipeline: String,
    /// The storage that it is in.
    pub location: String,
    /// The epoch that it holds.
    pub epoch: u64,
    /// When it was made, milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Where the sources go on from it.
    pub positions: Vec<PositionReport>,
    /// State by operator.
    pub operators: Vec<SavedOperator>,
}

/// State of one operator in a savepoint.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SavedOperator {
    /// Name in the pipeline.
    pub name: String,
    /// Number of its slots.
    pub slots: u64,
    /// Versions of the state schema that they carry.
    pub versions: Vec<u32>,
}

/// What was restored from a savepoint.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RestoreReport {
    /// The savepoint.
    pub savepoint: String,
    /// The epoch that its state became.
    pub epoch: u64,
    /// The state folder.
    pub state: PathBuf,
    /// Operators whose state is there again.
    pub operators: Vec<String>,
    /// Their slots.
    pub slots: u64,
    /// Operators whose state was left out.
    pub left_out: Vec<String>,
    /// Whether all this was done before, and nothing was changed now.
    pub done_before: bool,
}

/// Milliseconds since the Unix epoch as text, in UTC, to the second.
pub fn utc(ms: u64) -> String {
    let seconds = i64::try_from(ms / 1_000).unwrap_or(i64::MAX);
    arrow::temporal_conversions::timestamp_s_to_datetime(seconds)
        .map_or_else(|| "at an unknown time".to_owned(), |time| format!("{time} UTC"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_to_the_second() {
        assert_eq!(utc(1_700_000_000_999), "2023-11-14 22:13:20 UTC");
        assert_eq!(utc(u64::MAX), "at an unknown time");
    }
}
