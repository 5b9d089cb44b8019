//! What a request looks like on its way, and that secrets stay secret.

use super::server::{answer, serve};
use super::*;
use crate::inference::http::{Statuses, ask};

#[tokio::test]
async fn a_request_arrives_with_its_head_and_body() {
    let (url, seen) = serve(false, |_| answer(200, "ok")).await;
    let mut config = config(&format!("{url}/gateway/"));
    config.bearer = Some(Secret("s3cret".into()));
    config.headers = vec![("X-Tenant".into(), Secret("blue".into()))];
    let client = made(&config).unwrap();
    let body = Bytes::from_static(b"\x00body");
    let encoded = Encoded { json_bytes: Some(1) };
    let request = Request { body: &body, encoded, idempotency_key: Some("score/0/17") };
    let response = client.call(0, request, LONG).await.unwrap();
    assert_eq!((response.head.status, &response.body[..]), (200, &b"ok"[..]));

    let seen = seen.lock().unwrap();
    let request = &seen[0];
    assert_eq!(request.method(), "POST");
    assert_eq!(request.uri(), "/gateway/v2/models/m/infer");
    assert_eq!(request.body(), &body);
    let header = |name: &str| request.headers()[name].to_str().unwrap();
    assert_eq!(header("host"), url.strip_prefix("http://").unwrap());
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("content-length"), "5");
    assert_eq!(header("authorization"), "Bearer s3cret");
    assert_eq!(header("x-tenant"), "blue");
    assert_eq!(header("idempotency-key"), "score/0/17");
    assert_eq!(header("inference-header-content-length"), "1");
    assert!(header("user-agent").starts_with("millstream/"));
    assert!(!request.headers().contains_key("accept-encoding"), "nothing is compressed");
}

#[tokio::test]
async fn secrets_appear_in_no_text() {
    let echo = |request: &http::Request<Bytes>| {
        let header = request.headers()["authorization"].to_str().unwrap();
        answer(401, format!(r#"{{"error":"no access with {header} as blue"}}"#))
    };
    let (url, _) = serve(false, echo).await;
    let mut config = config(&url);
    config.bearer = Some(Secret("s3cret".into()));
    config.headers = vec![("x-tenant".into(), Secret("blue".into()))];
    let client = made(&config).unwrap();
    let protocol = protocol(&config.protocol, "m", None, config.prediction).unwrap();
    let body = Bytes::from_static(b"{}");
    let request = Request { body: &body, encoded: Encoded::default(), idempotency_key: None };
    let error = ask(&client, &*protocol, &Statuses::default(), 0, request, 1, LONG).await.unwrap_err();
    assert_eq!(error.message, format!("{url}: HTTP 401: no access with Bearer (secret) as (secret)"));
    let (endpoint, _) = &client.endpoints[0];
    let all = format!("{client:?} {config:?} {:?} {error:?}", endpoint.headers);
    assert!(!all.contains("s3cret") && !all.contains("blue"), "{all}");
}

#[tokio::test]
async fn an_idempotency_key_that_no_header_can_hold_is_refused() {
    let client = client("http://127.0.0.1:1");
    let body = Bytes::new();
    let request = Request { body: &body, encoded: Encoded::default(), idempotency_key: Some("a\nb: c") };
    let error = client.call(0, request, LONG).await.unwrap_err();
    assert_eq!((error.class, error.verdict), (ErrorClass::BadRow, Verdict::Permanent));
}
