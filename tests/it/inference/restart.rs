//! Rows in flight at the moment of death: each comes out once, asked for again.

use std::time::Duration;

use millstream_tests::Job;
use millstream_tests::faults::{ModelServer, Script};

use super::{TENSOR, assert_predicted, endpoint, inference, job, out, pipeline, report};

const ROWS: u64 = 4_000;

fn slow(order: &str) -> (ModelServer, String) {
    let server = ModelServer::start(Script::delay(Duration::from_millis(200)));
    let key = if order == "key" { "key = \"key\"" } else { "" };
    let operator = format!("{TENSOR}\ncapacity = 1000\norder = \"{order}\"\n{key}");
    let fixed = "[operator.score.concurrency]\nadaptive = false\n";
    let text = pipeline(&operator, &endpoint(&server.url()), fixed);
    (server, text)
}

/// Whether a thousand are in flight and an epoch has some of them.
fn in_the_middle(job: &Job, server: &ModelServer) -> bool {
    let log = job.path("state/checkpoints/log");
    let written: u64 =
        std::fs::read_dir(log).into_iter().flatten().flatten().map(|f| f.metadata().map_or(0, |m| m.len())).sum();
    server.counts().in_flight >= 900 && written > 4_096
}

#[test]
fn killed_with_a_thousand_in_flight_and_each_row_comes_out_once() {
    for order in ["unordered", "ordered", "key"] {
        let (server, text) = slow(order);
        let job = job(&text, ROWS);
        for _ in 0..3 {
            let mut running = job.start();
            running.wait_until("a thousand are in flight", |job| in_the_middle(job, &server));
            let killed = running.stop("KILL");
            assert!(!killed.status.success());
        }
        let report = report(job.run());
        assert_predicted(&job, ROWS);
        assert!(inference(&report)["restored"].as_u64() > Some(0), "{order}: {report}");
        if order == "ordered" {
            let ids: Vec<u64> = job.rows("out.jsonl").iter().map(|r| r["id"].as_u64().unwrap()).collect();
            assert!(ids.is_sorted());
        }
        let counts = server.counts();
        assert!(counts.rows > ROWS, "nothing was asked for again");
        assert!(counts.keys.values().any(|&times| times > 1), "rows keep their name over a restart");
    }
}

#[test]
fn a_signal_waits_for_the_answers_that_are_due() {
    let (server, text) = slow("unordered");
    let job = job(&text.replace("path = \"rows.jsonl\"", "path = \"rows.jsonl\"\nfollow = true"), 300);
    let mut running = job.start();
    running.wait_until("rows are in flight", |_| server.counts().in_flight >= 200);
    let report = running.stop("TERM").succeeded().report();
    let rows = report["rows_in"].as_u64().unwrap();
    assert_predicted(&job, rows);
}

#[test]
fn a_signal_does_not_wait_for_a_server_that_is_gone() {
    let server = ModelServer::start(Script::default());
    let text = pipeline(TENSOR, &endpoint(&server.url()), "[operator.score.breaker]\nconsecutive = 2\n");
    let job = job(&text.replace("path = \"rows.jsonl\"", "path = \"rows.jsonl\"\nfollow = true"), 500);
    server.die();
    let mut running = job.start();
    running.wait_until("rows were given up", |job| job.text("rejected.jsonl").lines().count() > 0);
    drop(running.stop("TERM").succeeded());
    let rejected = job.text("rejected.jsonl").lines().count() as u64;
    assert!(rejected < 500, "all rows were given up");
    server.come_back();
    job.write("pipeline.toml", &text);
    let report = report(job.run());
    assert_eq!(out(&job).len() as u64 + job.text("rejected.jsonl").lines().count() as u64, 500, "{report}");
    assert!(inference(&report)["restored"].as_u64() > Some(0), "{report}");
}

#[test]
fn a_signal_does_not_wait_for_the_second_of_two_servers() {
    let (first, second) =
        (ModelServer::start(Script::delay(Duration::from_millis(20))), ModelServer::start(Script::default()));
    let again = format!(
        r#"
[operator.again]
kind = "inference"
inputs = ["score"]
model = "fraud"
output = "again"
prefix = "again_"
{TENSOR}

[operator.again.endpoint]
{}

[operator.again.breaker]
consecutive = 2
"#,
        endpoint(&second.url())
    );
    let text = pipeline(TENSOR, &endpoint(&first.url()), &again);
    let text = text.replace("inputs = [\"score\"]\npath", "inputs = [\"again\"]\npath");
    let job = job(&text.replace("path = \"rows.jsonl\"", "path = \"rows.jsonl\"\nfollow = true"), 2_000);
    second.die();
    let mut running = job.start();
    running.wait_until("rows were given up", |job| job.text("rejected.jsonl").lines().count() > 0);
    drop(running.stop("TERM").succeeded());
    second.come_back();
    job.write("pipeline.toml", &text);
    drop(job.run().succeeded());
    let (out, rejected) = (out(&job).len(), job.text("rejected.jsonl").lines().count());
    assert_eq!(out + rejected, 2_000);
    assert!(out > 1_000, "{out} rows came out");
}

#[test]
fn without_state_a_signal_ends_the_run_and_says_what_is_missing() {
    let server = ModelServer::start(Script::default());
    let text = pipeline(TENSOR, &endpoint(&server.url()), "[operator.score.breaker]\nconsecutive = 2\n");
    let text = text.replace("[state]\npath = \"state\"\n", "").replace("[checkpoint]\ninterval = \"100ms\"\n", "");
    let job = job(&text, 500);
    server.die();
    let mut running = job.start();
    running.wait_until("rows were given up", |job| job.text("rejected.jsonl").lines().count() > 0);
    let ended = running.stop("TERM").succeeded();
    assert!(ended.stderr.contains("the run ends without the answers"), "{}", ended.stderr);
    assert!(ended.stderr.contains("circuit breaker opened"), "{}", ended.stderr);
}

#[test]
fn a_savepoint_has_the_rows_in_flight() {
    let (server, text) = slow("unordered");
    let job = job(&text, ROWS);
    let mut running = job.start();
    running.wait_until("a thousand are in flight", |job| in_the_middle(job, &server));
    drop(running.stop("KILL"));
    drop(job.host(&["savepoint", "create", "pipeline.toml", "kept"]).succeeded());
    drop(job.run().succeeded());
    assert_predicted(&job, ROWS);
    // Back to the middle: what is out since is cut off and comes again.
    drop(job.host(&["savepoint", "restore", "pipeline.toml", "kept", "--replace"]).succeeded());
    let report = report(job.run());
    assert_predicted(&job, ROWS);
    assert!(inference(&report)["restored"].as_u64() > Some(0), "{report}");
}

#[test]
fn rows_in_flight_of_an_operator_that_is_gone_are_not_forgotten_in_silence() {
    let (server, text) = slow("unordered");
    let job = job(&text, ROWS);
    let mut running = job.start();
    running.wait_until("a thousand are in flight", |job| in_the_middle(job, &server));
    drop(running.stop("KILL"));
    job.write("pipeline.toml", text.replace("operator.score", "operator.other").replace("[\"score\"]", "[\"other\"]"));
    let refused = job.run();
    assert!(!refused.status.success());
    let said = refused.stdout;
    assert!(said.contains("rows in flight of inference operator `score`"), "{said}");
    assert!(said.contains("--allow-non-restored-state"), "{said}");
}
