//! Statuses, and whole replies that are wrong.

use millstream_tests::faults::{Fault, ModelServer, Rule, Script};
use serde_json::json;

use super::{INFER, Seen, Wire, ask, one_row, prediction};

fn under(fault: Fault) -> Seen {
    let rule = Rule::always(fault);
    let server = ModelServer::start(Script::default().rule(&rule));
    let seen = ask(&server).unwrap();
    assert_eq!((rule.hits(), server.counts().faults.values().sum::<u64>()), (1, 1));
    seen
}

#[test]
fn a_status_comes_with_and_without_retry_after() {
    for (status, retry_after) in
        [(429, Some("3")), (500, None), (503, None), (503, Some("Wed, 21 Oct 2026 07:28:00 GMT"))]
    {
        let seen = under(Fault::Status(status, retry_after.map(String::from)));
        assert_eq!((seen.status, seen.header("retry-after")), (status, retry_after));
        assert!(seen.json()["error"].is_string());
    }
}

#[test]
fn an_error_body_is_that_of_the_protocol() {
    let server = ModelServer::start(Script::default().rule(&Rule::always(Fault::Status(503, None))));
    let bodies = [
        ("/v1/embeddings", json!({"model": "m", "input": "x"}), "/error/message"),
        ("/predictions/m", json!([1]), "/message"),
        ("/v1/models/m:predict", json!({"instances": [1]}), "/error"),
    ];
    for (path, body, pointer) in bodies {
        let mut wire = Wire::to(server.address());
        wire.send(path, "", body.to_string().as_bytes());
        assert!(wire.receive().unwrap().json().pointer(pointer).unwrap().is_string(), "{path}");
    }
}

#[test]
fn a_redirect_names_the_other_place() {
    let seen = under(Fault::Redirect("http://127.0.0.1:1/elsewhere".into()));
    assert_eq!((seen.status, seen.header("location")), (307, Some("http://127.0.0.1:1/elsewhere")));
}

#[test]
fn truncated_and_malformed_replies_are_whole_http_and_no_json() {
    for fault in [Fault::Truncated, Fault::Malformed] {
        let seen = under(fault.clone());
        assert_eq!(seen.status, 200);
        assert!(serde_json::from_slice::<serde_json::Value>(&seen.body).is_err(), "{fault:?}: {seen:?}");
    }
}

#[test]
fn shapes_are_wrong_in_four_ways() {
    let output = |fault| under(fault).json()["outputs"][0].clone();
    assert_eq!(output(Fault::FewerRows)["shape"], json!([0, 1]));
    let wider = output(Fault::Wider);
    assert_eq!((&wider["shape"], &wider["data"]), (&json!([1, 2]), &json!([3.0, 4.0])));
    let other = output(Fault::OtherType);
    assert_eq!((&other["datatype"], &other["data"]), (&json!("BYTES"), &json!(["a text"])));
    let mismatch = output(Fault::ShapeMismatch);
    assert_eq!((&mismatch["shape"], &mismatch["data"]), (&json!([2, 1]), &json!([3.0])));
}

#[test]
fn rules_count_requests() {
    let (second, two) = (Rule::nth(Fault::Status(500, None), 2), Rule::first(Fault::Status(503, None), 2));
    let server = ModelServer::start(Script::default().rule(&second));
    let statuses = |server: &ModelServer| [0; 4].map(|_| ask(server).unwrap().status);
    assert_eq!(statuses(&server), [200, 500, 200, 200]);
    server.set(Script::default().rule(&two));
    assert_eq!(statuses(&server), [503, 503, 200, 200]);
    assert_eq!((second.hits(), two.hits()), (1, 2));
    let counts = server.counts();
    assert_eq!([200, 500, 503].map(|status| counts.status(status)), [5, 1, 2]);
}

#[test]
fn a_share_of_the_requests_is_hit() {
    let rule = Rule::share(Fault::Status(503, None), 0.3);
    let server = ModelServer::start(Script::default().rule(&rule));
    let mut wire = Wire::to(server.address());
    for _ in 0..1_000 {
        wire.send(INFER, "", &one_row(&[1.0]));
        wire.receive().unwrap();
    }
    assert!((250..350).contains(&rule.hits()), "{}", rule.hits());
}

#[test]
fn a_poisoned_row_spoils_its_request_and_no_other() {
    let server = ModelServer::start(Script { poison: Some(-7.0), ..Script::default() });
    let mut wire = Wire::to(server.address());
    let body = json!({"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, -7, 0]}]});
    wire.send(INFER, "", body.to_string().as_bytes());
    assert_eq!(wire.receive().unwrap().status, 400);
    wire.send(INFER, "", &one_row(&[1.0, -7.0]));
    assert_eq!(prediction(&wire.receive().unwrap()), -6.0);
}
