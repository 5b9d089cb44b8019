//! A server with few workers.

use std::time::{Duration, Instant};

use millstream_tests::faults::{ModelServer, Overload, Script};

use super::{INFER, Wire, one_row};

fn busy(time: Duration, workers: usize, queue: usize) -> ModelServer {
    let overload = Some(Overload { workers, queue, row: Duration::ZERO });
    ModelServer::start(Script { overload, ..Script::delay(time) })
}

/// So many requests at once; their statuses.
fn crowd(server: &ModelServer, requests: usize) -> Vec<u16> {
    let mut wires: Vec<Wire> = (0..requests).map(|_| Wire::to(server.address())).collect();
    wires.iter_mut().for_each(|wire| wire.send(INFER, "", &one_row(&[1.0])));
    wires.iter_mut().map(|wire| wire.receive().unwrap().status).collect()
}

#[test]
fn more_requests_at_a_time_take_longer() {
    let time = Duration::from_millis(10);
    let server = busy(time, 2, 100);
    let began = Instant::now();
    let statuses = crowd(&server, 10);
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert!(began.elapsed() >= time * 5);
}

#[test]
fn what_the_queue_has_no_place_for_is_refused_at_once() {
    let server = busy(Duration::from_millis(200), 1, 2);
    let statuses = crowd(&server, 8);
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 3, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 503).count(), 5, "{statuses:?}");
}

#[test]
fn clients_that_go_leave_no_one_in_the_queue() {
    let server = busy(Duration::from_millis(20), 1, 4);
    for _ in 0..4 {
        let mut wires: Vec<Wire> = (0..5).map(|_| Wire::to(server.address())).collect();
        wires.iter_mut().for_each(|wire| wire.send(INFER, "", &one_row(&[1.0])));
        drop(wires);
    }
    let until = Instant::now() + millstream_tests::PATIENCE;
    while server.counts().in_flight > 0 {
        assert!(Instant::now() < until, "{:?}", server.counts());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(crowd(&server, 1), [200]);
}
