//! Connections that break, stall and drip.

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use millstream_tests::faults::{Fault, ModelServer, Rule, Script};

use super::{INFER, Wire, ask, one_row};

fn under(fault: Fault) -> (ModelServer, Wire) {
    let server = ModelServer::start(Script::default().rule(&Rule::always(fault)));
    let mut wire = Wire::to(server.address());
    wire.send(INFER, "", &one_row(&[1.0, 2.0]));
    (server, wire)
}

#[test]
fn a_reset_before_the_head_is_a_reset_and_a_close_is_none() {
    let (_server, mut wire) = under(Fault::ResetBeforeHead);
    assert_eq!(wire.head().unwrap_err().kind(), ErrorKind::ConnectionReset);
    let (_server, mut wire) = under(Fault::CloseBeforeHead);
    assert_eq!(wire.head().unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn a_connection_that_breaks_after_the_head_leaves_half_of_the_body() {
    for (fault, kind) in
        [(Fault::ResetAfterHead, ErrorKind::ConnectionReset), (Fault::CloseAfterHead, ErrorKind::UnexpectedEof)]
    {
        let (_server, mut wire) = under(fault);
        let head = wire.head().unwrap();
        let length: usize =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
        let mut body = vec![0; length / 2];
        wire.0.read_exact(&mut body).unwrap();
        assert!(body.starts_with(b"{\"model_name\""));
        let mut more = [0];
        assert_eq!(wire.0.read_exact(&mut more).unwrap_err().kind(), kind);
    }
}

#[test]
fn a_stall_answers_nothing_and_keeps_the_connection() {
    let (server, mut wire) = under(Fault::Stall);
    assert_eq!(wire.comes_soon(), b"");
    assert_eq!(server.counts().in_flight, 1);
    drop(wire);
    let until = Instant::now() + millstream_tests::PATIENCE;
    while server.counts().in_flight > 0 {
        assert!(Instant::now() < until, "a client that went is still in flight");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(server.counts().abandoned, 1);
}

#[test]
fn a_stall_in_the_body_comes_behind_half_of_it() {
    let (_server, mut wire) = under(Fault::StallInBody);
    let seen = String::from_utf8(wire.comes_soon()).unwrap();
    let (head, body) = seen.split_once("\r\n\r\n").unwrap();
    let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    assert_eq!(body.len(), length / 2);
}

#[test]
fn a_dripping_reply_comes_a_byte_at_a_time_and_whole() {
    let (_server, mut wire) = under(Fault::Drip(Duration::from_millis(2)));
    let began = Instant::now();
    let mut most = 0;
    let mut seen = Vec::new();
    while !seen.ends_with(b"]}]}") {
        let mut bytes = [0; 4_096];
        let n = wire.0.read(&mut bytes).unwrap();
        most = most.max(n);
        seen.extend(&bytes[..n]);
    }
    // A reader that slept finds several.
    assert!(most < seen.len() / 2, "{most} of {} bytes at once", seen.len());
    assert!(began.elapsed() > Duration::from_millis(2 * seen.len() as u64 / 2));
}

#[test]
fn a_huge_body_is_as_long_as_it_was_said_to_be() {
    let size: u64 = 3 << 20;
    let (_server, mut wire) = under(Fault::Huge(size, true));
    let seen = wire.receive().unwrap();
    assert_eq!(seen.body.len() as u64, size);
    let (_server, mut wire) = under(Fault::Huge(size, false));
    let head = wire.head().unwrap();
    assert!(head.contains("transfer-encoding: chunked") && !head.contains("content-length"), "{head}");
    let mut read = 0;
    let mut bytes = vec![0; 1 << 16];
    while !bytes.starts_with(b"0\r\n") && read <= size {
        let n = wire.0.read(&mut bytes).unwrap();
        assert!(n > 0);
        read += n as u64;
        if bytes[..n].ends_with(b"\r\n0\r\n\r\n") {
            break;
        }
    }
    assert!(read > size);
}

#[test]
fn goodbye_is_said_with_a_right_reply() {
    let (server, mut wire) = under(Fault::GoAway);
    let seen = wire.receive().unwrap();
    assert_eq!((seen.status, seen.header("connection")), (200, Some("close")));
    assert_eq!(wire.0.read(&mut [0]).unwrap(), 0);
    assert_eq!(ask(&server).unwrap().status, 200);
}
