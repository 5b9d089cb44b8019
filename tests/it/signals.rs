//! SIGINT and SIGTERM: what was read is finished and written, and the exit status is 0.

use millstream_tests::Job;

const PIPELINE: &str = r#"
[pipeline]
name = "follow"

[source.in]
connector = "file"
path = "in.jsonl"
format = "json"
follow = true
[source.in.fields]
id = "i64"

[sink.out]
connector = "file"
inputs = ["in"]
path = "out.jsonl"
format = "json"
"#;

fn drains_on(signal: &str) {
    let job = Job::new(PIPELINE);
    job.write("in.jsonl", (0..1000).map(|i| format!("{{\"id\":{i}}}\n")).collect::<String>());
    let mut running = job.start();
    let written = |job: &Job| job.text("out.jsonl").lines().count();
    running.wait_until("the rows of a followed file come out", |job| written(job) == 1000);
    // What is appended while it runs is read too.
    job.append("in.jsonl", "{\"id\":1000}\n");
    running.wait_until("an appended row comes out", |job| written(job) == 1001);
    let report = running.stop(signal).succeeded().report();
    assert_eq!((report["rows_in"].as_u64(), written(&job)), (Some(1001), 1001));
    assert_eq!(report["stopped"], true);
}

#[test]
fn sigint_drains_and_exits_with_0() {
    drains_on("INT");
}

#[test]
fn sigterm_drains_and_exits_with_0() {
    drains_on("TERM");
}
