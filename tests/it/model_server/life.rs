//! Death, return, and what is counted.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use millstream_tests::PATIENCE;
use millstream_tests::faults::{Fault, Latency, ModelProcess, ModelServer, Rule, Script};

use super::{INFER, Wire, ask, one_row, prediction};

#[test]
fn a_dead_server_refuses_resets_and_returns_on_its_port() {
    let server = ModelServer::start(Script::delay(Duration::from_secs(600)));
    let mut waiting = Wire::to(server.address());
    waiting.send(INFER, "", &one_row(&[1.0]));
    let idle = Wire::to(server.address());
    while server.counts().in_flight == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    server.die();
    assert_eq!(waiting.head().unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(TcpStream::connect(server.address()).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    drop(idle);
    server.set(Script::default());
    server.come_back();
    assert_eq!(prediction(&ask(&server).unwrap()), 3.0);
    let counts = server.counts();
    assert_eq!((counts.requests, counts.abandoned, counts.in_flight), (2, 1, 0));
}

#[test]
fn a_flapping_server_is_up_and_down_until_it_is_steady() {
    let server = ModelServer::start(Script::default());
    server.flap(Duration::from_millis(20), Duration::from_millis(20));
    let until = Instant::now() + PATIENCE;
    let (mut up, mut down) = (0, 0);
    while up < 3 || down < 3 {
        assert!(Instant::now() < until, "{up} times up, {down} down");
        match TcpStream::connect(server.address()) {
            Ok(_) => up += 1,
            Err(_) => down += 1,
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    server.steady();
    assert_eq!(ask(&server).unwrap().status, 200);
}

#[test]
fn a_rule_flaps_without_a_connection_lost() {
    let period = Duration::from_millis(30);
    let rule = Rule::flapping(Fault::Status(503, None), period, period).at_once();
    let server = ModelServer::start(Script::default().rule(&rule));
    let mut wire = Wire::to(server.address());
    let until = Instant::now() + PATIENCE;
    let mut changes = 0;
    let mut last = 200;
    while changes < 4 {
        assert!(Instant::now() < until, "it changed {changes} times");
        wire.send(INFER, "", &one_row(&[1.0]));
        let status = wire.receive().unwrap().status;
        changes += u32::from(status != last);
        last = status;
    }
    assert_eq!(server.counts().connections, 1);
}

#[test]
fn a_reply_comes_no_sooner_than_its_latency_and_slow_ones_are_slow() {
    let (usual, slow) = (Duration::from_millis(3), Duration::from_millis(40));
    let latency = Latency::uniform(usual, usual * 2).tail(0.2, slow);
    let server = ModelServer::start(Script { latency, ..Script::default() });
    let mut wire = Wire::to(server.address());
    let times = [0; 100].map(|_| {
        let began = Instant::now();
        wire.send(INFER, "", &one_row(&[1.0]));
        wire.receive().unwrap();
        began.elapsed()
    });
    assert!(times.iter().all(|time| *time >= usual));
    // 20 are expected; fewer than 5 come once in 10^5 seeds, and the seed is fixed.
    assert!(times.iter().filter(|time| **time >= slow).count() >= 5);
}

#[test]
fn one_row_is_slow() {
    let slow = Duration::from_millis(50);
    let server = ModelServer::start(Script { slow_row: Some((9.0, slow)), ..Script::default() });
    let (mut one, mut other) = (Wire::to(server.address()), Wire::to(server.address()));
    let began = Instant::now();
    one.send(INFER, "", &one_row(&[9.0]));
    other.send(INFER, "", &one_row(&[8.0]));
    other.receive().unwrap();
    one.receive().unwrap();
    assert!(began.elapsed() >= slow);
}

#[test]
fn requests_of_one_key_and_of_one_second_are_counted() {
    let server = ModelServer::start(Script::default());
    let mut wire = Wire::to(server.address());
    for key in ["a", "b", "a"] {
        wire.send(INFER, &format!("Idempotency-Key: {key}\r\n"), &one_row(&[1.0]));
        wire.receive().unwrap();
    }
    let counts = server.counts();
    assert_eq!(counts.keys, [("a".to_owned(), 2), ("b".to_owned(), 1)].into());
    assert_eq!((counts.seconds.iter().sum::<u64>(), counts.max_in_flight, counts.connections), (3, 1, 1));
}

#[test]
fn a_process_is_steered_by_lines() {
    let mut server = ModelProcess::start("--delay-ms 1 --keys --threads 2").unwrap();
    let mut wire = Wire::to(server.address());
    wire.send(INFER, "idempotency-key: a\r\n", &one_row(&[1.0, 2.0]));
    assert_eq!(prediction(&wire.receive().unwrap()), 3.0);
    assert_eq!(server.tell("set --fault 503,retry-after=2").unwrap(), "ok");
    wire.send(INFER, "idempotency-key: a\r\n", &one_row(&[1.0, 2.0]));
    assert_eq!(wire.receive().unwrap().header("retry-after"), Some("2"));
    let counters = server.counters().unwrap();
    assert_eq!((counters["statuses"]["503"].as_u64(), counters["repeated_keys"].as_u64()), (Some(1), Some(1)));
    assert_eq!(server.tell("die").unwrap(), "ok");
    assert_eq!(TcpStream::connect(server.address()).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(server.tell("return").unwrap(), "ok");
    drop(Wire::to(server.address()));
    assert!(server.tell("dance").unwrap_err().contains("no command"));
}
