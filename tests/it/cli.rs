//! The program with real plugins and models: what `check` finds before a row is read, and what the
//! other commands print.

use std::io::{BufRead, BufReader};
use std::path::Path;

use millstream_tests::{Job, finish, fixture, generate, plugin, root};
use serde_json::Value;

/// Arguments that make the example run from a job's folder.
fn example() -> (String, Vec<String>) {
    let plugins = plugin("feature-vector").parent().map(Path::to_owned).unwrap_or_default();
    let overrides = [
        "source.transactions.path=transactions.jsonl".to_owned(),
        "sink.scores.path=scores.jsonl".into(),
        "sink.rejected.path=rejected.jsonl".into(),
        "state.path=state".into(),
        format!("plugins.folder={}", plugins.display()),
    ];
    let file = root().join("examples/fraud-scoring/pipeline.toml").display().to_string();
    (file, overrides.into_iter().flat_map(|o| ["--set".to_owned(), o]).collect())
}

/// Runs a command on the example.
fn on_example(job: &Job, command: &str, more: &[&str]) -> millstream_tests::Finished {
    let (file, overrides) = example();
    let mut arguments = vec![command, &file];
    arguments.extend(overrides.iter().map(String::as_str));
    arguments.extend(more);
    job.host(&arguments)
}

#[test]
fn check_accepts_the_example_and_knows_every_schema() {
    let job = Job::new("");
    let text = on_example(&job, "check", &[]).succeeded();
    assert_eq!(text.stdout, "fraud-scoring: ok (1 source, 4 operators, 2 sinks)\n");
    let checked = on_example(&job, "check", &["--json"]).succeeded().report();
    assert_eq!(checked["ok"], true);
    let edge = |from: &str, to: &str| -> Vec<String> {
        let edges = checked["edges"].as_array().unwrap();
        let edge = edges.iter().find(|e| e["from"]["node"] == from && e["to"] == to);
        let columns = edge.unwrap_or_else(|| panic!("no edge from {from} to {to}: {checked}"))["schema"].as_array();
        columns.unwrap().iter().map(|c| format!("{} {}", c["name"], c["type"]).replace('"', "")).collect()
    };
    let from_source = edge("transactions", "user-features");
    assert_eq!(from_source[..2], ["transaction_id i64", "timestamp timestamp"]);
    assert_eq!(edge("user-features", "terminal-features")[..6], from_source);
    assert!(edge("terminal-features", "feature-vector").contains(&"terminal_large_share_7d f64".into()));
    assert!(edge("feature-vector", "score").contains(&"features f32[15]".into()));
    let scored = edge("score", "scores");
    for column in ["score f32", "model_version utf8"] {
        assert!(scored.contains(&column.into()), "{scored:?}");
    }
    assert!(!job.path("scores.jsonl").exists() && !job.path("state").exists(), "a check wrote something");
}

#[test]
fn the_graph_of_the_example_shows_every_part_and_column() {
    let job = Job::new("");
    let text = on_example(&job, "graph", &[]).succeeded().stdout;
    for part in ["transactions", "user-features", "key terminal_id", "model fraud", "features f32[15]", "rejected"] {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
    let dot = on_example(&job, "graph", &["--format", "dot"]).succeeded().stdout;
    assert!(dot.starts_with("digraph \"fraud-scoring\" {\n") && dot.ends_with("}\n"), "{dot}");
    for line in dot.lines().skip(1).filter(|l| *l != "}") {
        assert!(line.starts_with("  ") && line.ends_with(';'), "no statement: {line}");
        let quotes = line.replace("\\\"", "").matches('"').count();
        assert_eq!(quotes % 2, 0, "an open quote: {line}");
    }
    for arrow in [
        "\"transactions\" -> \"user-features\"",
        "\"user-features\" -> \"terminal-features\"",
        "\"terminal-features\" -> \"feature-vector\"",
        "\"feature-vector\" -> \"score\"",
        "\"score\" -> \"scores\"",
    ] {
        assert_eq!(dot.matches(arrow).count(), 1, "{arrow} in:\n{dot}");
    }
    let json = on_example(&job, "graph", &["--json"]).succeeded().report();
    assert_eq!((json["nodes"].as_array().map(Vec::len), json["edges"].as_array().map(Vec::len)), (Some(7), Some(5)));
}

/// `check` and `run` end with exit code 3, say all of `parts`, and write nothing.
fn both_refuse(job: &Job, more: &[&str], parts: &[&str]) {
    job.write("transactions.jsonl", "{\"transaction_id\":1}\n");
    for command in ["check", "run"] {
        let finished = on_example(job, command, more);
        assert_eq!(finished.status.code(), Some(3), "{command}: {}", finished.stderr);
        for part in parts {
            assert!(finished.stderr.contains(part), "{command}: `{part}` is missing in: {}", finished.stderr);
        }
        assert!(!job.path("scores.jsonl").exists(), "{command} began before all was known");
    }
}

#[test]
fn a_missing_model_is_found_before_a_row_is_read() {
    both_refuse(&Job::new(""), &["--set", "models.fraud.path=no-model.onnx"], &["`fraud`", "no-model.onnx"]);
}

#[test]
fn a_file_that_is_no_model_is_found_before_a_row_is_read() {
    let job = Job::new("");
    job.write("junk.onnx", "this is no model");
    both_refuse(&job, &["--set", "models.fraud.path=junk.onnx"], &["`fraud`", "junk.onnx"]);
}

#[test]
fn a_missing_onnx_runtime_is_found_before_a_row_is_read() {
    let job = Job::new("");
    let (file, overrides) = example();
    job.write("transactions.jsonl", "{\"transaction_id\":1}\n");
    for command in ["check", "run"] {
        let mut host = job.command(&[command, &file]);
        host.args(&overrides).env("MILLSTREAM_ONNXRUNTIME", "/nonexistent/libonnxruntime.so");
        let finished = finish(host.spawn().unwrap());
        assert_eq!(finished.status.code(), Some(3), "{command}: {}", finished.stderr);
        for part in ["/nonexistent/libonnxruntime.so", "MILLSTREAM_ONNXRUNTIME", "make setup"] {
            assert!(finished.stderr.contains(part), "{command}: `{part}` is missing in: {}", finished.stderr);
        }
        assert!(!job.path("scores.jsonl").exists(), "{command} began before all was known");
    }
}

#[test]
fn a_model_that_does_not_fit_its_features_is_found_before_a_row_is_read() {
    both_refuse(
        &Job::new(""),
        &[
            "--set",
            "operator.score.features=[\"current_amount\"]",
            "--set",
            "operator.feature-vector.forward=[\"current_amount\"]",
            "--set",
            "sink.scores.fields=[\"score\"]",
        ],
        &["`score`", "15"],
    );
}

#[test]
fn an_unknown_plugin_is_told_beside_those_that_are_there() {
    both_refuse(
        &Job::new(""),
        &["--set", "operator.user-features.plugin=feature-enrichmant"],
        &["no plugin `feature-enrichmant`", "`feature-enrichment`", "--set operator.user-features.plugin="],
    );
}

#[test]
fn an_unknown_key_of_an_override_is_told_with_the_nearest_one() {
    both_refuse(
        &Job::new(""),
        &["--set", "source.transactions.pth=x.jsonl"],
        &["unknown key `pth`", "--set source.transactions.pth=x.jsonl", "did you mean `path`?"],
    );
    both_refuse(
        &Job::new(""),
        &["--set", "source.transaction.path=x.jsonl"],
        &["no source `transaction`", "did you mean `transactions`?"],
    );
}

#[test]
fn an_override_of_a_plugins_configuration_reaches_it() {
    let job = Job::new("");
    both_refuse(
        &job,
        &["--set", "operator.terminal-features.config.faktor=2"],
        &["`terminal-features`", "faktor", "factor"],
    );
}

const TWO_OPERATORS: &str = r#"[pipeline]
name = "mismatch"

[plugins]
folder = "plugins"

[source.in]
connector = "file"
path = "in.jsonl"
[source.in.fields]
value = "i64"

[operator.first]
plugin = "double"
inputs = ["in"]
forward = []

[operator.second]
plugin = "loop-forever"
inputs = ["first"]

[sink.out]
connector = "file"
inputs = ["second"]
path = "out.jsonl"
"#;

#[test]
fn columns_that_do_not_fit_between_two_operators_are_shown_at_their_line() {
    let job = Job::new(TWO_OPERATORS);
    job.install(&fixture("double"), "double.wasm");
    job.install(&fixture("loop-forever"), "loop-forever.wasm");
    let finished = job.host(&["check", "pipeline.toml"]);
    assert_eq!(finished.status.code(), Some(3), "{}", finished.stderr);
    // The plugin wants `value: i64`; the operator before it passes on `doubled` alone.
    for part in ["pipeline.toml:19:", "`second`", "`value`", "i64", "doubled"] {
        assert!(finished.stderr.contains(part), "`{part}` is missing in: {}", finished.stderr);
    }

    let job = Job::new(&TWO_OPERATORS.replace("value = \"i64\"", "value = \"f64\""));
    job.install(&fixture("double"), "double.wasm");
    job.install(&fixture("loop-forever"), "loop-forever.wasm");
    let finished = job.host(&["check", "pipeline.toml"]);
    for part in ["pipeline.toml:14:", "`first`", "column `value` as i64", "have it as f64"] {
        assert!(finished.stderr.contains(part), "`{part}` is missing in: {}", finished.stderr);
    }
}

#[test]
fn a_plugin_is_described_as_json() {
    let job = Job::new("");
    job.install(&plugin("terminal-activity"), "t.wasm");
    let said = job.host(&["plugins", "inspect", "plugins/t.wasm", "--json"]).succeeded().report();
    assert_eq!((&said["name"], &said["path"]), (&"terminal-activity".into(), &"plugins/t.wasm".into()));
    let columns = |list: &Value| -> Vec<String> {
        let show = |c: &Value| format!("{} {}", c["name"].as_str().unwrap(), c["type"].as_str().unwrap());
        list.as_array().unwrap().iter().map(show).collect()
    };
    assert_eq!(columns(&said["inputs"]), ["amount f64", "timestamp timestamp"]);
    assert_eq!(columns(&said["outputs"][0]["columns"]).len(), 6);
    assert_eq!((&said["state"]["version"], &said["state"]["ttl_ms"]), (&1.into(), &(7 * 86_400_000_u64).into()));
    assert_eq!(said["counters"], serde_json::json!(["large_amounts"]));
    assert_eq!(said["sha256"].as_str().map(str::len), Some(64));
    assert_eq!(said["bytes"].as_u64(), std::fs::metadata(job.path("plugins/t.wasm")).ok().map(|m| m.len()));
    let imports: Vec<_> = said["imports"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(!imports.iter().any(|i| i.starts_with("wasi:sockets") || i.starts_with("wasi:http")), "{imports:?}");
}

#[test]
fn a_file_that_is_no_plugin_is_refused_by_inspect() {
    let job = Job::new("");
    job.write("junk.wasm", "this is no WebAssembly");
    for (file, reason) in [("junk.wasm", "not a WebAssembly component"), ("none.wasm", "No such file")] {
        let finished = job.host(&["plugins", "inspect", file]);
        assert_eq!(finished.status.code(), Some(4), "{}", finished.stderr);
        assert!(finished.stderr.contains(file) && finished.stderr.contains(reason), "{}", finished.stderr);
    }
}

#[test]
fn the_same_seed_generates_the_same_bytes() {
    let job = Job::new("");
    let bytes = |name: &str, seed: &str| {
        generate(&job, name, 3_000, &["--seed", seed]);
        std::fs::read(job.path(name)).unwrap()
    };
    let one = bytes("a.jsonl", "1");
    assert_eq!(one, bytes("b.jsonl", "1"));
    assert_ne!(one, bytes("c.jsonl", "2"));
    assert_eq!(one.iter().filter(|b| **b == b'\n').count(), 3_000);
    // Compressed by name, the content is the same.
    let zipped = bytes("a.jsonl.gz", "1");
    assert_eq!(zipped[..2], [0x1f, 0x8b]);
    assert_eq!(millstream_tests::read_all(flate2::read::GzDecoder::new(zipped.as_slice())).into_bytes(), one);
    let zstd_bytes = bytes("a.jsonl.zst", "1");
    assert_eq!(zstd::decode_all(zstd_bytes.as_slice()).unwrap(), one);
    // As CSV the rows are the same.
    let csv = String::from_utf8(bytes("a.csv", "1")).unwrap();
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("transaction_id,timestamp,user_id,terminal_id,amount,fraud"));
    for (line, row) in lines.zip(millstream_tests::parse_lines(std::str::from_utf8(&one).unwrap())) {
        let values: Vec<&str> = line.split(',').collect();
        assert_eq!(values[2], row["user_id"]);
        assert_eq!(
            (values[0].parse().ok(), values[4].parse().ok()),
            (row["transaction_id"].as_i64(), row["amount"].as_f64())
        );
    }
    assert_eq!(csv.lines().count(), 3_001);
    // And standard output gets what a file would.
    let stdout = job.host(&["generate", "transactions", "--rows", "3000", "--seed", "1", "--out", "-"]).succeeded();
    assert_eq!(stdout.stdout.into_bytes(), one);
}

#[test]
fn generate_reports_what_it_wrote() {
    let job = Job::new("");
    let arguments = ["generate", "transactions", "--rows", "50000", "--out", "t.jsonl", "--json"];
    let said = job.host(&arguments).succeeded().report();
    let rows = job.rows("t.jsonl");
    let fraud = rows.iter().filter(|r| r["fraud"] == 1).count();
    assert_eq!((said["rows"].as_u64(), said["fraud"].as_u64()), (Some(50_000), Some(fraud as u64)));
    assert!((50..1_500).contains(&fraud), "{fraud} frauds in 50,000 rows");
    assert!(rows.is_sorted_by_key(|r| r["timestamp"].as_i64()), "rows are not in the order of their time");
}

#[test]
fn a_reader_of_standard_output_that_leaves_ends_the_run_cleanly() {
    let pipeline = "[pipeline]\nname = \"head\"\n[source.t]\nconnector = \"generator\"\nkind = \"transactions\"\n\
                    [sink.out]\nconnector = \"stdout\"\ninputs = [\"t\"]\n";
    let job = Job::new(pipeline);
    // Without an end of its own: only the reader's leaving ends it.
    let mut child = job.command(&["run", "pipeline.toml"]).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    drop(stdout);
    let finished = finish(child);
    assert!(serde_json::from_str::<Value>(&line).is_ok_and(|row| row["transaction_id"] == 0), "{line}");
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    for word in ["panic", "roken pipe", "error"] {
        assert!(!finished.stderr.contains(word), "{}", finished.stderr);
    }
}
