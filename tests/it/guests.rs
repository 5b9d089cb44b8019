//! Plugins that misbehave: the row that set them off is a dead letter that says what happened, and
//! the rest of the stream is untouched. Those that ask for too much are never run.

use millstream_tests::{Job, fixture};

const PIPELINE: &str = r#"
[pipeline]
name = "guests"
dead_letters = "rejected"
workers = 2

[plugins]
folder = "plugins"
deadline = "DEADLINE"
max_answer = "4MiB"

[source.in]
connector = "file"
path = "in.jsonl"
[source.in.fields]
value = "i64"

[operator.guest]
plugin = "PLUGIN"
inputs = ["in"]

[sink.out]
connector = "file"
inputs = ["guest"]
path = "out.jsonl"

[sink.rejected]
connector = "file"
path = "rejected.jsonl"
"#;

/// Line of the file that holds the marker.
const LINE: usize = 151;

fn job(guest: &str, values: &[i64]) -> Job {
    // Short where it is to be met, else far beyond what a busy machine needs.
    let deadline = if guest == "loop-forever" { "1s" } else { "60s" };
    let job = Job::new(&PIPELINE.replace("PLUGIN", guest).replace("DEADLINE", deadline));
    job.install(&fixture(guest), &format!("{guest}.wasm"));
    job.write("in.jsonl", values.iter().map(|v| format!("{{\"value\":{v}}}\n")).collect::<String>());
    job
}

/// 1 to 300, with `marker` in the middle.
fn values(marker: i64) -> Vec<i64> {
    let mut values: Vec<i64> = (1..=300).collect();
    values.insert(LINE - 1, marker);
    values
}

/// The guest turns on one row; the others come out once and in order.
fn is_isolated(guest: &str, marker: i64, reason: &str) {
    let job = job(guest, &values(marker));
    let report = job.run().succeeded().report();
    assert_eq!((report["rows_in"].as_u64(), report["dead_lettered"].as_u64()), (Some(301), Some(1)), "{report}");

    let rejected = job.rows("rejected.jsonl");
    assert_eq!(rejected.len(), 1);
    let letter = &rejected[0];
    assert_eq!((&letter["source"], &letter["operator"]), (&"in".into(), &"guest".into()), "{letter}");
    assert!(letter["partition"].as_str().unwrap().ends_with("in.jsonl"), "{letter}");
    assert_eq!(letter["offset"].as_u64(), Some(LINE as u64), "{letter}");
    assert_eq!(letter["raw"].as_str(), Some(format!("{{\"value\":{marker}}}").as_str()));
    let said = letter["reason"].as_str().unwrap();
    assert!(said.contains(guest) && said.contains(reason), "`{reason}` is missing in: {said}");
    assert!(!said.contains('\n'), "more than one line: {said:?}");

    let out: Vec<_> = job.rows("out.jsonl").iter().map(|r| (r["value"].as_i64(), r["doubled"].as_i64())).collect();
    assert!(out.into_iter().eq((1..=300).map(|v| (Some(v), Some(2 * v)))), "other rows suffered");
}

#[test]
fn a_guest_that_loops_for_ever_is_stopped_at_its_deadline() {
    is_isolated("loop-forever", 1313, "deadline of 1 s exceeded");
}

#[test]
fn a_guest_that_allocates_without_end_meets_its_limit() {
    is_isolated("allocate-without-end", 1313, "memory limit of 64 MiB exceeded");
}

#[test]
fn a_panic_is_told_with_its_message() {
    is_isolated("panics", 1313, "panic: no luck with 1313");
}

#[test]
fn an_exit_does_not_end_the_host() {
    is_isolated("panics", 1414, "exit");
}

#[test]
fn a_recursion_without_end_is_a_trap() {
    is_isolated("panics", 1515, "trap: ");
}

#[test]
fn an_answer_of_noise_is_refused() {
    is_isolated("wrong-buffer", 1313, "answer refused: ");
}

#[test]
fn an_answer_that_is_too_large_is_refused() {
    is_isolated("wrong-buffer", 1414, "answer refused: more than 4 MiB");
}

#[test]
fn half_an_answer_is_refused() {
    is_isolated("wrong-buffer", 1515, "answer refused: ");
}

#[test]
fn an_empty_answer_is_refused() {
    is_isolated("wrong-buffer", 1616, "answer refused: ");
}

#[test]
fn an_error_of_the_guest_is_told_in_its_words() {
    is_isolated("returns-errors", 1313, "unlucky");
}

#[test]
fn rows_that_a_guest_reports_itself_are_dead_letters() {
    is_isolated("double", -5, "-5 is negative");
}

#[test]
fn an_error_that_passes_is_tried_again() {
    let job = job("returns-errors", &values(1414));
    let report = job.run().succeeded().report();
    assert_eq!((report["sinks"][0]["rows"].as_u64(), report["dead_lettered"].as_u64()), (Some(301), Some(0)));
}

#[test]
fn an_error_for_good_stops_the_run() {
    let finished = job("returns-errors", &values(1515)).host(&["run", "pipeline.toml"]);
    assert_eq!(finished.status.code(), Some(1), "{}", finished.stderr);
    assert!(finished.stderr.contains("`guest`") && finished.stderr.contains("the end"), "{}", finished.stderr);
}

#[test]
fn a_plugin_that_fails_on_every_row_stops_the_run() {
    let finished = job("panics", &[1313; 500]).host(&["run", "pipeline.toml"]);
    assert_eq!(finished.status.code(), Some(1), "{}", finished.stderr);
    assert!(finished.stderr.contains("rows one after the other"), "{}", finished.stderr);
}

#[test]
fn several_bad_rows_of_a_batch_are_all_found() {
    let mut values = values(1313);
    values[0] = 1313;
    values[200] = 1515;
    values[300] = 1414;
    let job = job("panics", &values);
    let report = job.run().succeeded().report();
    let mut lines: Vec<_> = job.rows("rejected.jsonl").iter().map(|r| r["offset"].as_u64().unwrap()).collect();
    lines.sort_unstable();
    assert_eq!(lines, [1, LINE as u64, 201, 301]);
    assert_eq!(report["sinks"][0]["rows"].as_u64(), Some(297));
}

#[test]
fn without_a_sink_for_dead_letters_the_first_one_stops_the_run() {
    let job = job("panics", &values(1313));
    let pipeline = job.text("pipeline.toml");
    let pipeline = pipeline.split("[sink.rejected]").next().unwrap().replace("dead_letters = \"rejected\"", "");
    job.write("pipeline.toml", pipeline);
    let finished = job.host(&["run", "pipeline.toml"]);
    assert_eq!(finished.status.code(), Some(1), "{}", finished.stderr);
    for part in ["in.jsonl", "151", "panic: no luck with 1313", "dead_letters"] {
        assert!(finished.stderr.contains(part), "`{part}` is missing in: {}", finished.stderr);
    }
}

/// `check` and `run` refuse the guest and name the interface.
fn is_refused(guest: &str, interface: &str) {
    let job = job(guest, &values(1));
    for command in ["check", "run"] {
        let finished = job.host(&[command, "pipeline.toml"]);
        assert_eq!(finished.status.code(), Some(3), "{command}: {}", finished.stderr);
        for part in [&format!("{guest}.wasm"), interface, "pipeline.toml:"] {
            assert!(finished.stderr.contains(part), "{command}: `{part}` is missing in: {}", finished.stderr);
        }
    }
    assert!(!job.path("out.jsonl").exists(), "a refused plugin ran");
    let inspected = job.host(&["plugins", "inspect", &format!("plugins/{guest}.wasm")]);
    assert_eq!(inspected.status.code(), Some(4), "{}", inspected.stderr);
    assert!(inspected.stderr.contains(interface), "{}", inspected.stderr);
}

#[test]
fn a_guest_that_wants_a_model_is_refused() {
    is_refused("ungranted-inference", "millstream:operator/inference@1.0.0");
}

#[test]
fn a_guest_that_wants_the_network_is_refused() {
    is_refused("ungranted-sockets", "wasi:sockets/");
}

#[test]
fn a_file_in_the_plugin_folder_that_is_no_component_is_told() {
    let job = job("double", &values(1));
    job.write("plugins/stray.wasm", "this is no WebAssembly");
    job.write("plugins/readme.txt", "this need not be");
    for command in ["check", "run"] {
        let finished = job.host(&[command, "pipeline.toml"]).succeeded();
        for part in ["stray.wasm", "not a WebAssembly component"] {
            assert!(finished.stderr.contains(part), "{command}: `{part}` is missing in: {}", finished.stderr);
        }
        assert!(!finished.stderr.contains("readme.txt"), "{command}: {}", finished.stderr);
    }
}
