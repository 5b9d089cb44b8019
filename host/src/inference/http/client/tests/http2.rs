//! HTTP/2 without TLS: one connection for all calls, and its end.

use futures_util::future::join_all;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::server::{answer, listen, serve};
use super::*;

fn h2c(url: &str) -> Client {
    let mut config = config(url);
    config.http2 = true;
    made(&config).unwrap()
}

#[tokio::test]
async fn calls_share_one_connection() {
    let (url, seen) = serve(true, |_| answer(200, "ok")).await;
    let client = h2c(&url);
    let calls = join_all((0..300).map(|_| call(&client))).await;
    assert!(calls.iter().all(|call| call.as_ref().unwrap().body == "ok"));
    assert_eq!(client.connections_opened(0), 1);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 300);
    assert_eq!(seen[0].version(), http::Version::HTTP_2);
    assert_eq!(seen[0].uri().path(), "/v2/models/m/infer");
    assert_eq!(seen[0].headers()["idempotency-key"], "key-1");
}

#[tokio::test]
async fn a_server_that_says_goodbye_is_called_anew() {
    let (listener, url) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let served = std::sync::Arc::new(tokio::sync::Notify::new());
                let serves = served.clone();
                let service = service_fn(move |_| {
                    let serves = serves.clone();
                    async move {
                        serves.notify_one();
                        Ok::<_, std::convert::Infallible>(answer(200, "ok"))
                    }
                });
                let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service);
                let mut connection = std::pin::pin!(connection);
                tokio::select! {
                    _ = connection.as_mut() => return,
                    () = served.notified() => connection.as_mut().graceful_shutdown(),
                }
                let _ = connection.await;
            });
        }
    });
    let client = h2c(&url);
    let mut answered = 0;
    for _ in 0..20 {
        match call(&client).await {
            Ok(_) => answered += 1,
            // What was on its way at the goodbye.
            Err(error) => assert_eq!((error.class, error.verdict), (ErrorClass::Reset, Verdict::Retriable), "{error}"),
        }
    }
    assert!(answered > 0);
    assert!(client.connections_opened(0) > 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_fails_all_who_wait_at_once() {
    let (listener, url) = listen().await;
    drop(listener);
    let client = h2c(&url);
    let calls = join_all((0..50).map(|_| call(&client))).await;
    for call in calls {
        assert_eq!(call.unwrap_err().class, ErrorClass::Connect);
    }
}

#[tokio::test]
async fn a_server_of_http1_is_no_server_of_http2() {
    let (url, _) = serve(false, |_| answer(200, "ok")).await;
    let error = call(&h2c(&url)).await.unwrap_err();
    assert_eq!(error.verdict, Verdict::Retriable, "{error}");
}
