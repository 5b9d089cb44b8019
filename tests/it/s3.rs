//! Checkpoints in a bucket, by the settings and variables that a user has.

use millstream_tests::s3::S3;
use millstream_tests::{Finished, Job, finish, root};

use crate::checkpoint::{PIPELINE, copy};

const LOCATION: &str = "s3://bucket/fraud/eu";

fn host(job: &Job, server: &S3, arguments: &[&str]) -> Finished {
    finish(job.command(arguments).envs(server.variables()).spawn().expect("a started host"))
}

#[test]
fn a_lost_state_folder_costs_nothing_that_is_in_the_bucket() {
    let Some(server) = S3::start("a_lost_state_folder_costs_nothing_that_is_in_the_bucket") else { return };
    let job = Job::new(&PIPELINE.replace("[state]", &format!("[checkpoint]\npath = \"{LOCATION}\"\n\n[state]")));
    let fixture = root().join("host/src/checkpoint/testdata/format-1/savepoints");
    copy(&fixture, &server.bucket().join("fraud/eu/savepoints"));
    let restored =
        host(&job, &server, &["savepoint", "restore", "pipeline.toml", "kept", "--json"]).succeeded().report();
    assert_eq!((&restored["slots"], &restored["epoch"]), (&4.into(), &44.into()));
    assert!(server.bucket().join("fraud/eu/manifests").is_dir(), "nothing is in the bucket");
    std::fs::remove_dir_all(job.path("state")).unwrap();
    let made = host(&job, &server, &["savepoint", "create", "pipeline.toml", "next", "--json"]).succeeded().report();
    assert_eq!((&made["epoch"], &made["location"]), (&44.into(), &LOCATION.into()));
    assert_eq!(made["operators"][0]["slots"], 3);

    let list = host(&job, &server, &["checkpoint", "list", LOCATION, "--json"]).succeeded().report();
    assert_eq!(list["savepoints"], serde_json::json!(["kept", "next"]));
    assert_eq!((&list["newest_run"], &list["log"]["committed"]), (&1.into(), &44.into()));
    let verify = ["checkpoint", "verify", LOCATION, "--json"];
    let verified = host(&job, &server, &verify).succeeded().report();
    assert_eq!(
        (&verified["snapshots"], &verified["savepoints"], &verified["log_records"]),
        (&1.into(), &2.into(), &1.into())
    );
    let table = std::fs::read_dir(server.bucket().join("fraud/eu/sst")).unwrap().next().unwrap().unwrap();
    std::fs::write(table.path(), b"something else").unwrap();
    let found = host(&job, &server, &verify);
    let name = table.file_name().to_string_lossy().into_owned();
    assert!(found.report()["bad"][0]["object"].as_str().unwrap().ends_with(&name), "{found:?}");
    assert_eq!(found.status.code(), Some(1));
}

#[test]
fn a_bucket_that_refuses_is_an_error_that_says_what_to_check_and_no_secret() {
    let Some(server) = S3::start("a_bucket_that_refuses_is_an_error_that_says_what_to_check_and_no_secret") else {
        return;
    };
    let job = Job::new(PIPELINE);
    let mut command = job.command(&["--log-level", "debug", "checkpoint", "list", LOCATION]);
    command.envs(server.variables()).env("AWS_SECRET_ACCESS_KEY", "hunter2hunter2");
    let found = finish(command.spawn().unwrap());
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    assert!(found.stderr.contains(LOCATION) && found.stderr.contains("AWS_REGION"), "{found:?}");
    assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
    let found = host(&job, &server, &["checkpoint", "list", "s3://no-such-bucket/x"]);
    assert!(found.status.code() == Some(1) && found.stderr.contains("no-such-bucket"), "{found:?}");
}
