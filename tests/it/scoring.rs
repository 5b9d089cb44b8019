//! The fraud-scoring example with its committed model: every row gets a score, and the scores mean
//! something.

use std::path::{Path, PathBuf};

use millstream_tests::{Job, generate, real_transactions, root};
use serde_json::Value;

/// The example pipeline over `input`; its rows as they came out, in the order of the input.
fn score(job: &Job, input: &str) -> Vec<Value> {
    let example = root().join("examples/fraud-scoring/pipeline.toml");
    let plugins = millstream_tests::plugin("feature-vector").parent().map(Path::to_owned).unwrap_or_default();
    let mut arguments = vec!["run".to_owned(), example.display().to_string(), "--json".into(), "--no-progress".into()];
    for (key, value) in [
        ("source.transactions.path", PathBuf::from(input)),
        ("sink.scores.path", "scores.jsonl".into()),
        ("sink.rejected.path", "rejected.jsonl".into()),
        ("state.path", "state".into()),
        ("plugins.folder", plugins),
    ] {
        arguments.extend(["--set".into(), format!("{key}={}", value.display())]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let report = job.host(&arguments).succeeded().report();
    let mut rows = job.rows("scores.jsonl");
    let written = report["sinks"][0]["rows"].as_u64();
    assert_eq!((report["rows_in"].as_u64(), report["dead_lettered"].as_u64()), (written, Some(0)), "{report}");
    assert_eq!(written, Some(rows.len() as u64));
    // The plugin's own counter reaches the report.
    let generations = report["generations"].as_array().cloned().unwrap_or_default();
    let counted = generations.iter().find_map(|g| g["counters"]["large_amounts"].as_f64());
    assert!(counted.is_some_and(|n| n > 0.0 && n < rows.len() as f64), "{report}");
    rows.sort_by_key(|r| r["transaction_id"].as_u64());
    for (id, row) in rows.iter().enumerate() {
        assert_eq!(row["transaction_id"].as_u64(), Some(id as u64), "rows are lost or doubled");
        assert!(row["model_version"].as_str().is_some_and(|v| !v.is_empty()), "no version of the model: {row}");
        let score = row["score"].as_f64().unwrap_or(f64::NAN);
        assert!((0.0..=1.0).contains(&score), "no probability: {row}");
    }
    rows
}

/// The probability that a fraud has a higher score than a good row; ties count half.
fn auc(rows: &[Value]) -> f64 {
    let mut scores: Vec<(f64, bool)> =
        rows.iter().map(|r| (r["score"].as_f64().unwrap(), r["fraud"].as_i64() == Some(1))).collect();
    scores.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut good, mut fraud, mut won) = (0.0, 0.0, 0.0);
    for tied in scores.chunk_by(|a, b| a.0 == b.0) {
        let frauds = tied.iter().filter(|(_, fraud)| *fraud).count() as f64;
        let others = tied.len() as f64 - frauds;
        won += frauds * (good + others / 2.0);
        good += others;
        fraud += frauds;
    }
    assert!(good > 0.0 && fraud > 0.0, "{good} good rows and {fraud} frauds have no AUC");
    won / (good * fraud)
}

#[test]
fn the_example_finds_fraud_in_generated_transactions() {
    let job = Job::new("");
    generate(&job, "transactions.jsonl", 150_000, &["--seed", "2", "--users", "750", "--terminals", "1500"]);
    let rows = score(&job, "transactions.jsonl");
    assert_eq!(rows.len(), 150_000);
    let auc = auc(&rows[100_000..]);
    assert!(auc >= 0.8, "AUC of the last third: {auc:.3}");
}

#[test]
fn the_example_finds_fraud_in_real_transactions() {
    let Some(path) = real_transactions("the_example_finds_fraud_in_real_transactions") else { return };
    let job = Job::new("");
    let rows = score(&job, &path.display().to_string());
    let at = |row: &Value| row["timestamp"].as_i64().unwrap();
    let end = rows.iter().map(at).max().unwrap();
    let week: Vec<Value> = rows.into_iter().filter(|r| end - at(r) < 7 * 86_400_000).collect();
    let auc = auc(&week);
    assert!(auc >= 0.65, "AUC of the last week ({} rows): {auc:.3}", week.len());
}

#[test]
fn the_auc_counts_ties_half() {
    let row = |score: f64, fraud: i64| serde_json::json!({ "score": score, "fraud": fraud });
    assert_eq!(auc(&[row(0.1, 0), row(0.2, 0), row(0.9, 1)]), 1.0);
    assert_eq!(auc(&[row(0.9, 0), row(0.1, 1)]), 0.0);
    assert_eq!(auc(&[row(0.5, 0), row(0.5, 1)]), 0.5);
}
