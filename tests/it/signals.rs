//! SIGINT and SIGTERM: what was read is finished and written, and the exit status is 0.

use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use millstream_tests::{Job, finish};

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
    let child = job.start();
    let deadline = Instant::now() + Duration::from_secs(30);
    let written = || std::fs::read_to_string(job.path("out.jsonl")).map_or(0, |t| t.lines().count());
    while written() < 1000 {
        assert!(Instant::now() < deadline, "rows of a followed file do not come out");
        std::thread::sleep(Duration::from_millis(10));
    }
    // What is appended while it runs is read too.
    let mut file = std::fs::OpenOptions::new().append(true).open(job.path("in.jsonl")).unwrap();
    writeln!(file, "{{\"id\":1000}}").unwrap();
    while written() < 1001 {
        assert!(Instant::now() < deadline, "an appended row does not come out");
        std::thread::sleep(Duration::from_millis(10));
    }
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let report = finish(child).succeeded().report();
    assert_eq!((report["rows_in"].as_u64(), written()), (Some(1001), 1001));
}

#[test]
fn sigint_drains_and_exits_with_0() {
    drains_on("-INT");
}

#[test]
fn sigterm_drains_and_exits_with_0() {
    drains_on("-TERM");
}
