//! Streaming features equal a plain batch computation over the same rows, however many workers
//! share the keys.
//!
//! The batch computation keeps every row of a key and goes through all of them for each window, by
//! the definitions at the head of the two plugins.

use std::collections::HashMap;

use millstream_tests::{Job, generate, parse_lines, plugin};
use serde_json::Value;

const PIPELINE: &str = r#"
[pipeline]
name = "features"
workers = 2

[state]
path = "state"

[plugins]
folder = "plugins"
watch = false

[source.transactions]
connector = "file"
path = "transactions.jsonl"
event_time = "timestamp"
max_out_of_orderness = "9d"
[source.transactions.fields]
transaction_id = "i64"
timestamp = "timestamp"
user_id = "utf8"
terminal_id = "utf8"
amount = "f64"

[operator.user-features]
plugin = "feature-enrichment"
inputs = ["transactions"]
key = "user_id"

[operator.terminal-features]
plugin = "terminal-activity"
inputs = ["user-features"]
key = "terminal_id"

[sink.features]
connector = "file"
inputs = ["terminal-features"]
path = "features.jsonl"
"#;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

fn job() -> Job {
    let job = Job::new(PIPELINE);
    for name in ["feature-enrichment", "terminal-activity"] {
        job.install(&plugin(name), &format!("{name}.wasm"));
    }
    // Busy and idle keys: some terminals rest for longer than their windows reach, no user for
    // longer than a profile is kept.
    generate(
        &job,
        "transactions.jsonl",
        20_000,
        &["--seed", "7", "--days", "60", "--users", "200", "--terminals", "1500", "--zipf", "0.6"],
    );
    job
}

/// One row of a key, as the batch computation remembers it.
struct Seen {
    at: i64,
    value: f64,
    /// Newest event time of the key when it came, its own included.
    newest: i64,
}

/// Count and mean of the rows within `tiles` tiles of `width` up to the newest, of those that were
/// not older than `ring` tiles when they came.
fn window(seen: &[Seen], width: i64, ring: i64, tiles: i64) -> (f64, f64) {
    let tile = |at: i64| at.div_euclid(width);
    let newest = seen.last().map_or(0, |s| s.newest);
    let inside = |s: &&Seen| tile(s.newest) - tile(s.at) < ring && tile(newest) - tile(s.at) < tiles;
    let (count, sum) = seen.iter().filter(inside).fold((0.0, 0.0), |(n, sum), s| (n + 1.0, sum + s.value));
    (count, if count == 0.0 { 0.0 } else { sum / count })
}

fn remember(seen: &mut Vec<Seen>, at: i64, value: f64) {
    let newest = seen.last().map_or(at, |s| s.newest.max(at));
    seen.push(Seen { at, value, newest });
}

/// The features of every row, in the order of the rows.
fn batch_features(rows: &[Value]) -> Vec<Vec<(&'static str, f64)>> {
    let mut users: HashMap<&str, Vec<Seen>> = HashMap::new();
    let mut terminals: HashMap<&str, (Vec<Seen>, Vec<Seen>)> = HashMap::new();
    let features = |row: &Value| {
        let (at, amount) = (row["timestamp"].as_i64().unwrap(), row["amount"].as_f64().unwrap());
        // The borrow of a string in the rows lives as long as they do.
        let text = |name: &str| rows[row["transaction_id"].as_u64().unwrap() as usize][name].as_str().unwrap();
        let user = users.entry(text("user_id")).or_default();
        let last = user.last().map(|s| s.value);
        remember(user, at, amount);
        let (count_1d, mean_1d) = window(user, HOUR, 24, 24);
        let (count_7d, mean_7d) = window(user, DAY, 30, 7);
        let (count_30d, mean_30d) = window(user, DAY, 30, 30);

        let (amounts, large) = terminals.entry(text("terminal_id")).or_default();
        // The 7 days before the row end at the row, and do not hold it.
        remember(amounts, at, amount);
        let without = amounts.last().map(|s| s.newest).unwrap();
        let before = amounts.len() - 1;
        let usual: Vec<f64> = amounts[..before]
            .iter()
            .filter(|s| {
                let tile = |at: i64| at.div_euclid(DAY);
                tile(s.newest) - tile(s.at) < 7 && tile(without) - tile(s.at) < 7
            })
            .map(|s| s.value)
            .collect();
        let mean = usual.iter().sum::<f64>() / usual.len() as f64;
        let is_large = usual.len() >= 5 && amount > 3.0 * mean;
        remember(large, at, f64::from(u8::from(is_large)));
        let (terminal_count_1d, terminal_mean_1d) = window(amounts, HOUR, 24, 24);
        let (terminal_count_7d, terminal_mean_7d) = window(amounts, DAY, 7, 7);
        vec![
            ("current_amount", amount),
            ("last_amount", last.unwrap_or(0.0)),
            ("amount_ratio", last.filter(|l| *l != 0.0).map_or(1.0, |l| amount / l)),
            ("count_1d", count_1d),
            ("mean_1d", mean_1d),
            ("count_7d", count_7d),
            ("mean_7d", mean_7d),
            ("count_30d", count_30d),
            ("mean_30d", mean_30d),
            ("terminal_count_1d", terminal_count_1d),
            ("terminal_mean_1d", terminal_mean_1d),
            ("terminal_large_share_1d", window(large, HOUR, 24, 24).1),
            ("terminal_count_7d", terminal_count_7d),
            ("terminal_mean_7d", terminal_mean_7d),
            ("terminal_large_share_7d", window(large, DAY, 7, 7).1),
        ]
    };
    rows.iter().map(features).collect()
}

/// Runs the pipeline and compares every feature of every row.
fn compare(job: &Job) {
    let rows = parse_lines(&job.text("transactions.jsonl"));
    let report = job.run().succeeded().report();
    assert_eq!(report["dead_lettered"], 0);
    let mut out = job.rows("features.jsonl");
    out.sort_by_key(|r| r["transaction_id"].as_u64());
    assert_eq!(out.len(), rows.len());
    let mut wrong = Vec::new();
    for ((row, out), expected) in rows.iter().zip(&out).zip(batch_features(&rows)) {
        assert_eq!(row["transaction_id"], out["transaction_id"]);
        for (name, expected) in expected {
            let streamed = out[name].as_f64().unwrap_or(f64::NAN);
            let close = (streamed - expected).abs() <= 1e-9 * expected.abs().max(streamed.abs());
            if !close {
                wrong.push(format!("{row}: {name} is {streamed}, not {expected}"));
            }
        }
    }
    let shown = wrong[..wrong.len().min(10)].join("\n");
    assert!(wrong.is_empty(), "{} features differ from the batch computation:\n{shown}", wrong.len());
}

#[test]
fn streaming_features_equal_a_batch_computation() {
    let job = job();
    compare(&job);
    let out = job.rows("features.jsonl");
    let large = out.iter().filter(|r| r["terminal_large_share_7d"].as_f64() > Some(0.0)).count();
    assert!(large > 100, "the rows put the windows of large amounts to no test: {large}");
}

#[test]
fn late_rows_enter_the_windows_that_they_belong_to() {
    let job = job();
    // Every 17th row comes up to nine days late.
    let late = |mut row: Value| {
        let id = row["transaction_id"].as_i64().unwrap();
        if id % 17 == 5 {
            row["timestamp"] = (row["timestamp"].as_i64().unwrap() - id * 7_919_000 % (9 * DAY)).into();
        }
        row.to_string() + "\n"
    };
    let rows: String = parse_lines(&job.text("transactions.jsonl")).into_iter().map(late).collect();
    job.write("transactions.jsonl", rows);
    compare(&job);
}

#[test]
fn the_number_of_workers_does_not_change_a_value() {
    let job = job();
    let run = |workers: &str| {
        let state = format!("state.path=state-{workers}");
        let report = job.run_with(&["--set", &format!("pipeline.workers={workers}"), "--set", &state]).succeeded();
        assert_eq!(report.report()["rows_in"], 20_000);
        let mut lines: Vec<String> = job.text("features.jsonl").lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let one = run("1");
    assert_eq!(one.len(), 20_000);
    for workers in ["2", "3"] {
        assert!(run(workers) == one, "{workers} workers give other rows than one");
    }
}
