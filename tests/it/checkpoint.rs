//! The commands for checkpoints and savepoints say what is wrong, and end with the code that says so.

use std::path::Path;

use millstream_tests::{Finished, Job, root};
use serde_json::Value;

pub const PIPELINE: &str = r#"
[pipeline]
name = "fraud"

[state]
path = "state"

[plugins]
folder = "plugins"

[source.in]
connector = "file"
path = "in.jsonl"
[source.in.fields]
user = "utf8"

[operator.count]
plugin = "counter"
inputs = ["in"]
key = "user"

[operator.other]
plugin = "counter"
inputs = ["count"]
key = "user"

[sink.out]
connector = "stdout"
inputs = ["other"]
"#;

/// A pipeline with the savepoint `kept` that version 1 of the formats wrote.
fn job() -> Job {
    let job = Job::new(PIPELINE);
    copy(&root().join("host/src/checkpoint/testdata/format-1/savepoints"), &job.path("state/checkpoints/savepoints"));
    job
}

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

fn refused(finished: &Finished) -> String {
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    finished.stderr.clone()
}

#[test]
fn a_pipeline_begins_with_a_savepoint_and_goes_back_only_when_told_to() {
    let job = job();
    let list = job.host(&["savepoint", "list", "pipeline.toml", "--json"]).succeeded().report();
    assert_eq!((&list["savepoints"][0]["name"], &list["savepoints"][0]["epoch"]), (&"kept".into(), &42.into()));
    let restored = job.host(&["savepoint", "restore", "pipeline.toml", "kept", "--json"]).succeeded().report();
    assert_eq!((&restored["epoch"], &restored["slots"]), (&44.into(), &4.into()));

    let text = refused(&job.host(&["savepoint", "restore", "pipeline.toml", "kept"]));
    assert!(text.contains("--replace") && text.contains("`fraud`"), "{text}");
    drop(job.host(&["savepoint", "restore", "pipeline.toml", "kept", "--replace"]).succeeded());
    // Its state is that of the savepoint, so the next one has the same.
    let made = job.host(&["savepoint", "create", "pipeline.toml", "next", "--json"]).succeeded().report();
    let slots = |name: &str| {
        let operators = made["operators"].as_array().unwrap();
        operators.iter().find(|o| o["name"] == name).map(|o| o["slots"].clone())
    };
    assert_eq!((slots("count"), slots("other")), (Some(3.into()), Some(1.into())), "{made}");
    assert_eq!(made["positions"][0]["next"], 1_001);
    let text = refused(&job.host(&["savepoint", "create", "pipeline.toml", "next"]));
    assert!(text.contains("already"), "{text}");
    let text = refused(&job.host(&["savepoint", "create", "pipeline.toml", "../next"]));
    assert!(text.contains("cannot be the name"), "{text}");
    let text = refused(&job.host(&["savepoint", "restore", "pipeline.toml", "none", "--replace"]));
    assert!(text.contains("savepoints/none/savepoint.json") && text.contains("savepoint list"), "{text}");
}

#[test]
fn state_of_an_operator_that_is_gone_is_refused_or_left_out() {
    let job = job();
    let without = PIPELINE.replace("[operator.other]", "[operator.newer]").replace("[\"other\"]", "[\"newer\"]");
    job.write("pipeline.toml", without);
    let text = refused(&job.host(&["savepoint", "restore", "pipeline.toml", "kept"]));
    assert!(text.contains("`other`") && text.contains("--allow-non-restored-state"), "{text}");
    assert!(!job.path("state/db").exists(), "something was restored");
    let arguments = ["savepoint", "restore", "pipeline.toml", "kept", "--allow-non-restored-state", "--json"];
    let restored = job.host(&arguments).succeeded().report();
    assert_eq!((&restored["slots"], &restored["left_out"]), (&3.into(), &Value::from(vec!["other"])));
}

#[test]
fn a_flipped_byte_is_found_by_the_name_of_its_file() {
    let job = job();
    drop(job.host(&["savepoint", "restore", "pipeline.toml", "kept"]).succeeded());
    let storage = "state/checkpoints";
    let verified = job.host(&["checkpoint", "verify", storage, "--json"]).succeeded().report();
    assert_eq!(
        (&verified["ok"], &verified["snapshots"], &verified["log_records"]),
        (&true.into(), &1.into(), &1.into())
    );
    let shown = job.host(&["checkpoint", "inspect", storage, "--json"]).succeeded().report();
    assert_eq!((&shown["snapshot"]["epoch"], &shown["positions"][0]["next"]), (&44.into(), &1_001.into()));
    let list = job.host(&["checkpoint", "list", storage]).succeeded().stdout;
    assert!(list.contains("kept") && list.contains("EPOCH"), "{list}");
    let text = refused(&job.host(&["checkpoint", "inspect", storage, "7"]));
    assert!(text.contains("epoch 7"), "{text}");

    let mut damaged = 0;
    for folder in ["log", "manifests", "meta", "savepoints/kept", "sst"] {
        for entry in std::fs::read_dir(job.path(storage).join(folder)).unwrap().map(Result::unwrap) {
            let good = std::fs::read(entry.path()).unwrap();
            let mut bad = good.clone();
            let place = bad.len() - 1;
            bad[place] ^= 0x40;
            // Not in place: the database may have the same file.
            std::fs::remove_file(entry.path()).unwrap();
            std::fs::write(entry.path(), bad).unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            let found = job.host(&["checkpoint", "verify", storage]);
            assert_eq!(found.status.code(), Some(1), "{name}: {found:?}");
            assert!(found.stdout.lines().any(|l| l.starts_with("BAD") && l.contains(&name)), "{name}: {found:?}");
            let found = job.host(&["checkpoint", "verify", storage, "--json"]);
            assert_eq!((found.status.code(), &found.report()["ok"]), (Some(1), &false.into()), "{name}");
            std::fs::write(entry.path(), good).unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 6, "the test damaged little: {damaged}");
    drop(job.host(&["checkpoint", "verify", storage]).succeeded());
}

#[test]
fn a_storage_that_is_not_there_is_named_and_not_created() {
    let job = job();
    for command in ["list", "inspect", "verify"] {
        let text = refused(&job.host(&["checkpoint", command, "nowhere"]));
        assert!(text.contains("nowhere"), "{text}");
    }
    assert!(!job.path("nowhere").exists());
    let text = refused(&job.host(&["checkpoint", "list", "gs://bucket"]));
    assert!(text.contains("s3://"), "{text}");
    job.write("pipeline.toml", PIPELINE.replace("path = \"state\"", "path = \"other\""));
    let text = refused(&job.host(&["savepoint", "create", "pipeline.toml", "s"]));
    assert!(text.contains("other/checkpoints"), "{text}");
}
