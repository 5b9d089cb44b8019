//! Order, capacity, selection, cache, hedging, metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_tests::faults::{Latency, ModelServer, Script};
use serde_json::Value;

use super::{TENSOR, assert_predicted, endpoint, inference, job, out, pipeline, run};

fn slow_tail() -> ModelServer {
    let latency = Latency::uniform(Duration::from_millis(1), Duration::from_millis(5));
    ModelServer::start(Script { latency: latency.tail(0.05, Duration::from_millis(60)), ..Script::default() })
}

#[test]
fn rows_leave_in_the_order_that_was_asked_for() {
    for (order, workers) in [("ordered", 1), ("key", 2), ("unordered", 2)] {
        let server = slow_tail();
        let operator = format!("{TENSOR}\norder = \"{order}\"\nkey = \"key\"");
        let text =
            pipeline(&operator, &endpoint(&server.url()), "").replace("workers = 2", &format!("workers = {workers}"));
        let job = job(&text, 800);
        run(&job);
        assert_predicted(&job, 800);
        let rows = job.rows("out.jsonl");
        let ids: Vec<u64> = rows.iter().map(|r| r["id"].as_u64().unwrap()).collect();
        match order {
            "ordered" => assert!(ids.is_sorted()),
            "unordered" => assert!(!ids.is_sorted(), "slow rows were waited for"),
            _ => {
                let mut by_key: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
                rows.iter().for_each(|r| {
                    by_key.entry(r["key"].as_str().unwrap()).or_default().push(r["id"].as_u64().unwrap())
                });
                assert!(by_key.values().all(|ids| ids.is_sorted()));
                assert!(!ids.is_sorted(), "slow rows of other keys were waited for");
            }
        }
    }
}

#[test]
fn no_more_requests_are_in_flight_than_the_capacity() {
    let server = ModelServer::start(Script::delay(Duration::from_millis(5)));
    let operator = format!("{TENSOR}\ncapacity = 7");
    let fixed = "[operator.score.concurrency]\nadaptive = false\n";
    let job = job(&pipeline(&operator, &endpoint(&server.url()), fixed), 400);
    let report = run(&job);
    assert_predicted(&job, 400);
    assert_eq!(server.counts().max_in_flight, 7);
    assert!(inference(&report)["full_seconds"].as_f64() > Some(0.0), "{report}");
}

#[test]
fn only_marked_rows_are_sent_and_the_others_pass() {
    let server = ModelServer::start(Script::default());
    let operator = format!("{TENSOR}\nwhen = \"marked\"");
    let job = job(&pipeline(&operator, &endpoint(&server.url()), ""), 300);
    let report = run(&job);
    assert_eq!(server.counts().rows, 100);
    assert_eq!(inference(&report)["rows"]["skipped"], 200);
    for (id, row) in out(&job) {
        let expected = if id % 3 == 0 { Value::from(id as f64 + 0.5) } else { Value::Null };
        assert_eq!(row["prediction"], expected, "{row}");
    }
}

#[test]
fn a_sample_is_the_same_in_each_run() {
    let mut samples = Vec::new();
    let server = ModelServer::start(Script::default());
    let operator = format!("{TENSOR}\nsample = 0.1");
    let job = job(&pipeline(&operator, &endpoint(&server.url()), "").replace("[state]\npath = \"state\"", ""), 2_000);
    for _ in 0..2 {
        run(&job);
        let sampled: Vec<u64> =
            out(&job).into_iter().filter(|(_, r)| !r["prediction"].is_null()).map(|(id, _)| id).collect();
        assert!((120..280).contains(&sampled.len()), "{} of 2,000", sampled.len());
        samples.push(sampled);
    }
    assert_eq!(samples[0], samples[1]);
}

#[test]
fn equal_rows_are_asked_for_once_where_answers_are_kept() {
    let server = ModelServer::start(Script::delay(Duration::from_millis(20)));
    let cache = "[operator.score.cache]\nttl = \"60s\"\n";
    let job = job(&pipeline("features = [\"y\"]", &endpoint(&server.url()), cache), 500);
    let report = run(&job);
    assert_eq!(server.counts().requests, 1);
    assert_eq!(
        (&inference(&report)["rows"]["primary"], &inference(&report)["rows"]["cache"]),
        (&1.into(), &499.into())
    );
    assert!(out(&job).values().all(|r| r["prediction"] == 0.5));
}

#[test]
fn a_slow_endpoint_is_overtaken_by_another() {
    let script = || Script {
        latency: Latency::fixed(Duration::from_millis(1)).tail(0.02, Duration::from_millis(400)),
        ..Script::default()
    };
    let (slow, fast) = (ModelServer::start(script()), ModelServer::start(script()));
    let endpoint = format!("protocol = \"oip-v2\"\nurls = [\"{}\", \"{}\"]\n", slow.url(), fast.url());
    let hedge = "[operator.score.hedge]\nquantile = 0.9\nbudget = 0.5\n";
    let operator = format!("{TENSOR}\ncapacity = 10");
    let job = job(&pipeline(&operator, &endpoint, hedge), 4_000);
    let report = run(&job);
    let rows = assert_predicted(&job, 4_000);
    let hedged = rows.values().filter(|r| r["prediction_source"] == "hedge").count();
    assert!(hedged > 0, "{report}");
    assert!(slow.counts().abandoned + fast.counts().abandoned > 0, "no slow call was given up");
}

#[test]
fn metrics_tell_of_the_operator_and_its_endpoints() {
    let server = ModelServer::start(Script::delay(Duration::from_millis(2)));
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap().port();
    let text = pipeline(TENSOR, &endpoint(&server.url()), &format!("[admin]\nlisten = \"127.0.0.1:{port}\"\n"));
    let job = job(&text.replace("path = \"rows.jsonl\"", "path = \"rows.jsonl\"\nfollow = true"), 200);
    let mut running = job.start();
    running.wait_until("rows come out", |job| job.text("out.jsonl").lines().count() == 200);
    let metrics = get(port, "/metrics");
    for line in [
        "millstream_inference_rows_total{operator=\"score\",source=\"primary\"} 200".to_owned(),
        format!("millstream_inference_requests_total{{operator=\"score\",endpoint=\"{}\"}} 200", server.url()),
        format!("millstream_inference_breaker_state{{operator=\"score\",endpoint=\"{}\"}} 0", server.url()),
        format!("millstream_inference_latency_seconds_count{{operator=\"score\",endpoint=\"{}\"}} 200", server.url()),
        "millstream_inference_in_flight_rows{operator=\"score\"} 0".to_owned(),
    ] {
        assert!(metrics.lines().any(|l| l == line), "`{line}` is missing in\n{metrics}");
    }
    drop(running.stop("TERM").succeeded());
}

fn get(port: u16, path: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_share_of_the_requests_is_logged_with_what_was_asked_and_answered() {
    let server = ModelServer::start(Script::default());
    let operator = format!("{TENSOR}\nlog_sample = 1.0");
    let job = job(&pipeline(&operator, &endpoint(&server.url()), ""), 3);
    let finished = job.run().succeeded();
    let lines: Vec<Value> = finished.stderr.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
    let requests: Vec<&Value> = lines.iter().filter(|l| l["target"] == "millstream::inference").collect();
    assert_eq!(requests.len(), 3, "{}", finished.stderr);
    for key in ["timestamp", "operator", "model", "version", "trace_id", "features", "output", "latency_us", "source"] {
        assert!(!requests[0][key].is_null(), "`{key}` is missing in {}", requests[0]);
    }
    assert!(requests.iter().any(|r| r["features"] == "[2.0,0.5]" && r["output"] == "[2.5]"), "{requests:?}");
}
