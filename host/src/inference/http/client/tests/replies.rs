//! Replies of all kinds: their limits, what is not followed, and which connections are kept.

use futures_util::future::join_all;
use tokio::io::AsyncWriteExt;

use super::server::{answer, listen, read_request, script, serve};
use super::*;
use crate::inference::http::{CallError, Reply, Statuses, ask};

async fn asked(url: &str) -> Result<Reply, CallError> {
    asked_as(config(url)).await
}

async fn asked_as(config: EndpointConfig) -> Result<Reply, CallError> {
    let client = made(&config).unwrap();
    let protocol = protocol(&config.protocol, "m", None, config.prediction).unwrap();
    let body = Bytes::from_static(b"{}");
    let request = Request { body: &body, encoded: Encoded::default(), idempotency_key: None };
    ask(&client, &*protocol, &Statuses::new(&config.classes), 0, request, 1, LONG).await
}

#[tokio::test]
async fn connections_are_used_again() {
    let (url, seen) = serve(false, |_| answer(200, "ok")).await;
    let client = client(&url);
    for _ in 0..20 {
        call(&client).await.unwrap();
    }
    assert_eq!(client.connections_opened(0), 1);
    for _ in 0..5 {
        let calls = join_all((0..10).map(|_| call(&client))).await;
        assert!(calls.iter().all(Result::is_ok));
    }
    assert!(client.connections_opened(0) <= 10, "{} for at most 10 at a time", client.connections_opened(0));
    assert_eq!(seen.lock().unwrap().len(), 70);
}

#[tokio::test]
async fn a_connection_that_the_server_closed_meanwhile_is_replaced() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            let url = script(&[ok, ok, ok]).await;
            let client = client(&url);
            for _ in 0..3 {
                assert_eq!(call(&client).await.unwrap().body, "ok");
                // The end of the connection has arrived.
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
            assert_eq!(client.connections_opened(0), 3);
        })
        .await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (elsewhere, seen) = serve(false, |_| answer(200, "ok")).await;
    let redirect = move |_: &http::Request<Bytes>| {
        let mut response = answer(307, "");
        response.headers_mut().insert("location", elsewhere.parse().unwrap());
        response
    };
    let (url, _) = serve(false, redirect).await;
    let error = asked(&url).await.unwrap_err();
    assert_eq!(
        (error.class, error.verdict, error.status),
        (ErrorClass::StatusOther, Verdict::RetriableOnce, Some(307))
    );
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_reply_may_be_as_large_as_the_limit_and_no_larger() {
    let (url, _) = serve(false, |_| answer(200, vec![b' '; 1000])).await;
    assert_eq!(call(&client(&url)).await.unwrap().body.len(), 1000);
    let (url, _) = serve(false, |_| answer(200, vec![b' '; 1001])).await;
    let error = call(&client(&url)).await.unwrap_err();
    assert_eq!((error.class, error.verdict), (ErrorClass::TooLarge, Verdict::Permanent));
    assert_eq!(error.message, format!("{url}: a reply of more than 1000 bytes (`max_reply_bytes`)"));
}

#[tokio::test]
async fn a_body_without_end_is_refused_while_it_is_read() {
    let (listener, url) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        while stream.write_all(b"64\r\n").await.is_ok() {
            if stream.write_all(&[b'x'; 100]).await.is_err() || stream.write_all(b"\r\n").await.is_err() {
                break;
            }
        }
    });
    assert_eq!(call(&client(&url)).await.unwrap_err().class, ErrorClass::TooLarge);
}

#[tokio::test]
async fn a_body_in_pieces_is_put_together() {
    let (listener, url) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        for piece in ["1\r\na\r\n", "2\r\nbc\r\n", "3\r\ndef\r\n", "0\r\n\r\n"] {
            tokio::task::yield_now().await;
            stream.write_all(piece.as_bytes()).await.unwrap();
        }
    });
    assert_eq!(call(&client(&url)).await.unwrap().body, "abcdef");
}

#[tokio::test]
async fn a_good_reply_is_a_prediction_and_a_bad_one_is_asked_for_once_more() {
    let good = r#"{"outputs":[{"name":"score","shape":[1],"datatype":"FP32","data":[0.5]}]}"#;
    let (url, _) = serve(false, move |_| answer(200, good)).await;
    assert!(asked(&url).await.is_ok());
    let (url, _) = serve(false, |_| answer(200, r#"{"outputs":[{"na"#)).await;
    let error = asked(&url).await.unwrap_err();
    assert_eq!((error.class, error.verdict, error.status), (ErrorClass::BadReply, Verdict::RetriableOnce, Some(200)));
    let (url, _) = serve(false, |_| answer(204, "")).await;
    assert_eq!(asked(&url).await.unwrap_err().class, ErrorClass::BadReply);
}

#[tokio::test]
async fn a_busy_server_says_when_to_come_back() {
    let busy = |_: &http::Request<Bytes>| {
        let mut response = answer(503, r#"{"error":"Exceeds maximum queue size"}"#);
        response.headers_mut().insert("retry-after", "2".parse().unwrap());
        response
    };
    let (url, _) = serve(false, busy).await;
    let error = asked(&url).await.unwrap_err();
    let retry_after = Some(Duration::from_secs(2));
    assert_eq!((error.class, error.verdict), (ErrorClass::Overload, Verdict::Overload { retry_after }));
    assert_eq!(error.message, format!("{url}: HTTP 503: Exceeds maximum queue size"));
}

#[tokio::test]
async fn a_spent_quota_is_permanent_though_its_status_is_that_of_a_busy_server() {
    let spent = r#"{"error":{"message":"You exceeded your quota.","code":"insufficient_quota"}}"#;
    let (url, _) = serve(false, move |_| answer(429, spent)).await;
    let mut config = config(&url);
    config.protocol = ProtocolConfig::OpenAiEmbeddings;
    let error = asked_as(config).await.unwrap_err();
    assert_eq!((error.class, error.verdict), (ErrorClass::Overload, Verdict::Permanent));
    assert!(error.message.ends_with("You exceeded your quota. (insufficient_quota)"), "{error}");
}
