//! Keyed state outlives a stop, and belongs to one running host. A second run goes on where the
//! first one ended: its rows are written behind those that are there.

use millstream_tests::{Job, Running, fixture, generate, plugin};

const PIPELINE: &str = r#"
[pipeline]
name = "state"
workers = 2

[checkpoint]
interval = "50ms"

[state]
path = "state"

[plugins]
folder = "plugins"
watch = false

[source.transactions]
connector = "file"
path = "all.jsonl"
event_time = "timestamp"
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

[sink.out]
connector = "file"
inputs = ["terminal-features"]
path = "out.jsonl"
"#;

/// Runs over `input` with the state of `state`; the lines that all runs with that state wrote, sorted.
fn run(job: &Job, input: &str, state: &str, workers: u32) -> Vec<String> {
    let overrides = [
        format!("source.transactions.path={input}"),
        format!("state.path={state}"),
        format!("pipeline.workers={workers}"),
    ];
    let arguments: Vec<&str> = overrides.iter().flat_map(|o| ["--set", o.as_str()]).collect();
    drop(job.run_with(&arguments).succeeded());
    let mut lines: Vec<String> = job.text("out.jsonl").lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// A job with `all.jsonl`, and its halves in `first.jsonl` and `second.jsonl`.
fn halves() -> Job {
    let job = Job::new(PIPELINE);
    for name in ["feature-enrichment", "terminal-activity"] {
        job.install(&plugin(name), &format!("{name}.wasm"));
    }
    // Three days: nothing expires.
    generate(&job, "all.jsonl", 40_000, &["--seed", "3", "--days", "3", "--users", "500", "--terminals", "800"]);
    let text = job.text("all.jsonl");
    let lines: Vec<&str> = text.lines().collect();
    let (first, second) = lines.split_at(20_000);
    job.write("first.jsonl", first.join("\n"));
    job.write("second.jsonl", second.join("\n"));
    job
}

#[test]
fn two_runs_over_halves_equal_one_run_over_all() {
    let job = halves();
    let whole = run(&job, "all.jsonl", "state-whole", 2);
    assert_eq!(run(&job, "first.jsonl", "state-halves", 2).len(), 20_000);
    let parts = run(&job, "second.jsonl", "state-halves", 2);
    assert!(parts == whole, "state was lost between two runs");
    // The second half alone differs, so the comparison above can fail.
    let forgetful = run(&job, "second.jsonl", "state-empty", 2);
    assert!(forgetful.iter().any(|line| whole.binary_search(line).is_err()));
}

#[test]
fn state_is_found_again_by_another_number_of_workers() {
    let job = halves();
    let whole = run(&job, "all.jsonl", "state-whole", 1);
    assert_eq!(run(&job, "first.jsonl", "state-halves", 1).len(), 20_000);
    let parts = run(&job, "second.jsonl", "state-halves", 3);
    assert!(parts == whole, "state was lost when the number of workers changed");
}

const COUNTER: &str = r#"
[pipeline]
name = "counter"

[state]
path = "state"

[plugins]
folder = "plugins"

[source.in]
connector = "file"
path = "in.jsonl"
follow = true
[source.in.fields]
user = "utf8"

[operator.count]
plugin = "counter"
inputs = ["in"]
key = "user"

[sink.out]
connector = "file"
inputs = ["count"]
path = "out.jsonl"
"#;

fn counter() -> Job {
    let job = Job::new(COUNTER);
    job.install(&fixture("counter-v1"), "counter.wasm");
    job.write("in.jsonl", THREE);
    job
}

const THREE: &str = "{\"user\":\"a\"}\n{\"user\":\"b\"}\n{\"user\":\"a\"}\n";

/// What the rows of the two users were counted as.
fn counts(job: &Job) -> [Vec<u64>; 2] {
    let rows = job.rows("out.jsonl");
    let of = |user: &str| rows.iter().filter(|r| r["user"] == user).map(|r| r["count"].as_u64().unwrap()).collect();
    ["a", "b"].map(of)
}

/// Starts the host and waits for as many rows.
fn start(job: &Job, rows: usize) -> Running<'_> {
    let mut running = job.start();
    running.wait_until("the rows come out", |job| job.text("out.jsonl").lines().count() == rows);
    running
}

#[test]
fn a_state_folder_in_use_is_refused_and_left_alone() {
    let job = counter();
    let mut running = start(&job, 3);
    let second = job.host(&["run", "pipeline.toml", "--set", "sink.out.path=other.jsonl"]);
    assert_eq!(second.status.code(), Some(1), "{}", second.stderr);
    for part in ["the state folder state is in use by another process", "state.path"] {
        assert!(second.stderr.contains(part), "`{part}` is missing in: {}", second.stderr);
    }
    job.append("in.jsonl", "{\"user\":\"a\"}\n");
    running.wait_until("the first host goes on", |job| job.text("out.jsonl").lines().count() == 4);
    drop(running.stop("TERM").succeeded());
    assert_eq!(counts(&job), [vec![1, 2, 3], vec![1]]);
}

#[test]
fn state_outlives_a_signal() {
    let job = counter();
    for round in 0..3 {
        drop(start(&job, 3 * (round + 1)).stop(if round == 0 { "INT" } else { "TERM" }).succeeded());
        let last = round as u64 + 1;
        assert_eq!(counts(&job), [(1..=2 * last).collect::<Vec<_>>(), (1..=last).collect()]);
        job.append("in.jsonl", THREE);
    }
}

#[test]
fn a_finished_run_that_is_started_again_does_nothing() {
    let job = counter();
    let once = ["--set", "source.in.follow=false"];
    drop(job.run_with(&once).succeeded());
    let (before, report) = (job.text("out.jsonl"), job.run_with(&once).succeeded().report());
    assert_eq!((report["rows_in"].as_u64(), job.text("out.jsonl")), (Some(0), before));
}

#[test]
fn a_run_that_fails_before_it_has_read_forgets_nothing() {
    let job = counter();
    let once = ["--set", "source.in.follow=false"];
    drop(job.run_with(&once).succeeded());
    // Another input under the same name: refused, with a last epoch that must not forget the position.
    job.write("in.jsonl", "{\"user\":\"x\"}\n");
    let refused = job.run_with(&once);
    assert_eq!(refused.status.code(), Some(1), "{}", refused.stderr);
    assert!(refused.stdout.contains("put the file back"), "{}", refused.stdout);
    job.write("in.jsonl", [THREE, "{\"user\":\"b\"}\n"].concat());
    let report = job.run_with(&once).succeeded().report();
    assert_eq!(report["rows_in"], 1);
    assert_eq!(counts(&job), [vec![1, 2], vec![1, 2]]);
}

#[test]
fn a_signal_at_any_moment_of_the_start_forgets_nothing() {
    let job = counter();
    drop(job.run_with(&["--set", "source.in.follow=false"]).succeeded());
    for wait in [0, 5, 10, 20, 40, 80] {
        let running = job.start();
        std::thread::sleep(std::time::Duration::from_millis(wait));
        // Before it listens for signals, the signal ends it: that is no harm either.
        drop(running.stop("TERM"));
    }
    drop(job.run_with(&["--set", "source.in.follow=false"]).succeeded());
    assert_eq!(counts(&job), [vec![1, 2], vec![1]]);
}

#[test]
fn a_sink_that_was_renamed_does_not_empty_its_file() {
    let job = counter();
    let once = ["--set", "source.in.follow=false"];
    drop(job.run_with(&once).succeeded());
    let before = job.text("out.jsonl");
    job.write("pipeline.toml", COUNTER.replace("[sink.out]", "[sink.counts]"));
    let refused = job.run_with(&once);
    assert_eq!(refused.status.code(), Some(1), "{}", refused.stdout);
    assert!(refused.stdout.contains("sink `out`"), "{}", refused.stdout);
    assert_eq!(job.text("out.jsonl"), before);
}

#[test]
fn another_file_at_the_path_of_a_sink_is_refused_and_left_alone() {
    let job = counter();
    let once = ["--set", "source.in.follow=false"];
    drop(job.run_with(&once).succeeded());
    job.write("out.jsonl", "x".repeat(10_000));
    let refused = job.run_with(&once);
    assert_eq!(refused.status.code(), Some(1), "{}", refused.stdout);
    assert!(refused.stdout.contains("another file under the same name"), "{}", refused.stdout);
    assert_eq!(job.text("out.jsonl").len(), 10_000);
}

#[test]
fn slots_of_an_older_version_are_carried_over_after_a_restart() {
    let job = counter();
    let once = ["--set", "source.in.follow=false"];
    drop(job.run_with(&once).succeeded());
    assert_eq!(counts(&job), [vec![1, 2], vec![1]]);
    job.install(&fixture("counter-v2"), "counter.wasm");
    job.append("in.jsonl", THREE);
    drop(job.run_with(&once).succeeded());
    assert_eq!(counts(&job), [vec![1, 2, 3, 4], vec![1, 2]]);
    let generations: Vec<_> = job.rows("out.jsonl").iter().map(|r| r["generation"].as_u64()).collect();
    assert_eq!(generations, [1, 1, 1, 2, 2, 2].map(Some));
}

#[test]
fn slots_of_a_newer_version_are_refused_and_stay() {
    let job = counter();
    let once = ["--set", "source.in.follow=false"];
    job.install(&fixture("counter-v2"), "counter.wasm");
    drop(job.run_with(&once).succeeded());
    job.install(&fixture("counter-v1"), "counter.wasm");
    job.append("in.jsonl", THREE);
    let older = job.host(&["run", "pipeline.toml", "--set", "source.in.follow=false"]);
    assert!(!older.status.success(), "an older plugin read slots of a newer one: {}", older.stderr);
    assert!(older.stderr.contains("version 2"), "{}", older.stderr);
    job.install(&fixture("counter-v2"), "counter.wasm");
    drop(job.run_with(&once).succeeded());
    assert_eq!(counts(&job), [vec![1, 2, 3, 4], vec![1, 2]]);
}
