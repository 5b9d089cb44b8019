//! Servers that are slow, broken or gone: no row is lost, and the output says what happened.

use std::time::Duration;

use millstream_tests::faults::{Fault, ModelServer, Rule, Script};
use serde_json::Value;

use super::{TENSOR, assert_predicted, endpoint, inference, job, out, pipeline, run};

const FAST: &str = "[operator.score.retry]\nattempts = 4\nbase = \"5ms\"\nbudget_floor = 1000\n";

/// Runs 60 rows against a server with these rules.
fn with(rules: &[Rule], operator: &str, more: &str) -> (millstream_tests::Job, Value, ModelServer) {
    faulty(rules, operator, &format!("{FAST}{more}"))
}

/// The same with all of the further tables.
fn faulty(rules: &[Rule], operator: &str, more: &str) -> (millstream_tests::Job, Value, ModelServer) {
    let script = rules.iter().fold(Script::default(), |script, rule| script.rule(rule));
    let server = ModelServer::start(script);
    let operator = format!("{TENSOR}\n{operator}");
    let job = job(&pipeline(&operator, &endpoint(&server.url()), more), 60);
    let report = run(&job);
    (job, report, server)
}

#[test]
fn what_may_pass_is_tried_again() {
    let refused = || Fault::Status(503, Some("0".into()));
    for fault in [
        Fault::Malformed,
        Fault::Status(404, None),
        Fault::Redirect("http://127.0.0.1:1/".into()),
        Fault::ResetBeforeHead,
        Fault::ResetAfterHead,
        Fault::CloseBeforeHead,
        Fault::CloseAfterHead,
        Fault::Status(502, None),
        Fault::Status(429, None),
        refused(),
        Fault::Status(500, None),
        Fault::GoAway,
    ] {
        let name = format!("{fault:?}");
        let (job, report, _server) = with(&[Rule::first(fault, 2)], "", "");
        let rows = assert_predicted(&job, 60);
        let retried = rows.values().filter(|r| r["prediction_source"] == "retry").count();
        let expected = if name == "GoAway" { 0 } else { 2 };
        assert!(retried >= expected.min(1), "{name}: {report}");
        assert_eq!(report["dead_lettered"], 0, "{name}");
    }
}

#[test]
fn what_will_not_pass_goes_to_the_dead_letters_with_its_reason() {
    for (fault, class) in [
        (Fault::Status(400, None), "status_4xx"),
        (Fault::Truncated, "bad_reply"),
        (Fault::Malformed, "bad_reply"),
        (Fault::FewerRows, "bad_reply"),
        (Fault::Wider, "bad_reply"),
        (Fault::OtherType, "bad_reply"),
        (Fault::ShapeMismatch, "bad_reply"),
        (Fault::Huge(64 << 20, true), "too_large"),
        (Fault::Huge(64 << 20, false), "too_large"),
        (Fault::Redirect("http://127.0.0.1:1/".into()), "status_other"),
    ] {
        let name = format!("{fault:?}");
        // A garbled reply would be asked for once more.
        let once =
            "[operator.score.retry]\nattempts = 1\n[operator.score.breaker]\nmin_calls = 1000\nconsecutive = 0\n";
        let (job, report, _server) = faulty(&[Rule::nth(fault, 30)], "", once);
        assert_eq!(report["dead_lettered"], 1, "{name}: {report}");
        assert_eq!(out(&job).len(), 59, "{name}");
        let letter = &job.rows("rejected.jsonl")[0];
        let reason = letter["reason"].as_str().unwrap();
        assert!(reason.contains(class) && reason.contains("`fraud`"), "{name}: {reason}");
        assert_eq!((letter["operator"].as_str(), letter["source"].as_str()), (Some("score"), Some("rows")));
        let raw: Value = serde_json::from_str(letter["raw"].as_str().unwrap()).unwrap();
        assert_eq!(raw["id"].as_u64().unwrap() + 1, letter["offset"].as_u64().unwrap());
    }
}

#[test]
fn a_server_that_never_answers_costs_a_row_its_time_and_no_more() {
    for fault in [Fault::Stall, Fault::StallInBody, Fault::Drip(Duration::from_secs(5))] {
        let name = format!("{fault:?}");
        let operator = "timeout = \"2s\"\nattempt_timeout = \"150ms\"";
        let (job, report, server) = with(&[Rule::nth(fault, 10)], operator, "");
        assert_predicted(&job, 60);
        assert_eq!(inference(&report)["failures"]["timeout"], 1, "{name}: {report}");
        assert!(server.counts().requests >= 61);
    }
}

#[test]
fn a_bad_row_is_found_among_its_neighbours() {
    let server = ModelServer::start(Script { poison: Some(13.0), ..Script::default() });
    let batch = "[operator.score.batch]\nmax_rows = 32\n";
    let job = job(&pipeline(TENSOR, &endpoint(&server.url()), batch), 300);
    let report = run(&job);
    assert_eq!(report["dead_lettered"], 1, "{report}");
    let rows = out(&job);
    assert_eq!((rows.len(), rows.contains_key(&13)), (299, false));
    assert!(job.text("rejected.jsonl").contains("status_4xx"));
}

#[test]
fn the_chain_answers_while_the_server_is_gone_and_the_breaker_spares_it() {
    let server = ModelServer::start(Script::default());
    server.die();
    let chain = "[[operator.score.fallback]]\nkind = \"last_known_good\"\nmax_age = \"10m\"\n\n\
                 [[operator.score.fallback]]\nkind = \"constant\"\nvalue = 0.25\n";
    let operator = format!("{TENSOR}\nkey = \"key\"");
    let job = job(&pipeline(&operator, &endpoint(&server.url()), chain), 3_000);
    let report = run(&job);
    let rows = out(&job);
    assert_eq!((rows.len(), report["dead_lettered"].as_u64()), (3_000, Some(0)));
    assert!(rows.values().all(|r| r["prediction"] == 0.25 && r["prediction_source"] == "constant"));
    let classes: std::collections::BTreeSet<&str> = rows.values().filter_map(|r| r["error_class"].as_str()).collect();
    assert!(classes.contains("circuit_open") && classes.contains("connect"), "{classes:?}");
    assert!(inference(&report)["requests"].as_u64() < Some(1_000), "{report}");
}

#[test]
fn of_two_endpoints_one_may_die_and_no_row_notices() {
    let (good, bad) = (ModelServer::start(Script::default()), ModelServer::start(Script::default()));
    let endpoint = format!("protocol = \"oip-v2\"\nurls = [\"{}\", \"{}\"]\n", bad.url(), good.url());
    let job = job(&pipeline(TENSOR, &endpoint, FAST), 2_000);
    bad.die();
    let report = run(&job);
    assert_predicted(&job, 2_000);
    assert_eq!(report["dead_lettered"], 0);
    assert!(inference(&report)["failures"]["connect"].as_u64() < Some(200), "{report}");
}
