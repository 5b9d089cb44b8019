//! The proxy loses exactly what it was told to lose.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use millstream_tests::kafka::{self, Broker, Input, Isolation, Transaction};
use millstream_tests::proxy::{Api, Fault, Proxy, When};

/// A server that answers each request with its correlation id, and tells which api keys it saw.
fn echo() -> (u16, Receiver<i16>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (seen, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let seen = seen.clone();
            std::thread::spawn(move || {
                let mut frame = [0; 12];
                while stream.read_exact(&mut frame).is_ok() {
                    let _ = seen.send(i16::from_be_bytes([frame[4], frame[5]]));
                    let _ = stream.write_all(&[&[0, 0, 0, 4], &frame[8..12]].concat());
                }
            });
        }
    });
    (port, receiver)
}

/// Sends a request of this api and correlation id; the correlation id of the answer, or `None` when
/// the connection was cut.
fn ask(stream: &mut TcpStream, api: Api, correlation: i32) -> Option<i32> {
    let frame = [&[0, 0, 0, 8], &(api as i16).to_be_bytes()[..], &[0, 0], &correlation.to_be_bytes()].concat();
    stream.write_all(&frame).ok()?;
    let mut answer = [0; 8];
    stream.read_exact(&mut answer).ok()?;
    Some(i32::from_be_bytes([answer[4], answer[5], answer[6], answer[7]]))
}

#[test]
fn a_cut_request_never_arrives_and_a_dropped_reply_is_one_of_a_request_that_did() {
    let (port, seen) = echo();
    let proxy = Proxy::before(port);
    let connect = || TcpStream::connect(proxy.address()).unwrap();
    let cut = proxy.inject(Fault::CutBefore(Api::AddPartitionsToTxn), When::Nth(2));
    let mut stream = connect();
    assert_eq!(ask(&mut stream, Api::AddPartitionsToTxn, 1), Some(1));
    assert_eq!(ask(&mut stream, Api::Produce, 2), Some(2));
    assert_eq!(ask(&mut stream, Api::AddPartitionsToTxn, 3), None);
    assert_eq!(seen.try_iter().collect::<Vec<_>>(), [24, 0]);

    let dropped = proxy.inject(Fault::DropReply(Api::EndTxn), When::Always);
    for correlation in 4..6 {
        let mut stream = connect();
        assert_eq!(ask(&mut stream, Api::EndTxn, correlation), None);
        assert_eq!(seen.recv(), Ok(26));
    }
    proxy.clear();
    let mut stream = connect();
    assert_eq!(ask(&mut stream, Api::EndTxn, 6), Some(6));
    assert_eq!((cut.hits(), dropped.hits()), (1, 2));
    assert_eq!((proxy.requests(Api::AddPartitionsToTxn), proxy.requests(Api::EndTxn)), (2, 3));
}

#[test]
fn a_black_hole_stays_open_until_it_is_cleared() {
    let (port, seen) = echo();
    let proxy = Proxy::before(port);
    let hole = proxy.inject(Fault::Blackhole(Api::Heartbeat), When::Nth(1));
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert_eq!(ask(&mut stream, Api::Heartbeat, 1), None);
    assert_eq!(ask(&mut stream, Api::Produce, 2), None);
    let mut byte = [0];
    assert_eq!(stream.read(&mut byte).map_err(|e| e.kind()), Err(std::io::ErrorKind::WouldBlock));
    assert!(seen.try_recv().is_err());
    assert_eq!(hole.hits(), 1);
    proxy.clear();
    // Cut: the end of the stream, or a reset for what was never read.
    stream.set_read_timeout(None).unwrap();
    assert!(matches!(stream.read(&mut byte), Ok(0) | Err(_)));
}

#[test]
fn a_delayed_request_arrives_and_a_proxy_that_is_down_lets_none_in() {
    let (port, seen) = echo();
    let proxy = Proxy::before(port);
    let delay = proxy.inject(Fault::Delay(Api::Fetch, Duration::from_millis(50)), When::Always);
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    assert_eq!(ask(&mut stream, Api::Fetch, 1), Some(1));
    assert_eq!((delay.hits(), seen.recv()), (1, Ok(1)));
    proxy.down();
    assert_eq!(ask(&mut stream, Api::Produce, 2), None);
    let mut second = TcpStream::connect(proxy.address()).unwrap();
    assert_eq!(ask(&mut second, Api::Produce, 3), None);
    assert!(seen.try_recv().is_err());
    proxy.clear();
    let mut third = TcpStream::connect(proxy.address()).unwrap();
    assert_eq!(ask(&mut third, Api::Produce, 4), Some(4));
}

/// A commit of these records through the proxy.
fn transaction<'a>(proxy: &'a str, topic: &'a str, records: &'a [Input]) -> Transaction<'a> {
    let patience = Duration::from_secs(30);
    Transaction { bootstrap: proxy, id: topic, topic, records, group: None, offsets: &[], commit: true, patience }
}

/// A client that starts at the proxy stays on it, through the coordinators' addresses too.
#[test]
fn a_whole_transaction_passes_through_the_proxy() {
    let test = "a_whole_transaction_passes_through_the_proxy";
    let Some(broker) = kafka::shared(test) else { return };
    let Some(proxy) = broker.proxy(test) else { return };
    let topic = broker.unique("proxied");
    broker.create_topic(&topic, 1, &[]);
    let (address, input) = (proxy.address(), format!("{topic}/0"));
    let (records, offsets) = ([Input::value("a")], [(input.as_str(), 3)]);
    let plain = transaction(&address, &topic, &records);
    broker.transact(&Transaction { group: Some(&topic), offsets: &offsets, ..plain }).unwrap();
    for api in [Api::InitProducerId, Api::Produce, Api::TxnOffsetCommit, Api::EndTxn] {
        assert_eq!(proxy.requests(api), 1, "{api:?}");
    }
    assert_eq!(broker.consume(&topic, Isolation::ReadCommitted).len(), 1);
}

/// Runs a transaction while one of its requests, and each try of it again, meets the fault; how many
/// records are visible after the proxy is well again and the transaction is decided.
fn visible_after(test: &str, fault: fn(Api) -> Fault) -> Option<u64> {
    let broker: &Broker = kafka::shared(test)?;
    let proxy = broker.proxy(test)?;
    let topic = broker.unique("fault");
    broker.create_topic(&topic, 1, &[]);
    let rule = proxy.inject(fault(Api::EndTxn), When::Always);
    let records = [Input::value("a")];
    let address = proxy.address();
    let mut transaction = transaction(&address, &topic, &records);
    transaction.patience = Duration::from_secs(2);
    let outcome = broker.transact(&transaction);
    assert!(outcome.is_err() && rule.hits() > 0, "{outcome:?} after {} hits", rule.hits());
    // A new producer of the same id decides what was left open; it writes nothing.
    let next = Transaction { bootstrap: broker.bootstrap(), records: &[], ..transaction };
    broker.transact(&next).unwrap();
    let offsets = broker.offsets(&topic)[&0];
    assert_eq!(offsets.last_stable, offsets.high_watermark);
    Some(broker.consume(&topic, Isolation::ReadCommitted).len() as u64)
}

#[test]
fn a_commit_whose_reply_is_lost_has_happened() {
    if let Some(visible) = visible_after("a_commit_whose_reply_is_lost_has_happened", Fault::DropReply) {
        assert_eq!(visible, 1);
    }
}

#[test]
fn a_commit_that_never_arrives_has_not_happened() {
    if let Some(visible) = visible_after("a_commit_that_never_arrives_has_not_happened", Fault::CutBefore) {
        assert_eq!(visible, 0);
    }
}
