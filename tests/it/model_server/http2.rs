//! The same over HTTP/2, by hyper's client.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use millstream_tests::faults::{Fault, ModelServer, Options, Rule, Script};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::{INFER, one_row};

type Sender = SendRequest<Full<Bytes>>;

async fn connect(address: SocketAddr) -> (Sender, JoinHandle<hyper::Result<()>>) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    (sender, tokio::spawn(connection))
}

/// Status and body of a request.
async fn ask(sender: &Sender) -> hyper::Result<(StatusCode, Bytes)> {
    let body = Full::new(Bytes::from(one_row(&[1.0, 2.0])));
    let request = Request::post(format!("http://x{INFER}")).body(body).unwrap();
    let mut sender = sender.clone();
    sender.ready().await?;
    let reply = sender.send_request(request).await?;
    let status = reply.status();
    Ok((status, reply.into_body().collect().await?.to_bytes()))
}

#[test]
fn many_requests_share_a_connection() {
    let server = ModelServer::start(Script::delay(Duration::from_millis(100)));
    Runtime::new().unwrap().block_on(async {
        let (sender, _connection) = connect(server.address()).await;
        let asked: Vec<_> = (0..500)
            .map(|_| {
                let sender = sender.clone();
                tokio::spawn(async move { ask(&sender).await })
            })
            .collect();
        for one in asked {
            assert_eq!(one.await.unwrap().unwrap().0, StatusCode::OK);
        }
    });
    let counts = server.counts();
    assert_eq!((counts.connections, counts.requests), (1, 500));
    assert!(counts.max_in_flight > 100, "{}", counts.max_in_flight);
}

#[test]
fn goaway_lets_what_is_in_flight_end_and_the_connection_with_it() {
    let rule = Rule::nth(Fault::GoAway, 2);
    let server = ModelServer::start(Script::delay(Duration::from_millis(20)).rule(&rule));
    Runtime::new().unwrap().block_on(async {
        let (sender, connection) = connect(server.address()).await;
        for _ in 0..2 {
            assert_eq!(ask(&sender).await.unwrap().0, StatusCode::OK);
        }
        connection.await.unwrap().unwrap();
        assert!(ask(&sender).await.is_err(), "the connection is over");
        let (sender, _connection) = connect(server.address()).await;
        assert_eq!(ask(&sender).await.unwrap().0, StatusCode::OK);
    });
}

#[test]
fn a_break_ends_all_that_share_the_connection() {
    let rule = Rule::nth(Fault::ResetBeforeHead, 2).at_once();
    let server = ModelServer::start(Script::delay(Duration::from_secs(600)).rule(&rule));
    Runtime::new().unwrap().block_on(async {
        let (sender, _connection) = connect(server.address()).await;
        let other = sender.clone();
        let waiting = tokio::spawn(async move { ask(&other).await });
        while server.counts().in_flight == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(ask(&sender).await.is_err());
        assert!(waiting.await.unwrap().is_err());
    });
}

#[test]
fn a_server_of_http2_only_does_not_understand_http1() {
    let options = Options { http2: true, ..Options::default() };
    let server = ModelServer::start_with(Script::default(), &options).unwrap();
    let mut wire = super::Wire::to(server.address());
    wire.send(INFER, "", &one_row(&[1.0]));
    let mut seen = Vec::new();
    let _ = std::io::Read::read_to_end(&mut wire.0, &mut seen);
    assert!(!seen.starts_with(b"HTTP/1"), "{seen:?}");
    Runtime::new().unwrap().block_on(async {
        let (sender, _connection) = connect(server.address()).await;
        assert_eq!(ask(&sender).await.unwrap().0, StatusCode::OK);
    });
}
