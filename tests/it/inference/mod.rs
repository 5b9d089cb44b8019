//! Models that answer later, through the real host: a server that does as it is told on the other side.

mod faults;
mod options;
mod protocols;
mod restart;
mod thread;

use std::collections::BTreeMap;

use millstream_tests::{Finished, Job};
use serde_json::{Value, json};

/// A pipeline of one file into one inference operator: `operator` and `endpoint` are what its tables
/// hold beside the usual, `more` further tables.
pub fn pipeline(operator: &str, endpoint: &str, more: &str) -> String {
    format!(
        r#"
[pipeline]
name = "inference"
workers = 2
dead_letters = "rejected"

[state]
path = "state"

[checkpoint]
interval = "100ms"

[source.rows]
connector = "file"
path = "rows.jsonl"
event_time = "at"
fields = {{ id = "i64", key = "utf8", x = "f64", y = "f64", text = "utf8", marked = "bool", at = "timestamp" }}

[operator.score]
kind = "inference"
inputs = ["rows"]
model = "fraud"
output = "prediction"
{operator}

[operator.score.endpoint]
{endpoint}

{more}

[sink.out]
connector = "file"
inputs = ["score"]
path = "out.jsonl"

[sink.rejected]
connector = "file"
inputs = []
path = "rejected.jsonl"
"#
    )
}

/// A row; the model's prediction is its `x` and `y` together.
pub fn row(id: u64) -> Value {
    json!({
        "id": id, "key": format!("k{}", id % 7), "x": id as f64, "y": 0.5, "text": format!("row {id}"),
        "marked": id.is_multiple_of(3), "at": 1_700_000_000_000_u64 + id,
    })
}

/// A job with so many rows.
pub fn job(pipeline: &str, rows: u64) -> Job {
    let job = Job::new(pipeline);
    job.write("rows.jsonl", (0..rows).map(|id| format!("{}\n", row(id))).collect::<String>());
    job
}

/// The rows that came out, by `id`: each once.
pub fn out(job: &Job) -> BTreeMap<u64, Value> {
    let rows = job.rows("out.jsonl");
    let count = rows.len();
    let by_id: BTreeMap<u64, Value> = rows.into_iter().map(|r| (r["id"].as_u64().unwrap(), r)).collect();
    assert_eq!(by_id.len(), count, "a row came out twice");
    by_id
}

/// Asserts that all of so many rows have the model's prediction.
pub fn assert_predicted(job: &Job, rows: u64) -> BTreeMap<u64, Value> {
    let out = out(job);
    assert_eq!(out.len() as u64, rows, "{}", job.text("rejected.jsonl"));
    for (id, row) in &out {
        assert_eq!(row["prediction"].as_f64(), Some(*id as f64 + 0.5), "{row}");
    }
    out
}

/// Runs to a good end, with the report.
pub fn run(job: &Job) -> Value {
    job.run().succeeded().report()
}

/// What the operator did, of a report.
pub fn inference(report: &Value) -> &Value {
    &report["inference"][0]
}

pub fn report(finished: Finished) -> Value {
    finished.succeeded().report()
}

/// Features of tensors.
pub const TENSOR: &str = r#"features = ["x", "y"]"#;

/// The usual endpoint.
pub fn endpoint(url: &str) -> String {
    format!("protocol = \"oip-v2\"\nurls = [\"{url}\"]\n")
}
