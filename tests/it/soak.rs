//! Hundreds of epochs: memory, open files, and what lies on disk stay what they were.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use millstream_tests::{Job, plugin};

/// Epochs to the first look, when caches and the database have their size, and to the last one.
const SETTLED: f64 = 60.0;
const LAST: f64 = 260.0;

fn pipeline(port: u16) -> String {
    format!(
        r#"
[pipeline]
name = "soak"

[checkpoint]
interval = "100ms"
snapshot_interval = "1s"

[state]
path = "state"
cache = "16MiB"

[admin]
listen = "127.0.0.1:{port}"

[plugins]
folder = "plugins"
watch = false

[source.transactions]
connector = "generator"
kind = "transactions"
rate = 5000
event_time = "timestamp"
[source.transactions.fields]
transaction_id = "i64"
timestamp = "timestamp"
user_id = "utf8"
amount = "f64"

[operator.enrich]
plugin = "simple-enrichment"
inputs = ["transactions"]
key = "user_id"

[sink.out]
connector = "blackhole"
inputs = ["enrich"]
"#
    )
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

/// A metric, as anybody would fetch it; `None` while there is no answer.
fn metric(port: u16, name: &str) -> Option<f64> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// What a host takes.
#[derive(Debug)]
struct Taken {
    memory_kb: u64,
    handles: usize,
    files: usize,
    bytes: u64,
}

fn taken(pid: u32, state: &Path) -> Taken {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a running host");
    let memory = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("its memory");
    let memory_kb = memory.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number");
    let handles = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its files").count();
    let (mut files, mut bytes, mut folders) = (0, 0, vec![state.to_owned()]);
    while let Some(folder) = folders.pop() {
        // What is deleted meanwhile is not counted.
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => folders.push(entry.path()),
                Ok(meta) => (files, bytes) = (files + 1, bytes + meta.len()),
                Err(_) => {}
            }
        }
    }
    Taken { memory_kb, handles, files, bytes }
}

#[test]
fn two_hundred_epochs_later_memory_files_and_disk_are_what_they_were() {
    let port = free_port();
    let job = Job::new(&pipeline(port));
    job.install(&plugin("simple-enrichment"), "simple-enrichment.wasm");
    let mut running = job.start();
    let reached = |epochs: f64| move |_: &Job| metric(port, "millstream_epochs_total ") >= Some(epochs);
    running.wait_until("the first epochs are committed", reached(SETTLED));
    let before = taken(running.pid(), &job.path("state"));
    running.wait_until("two hundred more are", reached(LAST));
    let after = taken(running.pid(), &job.path("state"));
    assert_eq!(metric(port, "millstream_rewinds_total "), Some(0.0));
    let report = running.stop("TERM").succeeded().report();

    // A snapshot may be under way at either look.
    let said = format!("{before:?}, then {after:?}");
    assert!(after.memory_kb <= before.memory_kb + before.memory_kb / 4, "memory grows: {said}");
    assert!(after.handles <= before.handles + 16, "open files pile up: {said}");
    assert!(after.files <= before.files + 24, "files pile up: {said}");
    assert!(after.bytes <= 3 * before.bytes + (8 << 20), "the disk fills: {said}");
    assert!(report["epoch"]["committed"].as_f64() >= Some(LAST), "{report}");
}
