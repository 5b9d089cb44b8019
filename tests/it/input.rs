//! Bad input: the dead-letter sink says what and where, and the rows around it are not lost.

use std::io::Write;
use std::process::Stdio;

use flate2::Compression;
use flate2::write::GzEncoder;
use millstream_tests::{Job, finish};

const PIPELINE: &str = r#"
[pipeline]
name = "copy"
dead_letters = "rejected"
batch_rows = 16

[source.in]
connector = "file"
path = "in.jsonl"
format = "json"
max_record = "64KiB"
[source.in.fields]
id = "i64"
name = "utf8"
amount = "f64?"

[sink.out]
connector = "file"
inputs = ["in"]
path = "out.jsonl"
format = "json"

[sink.rejected]
connector = "file"
inputs = []
path = "rejected.jsonl"
format = "json"
"#;

fn line(id: i64) -> String {
    format!(r#"{{"id":{id},"name":"n{id}","amount":{id}.5}}"#)
}

/// Runs the copy pipeline; returns the ids that came out and `(line, reason)` of dead letters.
fn copy(input: &[u8]) -> (Vec<i64>, Vec<(u64, String)>) {
    let job = Job::new(PIPELINE);
    job.write("in.jsonl", input);
    let report = job.run().succeeded().report();
    let out: Vec<i64> = job.rows("out.jsonl").iter().map(|r| r["id"].as_i64().unwrap()).collect();
    let rejected: Vec<(u64, String)> = job
        .rows("rejected.jsonl")
        .iter()
        .map(|r| (r["offset"].as_u64().unwrap(), r["reason"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(report["dead_lettered"].as_u64(), Some(rejected.len() as u64), "{report}");
    (out, rejected)
}

#[test]
fn malformed_rows_are_dead_letters_and_their_neighbours_are_not_lost() {
    let bad: [(&str, &str); 8] = [
        (r#"{"id":1,"name":"x""#, ""),
        (r#"{"id":"one","name":"x"}"#, "id"),
        (r#"{"name":"x"}"#, "id"),
        (r#"{"id":1,"id":2,"name":"x"}"#, "id"),
        (r#"{"id":99999999999999999999,"name":"x"}"#, "id"),
        (r#"{"id":1,"name":"x","amount":1e999}"#, "amount"),
        (r#"{"id":1,"name":null}"#, "name"),
        ("nonsense", ""),
    ];
    let mut input = Vec::new();
    for (i, (text, _)) in bad.iter().enumerate() {
        writeln!(input, "{}\n{text}", line(i as i64)).unwrap();
    }
    input.extend_from_slice(b"{\"id\":1,\"name\":\"\xff\xfe\"}\n");
    writeln!(input, "{}", line(100)).unwrap();
    let (out, rejected) = copy(&input);
    assert_eq!(out, [0, 1, 2, 3, 4, 5, 6, 7, 100]);
    let lines: Vec<u64> = rejected.iter().map(|(l, _)| *l).collect();
    assert_eq!(lines, [2, 4, 6, 8, 10, 12, 14, 16, 17]);
    for ((_, field), (line, reason)) in bad.iter().zip(&rejected) {
        assert!(!reason.is_empty() && reason.contains(field), "line {line}: {reason}");
    }
}

#[test]
fn a_line_of_100_mb_is_a_dead_letter_within_bounded_memory() {
    let job = Job::new(PIPELINE);
    let mut input = line(1).into_bytes();
    input.extend_from_slice(b"\n{\"id\":2,\"name\":\"");
    input.resize(input.len() + 100_000_000, b'x');
    input.extend_from_slice(b"\"}\n");
    input.extend_from_slice(line(3).as_bytes());
    job.write("in.jsonl", &input);
    let report = job.run().succeeded().report();
    let ids: Vec<i64> = job.rows("out.jsonl").iter().map(|r| r["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [1, 3]);
    let rejected = job.rows("rejected.jsonl");
    assert_eq!((rejected.len(), rejected[0]["offset"].as_u64()), (1, Some(2)));
    assert!(rejected[0]["reason"].as_str().unwrap().contains("max_record"), "{}", rejected[0]);
    let peak = report["peak_memory_bytes"].as_u64().unwrap();
    assert!(peak < 80_000_000, "the line was held in memory: {peak} bytes");
}

#[test]
fn an_empty_file_and_a_file_without_a_last_newline_are_read_to_the_end() {
    assert_eq!(copy(b""), (vec![], vec![]));
    assert_eq!(copy(line(7).as_bytes()), (vec![7], vec![]));
}

#[test]
fn gzip_and_zstd_are_recognised_by_their_first_bytes() {
    let text: String = (0..1000).map(|i| line(i) + "\n").collect();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let whole: Vec<i64> = (0..1000).collect();
    assert_eq!(copy(&gzip.finish().unwrap()), (whole.clone(), vec![]));
    assert_eq!(copy(&zstd::encode_all(text.as_bytes(), 1).unwrap()), (whole, vec![]));
}

#[test]
fn a_missing_file_stops_the_run_with_its_name() {
    let job = Job::new(PIPELINE);
    let finished = job.host(&["run", "pipeline.toml"]);
    assert_eq!(finished.status.code(), Some(1), "{}", finished.stderr);
    assert!(finished.stderr.contains("in.jsonl"), "{}", finished.stderr);
    let told = job.run();
    assert_eq!((told.status.code(), &told.report()["exit_code"]), (Some(1), &1.into()));
    assert!(told.report()["errors"][0]["message"].as_str().unwrap().contains("in.jsonl"), "{}", told.stdout);
}

#[test]
fn standard_input_to_standard_output_works_as_a_filter() {
    let pipeline = PIPELINE.replace("connector = \"file\"\npath = \"in.jsonl\"", "connector = \"stdin\"").replace(
        "connector = \"file\"\ninputs = [\"in\"]\npath = \"out.jsonl\"",
        "connector = \"stdout\"\ninputs = [\"in\"]",
    );
    let job = Job::new(&pipeline);
    let mut child = job.command(&["run", "pipeline.toml"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{}\n{}", line(1), line(2)).unwrap();
    drop(stdin);
    let finished = finish(child).succeeded();
    assert_eq!(finished.stdout.lines().collect::<Vec<_>>(), [line(1), line(2)]);
}
