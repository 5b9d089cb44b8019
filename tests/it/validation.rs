//! dual-model-validation in the host: each row goes on, divergences go to their own sink, agreement is kept
//! per key across a restart.

use millstream_tests::{Job, plugin};
use serde_json::{Value, json};

const PIPELINE: &str = r#"
[pipeline]
name = "validation"
workers = 2
[state]
path = "state"
[plugins]
folder = "plugins"
watch = false
[source.scored]
connector = "file"
path = "scored.jsonl"
[source.scored.fields]
id = "i64"
segment = "utf8"
fast_score = "f32"
accurate_score = "f32?"
model_version = "utf8"
accurate_model_version = "utf8?"
[operator.validation]
plugin = "dual-model-validation"
inputs = ["scored"]
key = "segment"
forward = ["id", "segment"]
config = { threshold = 0.5, tolerance = 0.25 }
[sink.rows]
connector = "file"
inputs = ["validation"]
path = "rows.jsonl"
[sink.divergences]
connector = "file"
inputs = ["validation.divergences"]
path = "divergences.jsonl"
"#;

fn row(id: i64, segment: &str, fast: f32, accurate: Option<f32>) -> String {
    let version = accurate.map(|_| "a1");
    let row = json!({
        "id": id, "segment": segment, "fast_score": fast, "accurate_score": accurate, "model_version": "f1",
        "accurate_model_version": version,
    });
    format!("{row}\n")
}

#[test]
fn rows_go_on_divergences_aside_and_agreement_outlives_a_restart() {
    let job = Job::new(PIPELINE);
    job.install(&plugin("dual-model-validation"), "dual-model-validation.wasm");
    job.write(
        "scored.jsonl",
        row(1, "de", 0.75, Some(0.5)) + &row(2, "fr", 0.25, None) + &row(3, "de", 0.25, Some(1.0)),
    );
    drop(job.run().succeeded());
    job.append("scored.jsonl", row(4, "fr", 0.0, Some(0.125)) + &row(5, "de", 1.0, Some(0.5)));
    drop(job.run().succeeded());

    let mut rows = job.rows("rows.jsonl");
    rows.sort_by_key(|row| row["id"].as_i64());
    let added = |row: &Value| ["agrees", "compared", "agreement", "mean_difference"].map(|name| row[name].clone());
    let added: Vec<_> = rows.iter().map(added).collect();
    let null = Value::Null;
    assert_eq!(added[0], [json!(true), json!(1), json!(1.0), json!(0.25)]);
    assert_eq!(added[1], [null.clone(), null.clone(), null.clone(), null]);
    assert_eq!(added[2], [json!(false), json!(2), json!(0.5), json!(0.5)]);
    assert_eq!(added[3], [json!(true), json!(1), json!(1.0), json!(0.125)]);
    assert_eq!(added[4][..2], [json!(true), json!(3)]);

    let expected = [
        json!({"id": 3, "segment": "de", "fast_score": 0.25, "accurate_score": 1.0, "model_version": "f1",
               "accurate_model_version": "a1", "difference": 0.75, "agrees": false}),
        json!({"id": 5, "segment": "de", "fast_score": 1.0, "accurate_score": 0.5, "model_version": "f1",
               "accurate_model_version": "a1", "difference": 0.5, "agrees": true}),
    ];
    assert_eq!(job.rows("divergences.jsonl"), expected);
}
