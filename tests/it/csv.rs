//! CSV in and out, and compressed output by the name of the file.

use millstream_tests::{Job, parse_lines, read_all};

const PIPELINE: &str = r#"
[pipeline]
name = "csv"
dead_letters = "rejected"

[source.in]
connector = "file"
path = "in.csv"
[source.in.fields]
id = "i64"
name = "utf8"
amount = "f64?"
seen = "timestamp"

[sink.out]
connector = "file"
inputs = ["in"]
path = "out.csv"

[sink.rejected]
connector = "file"
path = "rejected.jsonl"
"#;

/// The columns are not in the order of the fields, one is in excess; quotes, commas and a line
/// break stand in a field; the lines end as Windows ends them in part.
const INPUT: &str = "amount,name,ignored,seen,id\n\
    1.5,plain,x,1735689600000,1\n\
    ,\"a, \"\"quoted\"\" one\",x,1735689600001,2\r\n\
    -2e3,\"two\nlines\",\"x\ny\",1735689600002,3\n\
    nonsense,after,x,1735689600003,4\n\
    0.25,\"\",x,1735689600004,5";

#[test]
fn csv_goes_through_whatever_the_order_of_its_columns_and_its_quotes() {
    let job = Job::new(PIPELINE);
    job.write("in.csv", INPUT);
    drop(job.run_with(&["--set", "sink.out.path=out.jsonl"]).succeeded());
    let row = |id: i64, name: &str, amount: Option<f64>| (Some(id), Some(name.to_owned()), amount);
    let out: Vec<_> = job
        .rows("out.jsonl")
        .iter()
        .map(|r| (r["id"].as_i64(), r["name"].as_str().map(str::to_owned), r["amount"].as_f64()))
        .collect();
    let expected = [
        row(1, "plain", Some(1.5)),
        row(2, "a, \"quoted\" one", None),
        row(3, "two\nlines", Some(-2e3)),
        row(5, "", Some(0.25)),
    ];
    assert_eq!(out, expected);
    // A dead letter names the line of the file, line breaks within fields counted.
    let rejected = job.rows("rejected.jsonl");
    assert_eq!(rejected.len(), 1, "{rejected:?}");
    assert_eq!(rejected[0]["offset"], 7, "{}", rejected[0]);
    assert!(rejected[0]["reason"].as_str().unwrap().contains("amount"), "{}", rejected[0]);
    assert_eq!(rejected[0]["raw"], "nonsense,after,x,1735689600003,4");
}

#[test]
fn what_is_written_as_csv_is_read_back_the_same() {
    let job = Job::new(PIPELINE);
    job.write("in.csv", INPUT);
    drop(job.run().succeeded());
    let first = job.text("out.csv");
    assert!(first.starts_with("id,name,amount,seen\n"), "{first}");
    drop(job.run_with(&["--set", "source.in.path=out.csv", "--set", "sink.out.path=again.csv"]).succeeded());
    assert_eq!(job.text("again.csv"), first);
    assert!(job.text("rejected.jsonl").is_empty());
    // And its rows are those of the input.
    drop(job.run_with(&["--set", "sink.out.path=a.jsonl"]).succeeded());
    drop(job.run_with(&["--set", "source.in.path=out.csv", "--set", "sink.out.path=b.jsonl"]).succeeded());
    assert_eq!(job.rows("a.jsonl"), job.rows("b.jsonl"));
    assert_eq!(job.rows("b.jsonl").len(), 4);
}

#[test]
fn a_header_without_a_required_column_stops_the_run_and_names_it() {
    let job = Job::new(PIPELINE);
    job.write("in.csv", "id,amount,seen\n1,2,3\n");
    let finished = job.host(&["run", "pipeline.toml"]);
    assert_eq!(finished.status.code(), Some(1), "{}", finished.stderr);
    for part in ["`in`", "`name`", "id,amount,seen"] {
        assert!(finished.stderr.contains(part), "`{part}` is missing in: {}", finished.stderr);
    }
}

#[test]
fn a_csv_of_a_header_alone_gives_a_header_alone() {
    let job = Job::new(PIPELINE);
    job.write("in.csv", "id,name,amount,seen\n");
    assert_eq!(job.run().succeeded().report()["rows_in"], 0);
    assert_eq!(job.text("out.csv"), "id,name,amount,seen\n");
}

#[test]
fn output_is_compressed_by_the_name_of_the_file() {
    let job = Job::new(PIPELINE);
    job.write("in.csv", INPUT);
    let write = |name: &str| {
        drop(job.run_with(&["--set", &format!("sink.out.path={name}")]).succeeded());
        std::fs::read(job.path(name)).unwrap()
    };
    let (csv, json) = (write("out.csv"), write("out.jsonl"));
    assert_eq!(parse_lines(&String::from_utf8(json.clone()).unwrap()).len(), 4);
    let gunzipped = |bytes: Vec<u8>| read_all(flate2::read::GzDecoder::new(bytes.as_slice())).into_bytes();
    let unzstd = |bytes: Vec<u8>| zstd::decode_all(bytes.as_slice()).unwrap();
    assert_eq!(gunzipped(write("out.csv.gz")), csv);
    assert_eq!(gunzipped(write("out.jsonl.gz")), json);
    assert_eq!(unzstd(write("out.csv.zst")), csv);
    assert_eq!(unzstd(write("out.jsonl.zst")), json);
    // And read again by their names.
    drop(job.run_with(&["--set", "source.in.path=out.csv.zst", "--set", "sink.out.path=again.csv"]).succeeded());
    assert_eq!(job.text("again.csv").into_bytes(), csv);
}
