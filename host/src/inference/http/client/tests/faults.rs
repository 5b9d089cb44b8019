//! Servers that are not there, break off, stall, or speak something else.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::server::{listen, read_request, script};
use super::*;

/// Time of an attempt that is bound to run out.
const SHORT: Duration = Duration::from_millis(50);

async fn scripted(reply: &'static [u8]) -> CallError {
    let local = tokio::task::LocalSet::new();
    let calls = async {
        let url = script(&[reply]).await;
        call(&client(&url)).await.unwrap_err()
    };
    local.run_until(calls).await
}

#[tokio::test]
async fn a_server_that_is_not_there_refuses_the_connection() {
    let (listener, url) = listen().await;
    drop(listener);
    let error = call(&client(&url)).await.unwrap_err();
    assert_eq!((error.class, error.verdict), (ErrorClass::Connect, Verdict::Retriable));
    assert!(error.message.starts_with(&format!("{url}: no connection: Connection refused")), "{error}");
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_no_connection() {
    let error = call(&client("http://no-such-host.invalid:80")).await.unwrap_err();
    assert_eq!((error.class, error.verdict), (ErrorClass::Connect, Verdict::Retriable));
}

#[tokio::test]
async fn a_connection_may_break_before_the_head_and_within_the_body() {
    for reply in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc",
    ] {
        let error = scripted(reply).await;
        let text = String::from_utf8_lossy(reply);
        assert_eq!((error.class, error.verdict), (ErrorClass::Reset, Verdict::Retriable), "{text}: {error}");
    }
}

#[tokio::test]
async fn a_connection_may_be_reset() {
    let (listener, url) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            read_request(&mut stream).await;
            // Closed at once and without the usual farewell.
            stream.set_zero_linger().unwrap();
        }
    });
    let error = call(&client(&url)).await.unwrap_err();
    assert_eq!((error.class, error.verdict), (ErrorClass::Reset, Verdict::Retriable), "{error}");
}

#[tokio::test]
async fn a_server_that_hangs_up_on_everyone_is_not_called_without_a_pause() {
    let (listener, url) = listen().await;
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    for is_h2c in [false, true] {
        let mut config = config(&url);
        config.http2 = is_h2c;
        let client = made(&config).unwrap();
        for calls in 1..5 {
            let error = call(&client).await.unwrap_err();
            assert_eq!((error.class, error.verdict), (ErrorClass::Reset, Verdict::Retriable), "{error}");
            assert!(client.connections_opened(0) <= calls, "{} for {calls} calls", client.connections_opened(0));
        }
    }
}

#[tokio::test]
async fn what_is_not_http_is_no_reply() {
    for reply in [&b"\x15\x03\x01\x00\x02\x02\x50 and more that no one can read\r\n\r\n"[..], b"HTTP/1.1 abc\r\n\r\n"] {
        let error = scripted(reply).await;
        assert_eq!((error.class, error.verdict), (ErrorClass::BadReply, Verdict::RetriableOnce), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_stalls_runs_out_of_time() {
    let local = tokio::task::LocalSet::new();
    let stalls = async {
        let url = script(&[]).await;
        let error = call_within(&client(&url), SHORT).await.unwrap_err();
        assert_eq!((error.class, error.verdict), (ErrorClass::Timeout, Verdict::Retriable));
        assert_eq!(error.message, format!("{url}: no reply within 50ms"));
    };
    local.run_until(stalls).await;
}

#[tokio::test]
async fn a_body_that_stalls_runs_out_of_time() {
    let (listener, url) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").await.unwrap();
        std::future::pending::<()>().await;
    });
    let error = call_within(&client(&url), SHORT).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Timeout);
    assert_eq!(error.message, format!("{url}: no end of the reply within 50ms"));
}

#[tokio::test]
async fn a_connection_that_is_not_made_in_time_is_none() {
    // Accepts, and then says nothing of TLS.
    let (listener, url) = listen().await;
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let config = config(&url.replace("http:", "https:"));
    let protocol = protocol(&config.protocol, "m", None, config.prediction).unwrap();
    let client = Client::new(&config, &*protocol, SHORT, 100).unwrap();
    let error = call(&client).await.unwrap_err();
    assert_eq!((error.class, error.verdict), (ErrorClass::Connect, Verdict::Retriable));
    assert!(error.message.ends_with("no connection within 50ms"), "{error}");
}

#[tokio::test]
async fn a_call_that_is_dropped_ends_its_connection() {
    let (listener, url) = listen().await;
    let client = client(&url);
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream
    };
    let mut stream = tokio::select! {
        stream = server => stream,
        _ = call(&client) => panic!("nobody answered"),
    };
    assert_eq!(stream.read(&mut [0; 10]).await.unwrap(), 0, "the end of the connection");
}
