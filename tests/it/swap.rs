//! A new generation of a plugin takes over while rows flow; what cannot take over changes nothing.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use millstream_tests::{Job, fixture};

/// Transactions until it is stopped, at a rate that leaves any machine room.
const COUNTER: &str = r#"
[pipeline]
name = "swap"
workers = 2

[state]
path = "state"

[plugins]
folder = "plugins"

[source.transactions]
connector = "generator"
kind = "transactions"
rate = 60000
seed = 5

[operator.count]
plugin = "counter"
inputs = ["transactions"]
key = "user_id"
forward = ["transaction_id", "user_id"]
generation_column = "operator_generation"

[sink.out]
connector = "file"
inputs = ["count"]
path = "out.jsonl"
"#;

/// Whether one of the newest rows of the output has this text.
fn newest_rows_have(job: &Job, text: &str) -> bool {
    let Ok(mut file) = std::fs::File::open(job.path("out.jsonl")) else { return false };
    let length = file.metadata().map_or(0, |m| m.len());
    let mut end = Vec::new();
    let _ = file.seek(SeekFrom::Start(length.saturating_sub(8_192))).and_then(|_| file.read_to_end(&mut end));
    String::from_utf8_lossy(&end).contains(text)
}

fn size(job: &Job) -> u64 {
    std::fs::metadata(job.path("out.jsonl")).map_or(0, |m| m.len())
}

#[test]
fn a_new_generation_takes_over_under_load_and_no_row_notices() {
    let job = Job::new(COUNTER);
    job.install(&fixture("counter-v1"), "counter.wasm");
    let mut running = job.start();
    running.wait_until("rows flow", |job| size(job) > 1 << 20);
    job.install(&fixture("counter-v2"), "counter.wasm");
    running.wait_until("the new generation writes", |job| newest_rows_have(job, "\"operator_generation\":2"));
    let then = size(&job);
    running.wait_until("it goes on", |job| size(job) > then + (1 << 20));
    let report = running.stop("TERM").succeeded().report();

    let rows_in = report["rows_in"].as_u64().unwrap();
    assert_eq!((report["sinks"][0]["rows"].as_u64(), report["dead_lettered"].as_u64()), (Some(rows_in), Some(0)));
    let generations: Vec<_> = report["generations"].as_array().unwrap().iter().collect();
    assert_eq!(generations.len(), 2, "{report}");
    for (generation, (number, version)) in generations.iter().zip([(1, "1.0.0"), (2, "2.0.0")]) {
        assert_eq!((&generation["operator"], &generation["generation"]), (&"count".into(), &number.into()));
        assert_eq!(generation["version"], version);
        assert!(generation["rows"].as_u64() > Some(0), "generation {number} processed nothing: {report}");
    }
    let processed: u64 = generations.iter().map(|g| g["rows"].as_u64().unwrap()).sum();
    assert_eq!(processed, rows_in);

    let mut rows = job.rows("out.jsonl");
    assert_eq!(rows.len() as u64, rows_in);
    rows.sort_by_key(|r| r["transaction_id"].as_u64());
    let mut counts: HashMap<&str, u64> = HashMap::new();
    let mut generation = 1;
    for (id, row) in rows.iter().enumerate() {
        assert_eq!(row["transaction_id"].as_u64(), Some(id as u64), "rows are lost or doubled");
        // All workers change at the same point of the stream, so it holds for all keys at once.
        let now = row["operator_generation"].as_u64().unwrap();
        assert!(now >= generation, "the generation went back from {generation}: {row}");
        generation = now;
        assert_eq!(row["generation"].as_u64(), Some(now), "another plugin than the column says: {row}");
        let count = counts.entry(row["user_id"].as_str().unwrap()).or_default();
        *count += 1;
        assert_eq!(row["count"].as_u64(), Some(*count), "the count of a user has a gap or a repeat: {row}");
    }
    assert_eq!(generation, 2);
}

/// Doubles what is appended to a followed file.
const DOUBLE: &str = r#"
[pipeline]
name = "broken-files"

[plugins]
folder = "plugins"

[source.in]
connector = "file"
path = "in.jsonl"
follow = true
[source.in.fields]
value = "i64"

[operator.double]
plugin = "double"
inputs = ["in"]
generation_column = "operator_generation"

[sink.out]
connector = "file"
inputs = ["double"]
path = "out.jsonl"
"#;

fn values(range: std::ops::RangeInclusive<i64>) -> String {
    range.map(|v| format!("{{\"value\":{v}}}\n")).collect()
}

#[test]
fn a_broken_file_changes_nothing_and_the_log_says_why() {
    let job = Job::new(DOUBLE);
    job.install(&fixture("double"), "double.wasm");
    job.write("in.jsonl", "");
    let mut running = job.start();
    let mut rows = 0;
    let mut flow = |running: &mut millstream_tests::Running<'_>| {
        job.append("in.jsonl", values(rows + 1..=rows + 100));
        rows += 100;
        running.wait_until("rows come out", |job| job.text("out.jsonl").lines().count() as i64 == rows);
    };
    flow(&mut running);

    job.write("junk", b"this is no WebAssembly");
    job.write("core", b"\0asm\x01\0\0\0");
    let whole = std::fs::read(fixture("double")).unwrap();
    job.write("half", &whole[..whole.len() / 2]);
    let bad: [(&str, &Path, &str); 6] = [
        ("junk.wasm", &job.path("junk"), "not a WebAssembly component"),
        ("core.wasm", &job.path("core"), "a core WebAssembly module, not a component"),
        ("half.wasm", &job.path("half"), "not a valid component"),
        ("double.cwasm", &job.path("junk"), "never loaded from a plugin folder"),
        ("other.wasm", &fixture("double-as-float"), "other columns"),
        ("model.wasm", &fixture("ungranted-inference"), "imports `millstream:operator/inference@1.0.0`"),
    ];
    for (name, file, reason) in bad {
        job.install(file, name);
        running.wait_until(reason, |job| job.text("log").lines().any(|l| l.contains(name) && l.contains(reason)));
        flow(&mut running);
    }
    // A refusal that is told after the file was deleted shows that its absence was seen.
    std::fs::remove_file(job.path("plugins/double.wasm")).unwrap();
    job.write("junk", b"nor is this");
    job.install(&job.path("junk"), "last.wasm");
    running.wait_until("the folder is looked at", |job| job.text("log").lines().any(|l| l.contains("last.wasm")));
    flow(&mut running);

    let report = running.stop("TERM").succeeded().report();
    let out = job.rows("out.jsonl");
    for (row, value) in out.iter().zip(1..=rows) {
        let wanted = serde_json::json!({ "value": value, "doubled": 2 * value, "operator_generation": 1 });
        assert_eq!(row, &wanted);
    }
    assert_eq!((report["rows_in"].as_i64(), report["dead_lettered"].as_i64()), (Some(rows), Some(0)));
    assert_eq!(report["generations"].as_array().map(Vec::len), Some(1), "{report}");
    assert_eq!(report["generations"][0]["rows"].as_i64(), Some(rows));
}

#[test]
fn a_generation_column_of_a_name_that_is_taken_is_refused() {
    let job = Job::new(&COUNTER.replace("operator_generation", "generation"));
    job.install(&fixture("counter-v1"), "counter.wasm");
    let checked = job.host(&["check", "pipeline.toml"]);
    assert_eq!(checked.status.code(), Some(3), "{}", checked.stderr);
    assert!(checked.stderr.contains("`generation`") && checked.stderr.contains("pipeline.toml:"), "{}", checked.stderr);
}
