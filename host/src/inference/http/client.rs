//! The client: bytes to one of the servers of an operator and back, within limits.
//!
//! Redirects are not followed, proxies of the environment not used, nothing is compressed, and
//! nothing is sent twice but what a server certainly did not see. One attempt a call.
//!
//! It is made of hyper's connections and a pool of our own: clients that do more cost more, and at one
//! row a request the client is most of what an operator costs (ARCHITECTURE.md has the figures).

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http::header::{HOST, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};

use super::call_error::CallError;
use super::classify::Verdict;
use super::connect::{Body, Connector, chain};
use super::endpoint::{Endpoint, IDEMPOTENCY_KEY, JSON_BYTES};
use super::error_class::ErrorClass;
use super::pool::{Pool, Sender, Taken};
use super::protocol::{Encoded, Head, Protocol};
use super::{retry_after, tls};
use crate::inference::external::EndpointConfig;

/// A request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its body. It is shared, not copied, so the same one serves another attempt.
    pub body: &'a Bytes,
    /// What the protocol said of it.
    pub encoded: Encoded,
    /// Sent as `Idempotency-Key`: the same for all attempts with the same rows. Visible ASCII.
    pub idempotency_key: Option<&'a str>,
}

/// A response, whatever its status.
#[derive(Clone, Debug)]
pub struct Response {
    /// What stood before its body.
    pub head: Head,
    /// Its body, all of it.
    pub body: Bytes,
}

/// The client of one operator. It belongs to one thread, whose runtime runs its connections.
pub struct Client {
    endpoints: Vec<(Endpoint, Pool)>,
    connector: Connector,
    max_reply_bytes: usize,
    secrets: Vec<String>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.endpoints.iter().map(|(endpoint, _)| &endpoint.label)).finish()
    }
}

/// How far an attempt has come.
#[derive(Clone, Copy)]
enum Phase {
    Connecting,
    Waiting,
    Reading,
}

impl Client {
    /// A client of the servers in `config` for requests of `protocol`, at most `capacity` in flight.
    /// Opens no connection. Errors name the setting and hold no secret.
    pub fn new(
        config: &EndpointConfig,
        protocol: &dyn Protocol,
        connect_timeout: Duration,
        capacity: usize,
    ) -> Result<Self, String> {
        let mut endpoints = Vec::with_capacity(config.urls.len());
        for (place, url) in config.urls.iter().enumerate() {
            endpoints.push(
                Endpoint::new(url, config, protocol)
                    .map_err(|error| format!("address {} of `urls`: {error}", place + 1))?,
            );
        }
        let tls = match endpoints.iter().any(|endpoint| endpoint.tls.is_some()) || config.ca_file.is_some() {
            true => Some(tls::connector(config.ca_file.as_deref())?),
            false => None,
        };
        let connector = Connector { tls, is_h2c: config.http2, timeout: connect_timeout };
        let endpoints = endpoints.into_iter().map(|endpoint| {
            let pool = Pool::new(&endpoint, &connector, capacity);
            (endpoint, pool)
        });
        let secrets = config.headers.iter().map(|(_, value)| value).chain(&config.bearer);
        Ok(Self {
            endpoints: endpoints.collect(),
            connector,
            max_reply_bytes: config.max_reply_bytes,
            secrets: secrets.filter(|secret| !secret.0.is_empty()).map(|secret| secret.0.clone()).collect(),
        })
    }

    /// Scheme, host and port of a server.
    pub fn label(&self, endpoint: usize) -> &str {
        &self.endpoints[endpoint].0.label
    }

    /// Connections made to a server since the start.
    #[cfg(test)]
    pub fn connections_opened(&self, endpoint: usize) -> u64 {
        self.endpoints[endpoint].1.opened()
    }

    /// `text` without secrets: a server may quote what it was sent.
    pub fn redact(&self, text: String) -> String {
        self.secrets.iter().fold(text, |text, secret| match text.contains(secret) {
            true => text.replace(secret, "(secret)"),
            false => text,
        })
    }

    /// Sends a request to `endpoint` and reads the response, both within `timeout`. Dropping the
    /// future cancels the request: its connection is closed, or its stream reset.
    pub async fn call(&self, endpoint: usize, request: Request<'_>, timeout: Duration) -> Result<Response, CallError> {
        let (endpoint, pool) = &self.endpoints[endpoint];
        let phase = Cell::new(Phase::Connecting);
        let attempt = self.attempt(endpoint, pool, request, &phase);
        match tokio::time::timeout(timeout, attempt).await {
            Ok(result) => result,
            Err(_) => Err(late(endpoint, timeout, phase.get())),
        }
    }

    async fn attempt(
        &self,
        endpoint: &Endpoint,
        pool: &Pool,
        request: Request<'_>,
        phase: &Cell<Phase>,
    ) -> Result<Response, CallError> {
        let failed = |class, what: String| CallError::transport(class, format!("{}: {what}", endpoint.label));
        let mut message = message(endpoint, request)?;
        let (sender, response) = loop {
            phase.set(Phase::Connecting);
            let taken = pool.take(endpoint, &self.connector).await;
            let Taken { sender, is_new } = taken.map_err(|error| failed(ErrorClass::Connect, error))?;
            let is_h2 = matches!(sender, Sender::Http2(_));
            phase.set(Phase::Waiting);
            let sent = match sender {
                Sender::Http1(mut sender) => {
                    let sent = sender.try_send_request(message).await;
                    sent.map(|response| (Sender::Http1(sender), response))
                }
                Sender::Http2(mut sender) => {
                    *message.uri_mut() = endpoint.target.absolute.clone();
                    message.headers_mut().remove(HOST);
                    let sent = sender.try_send_request(message).await;
                    sent.map(|response| (Sender::Http2(sender), response))
                }
            };
            match sent {
                Ok(sent) => break sent,
                Err(mut error) => match error.take_message() {
                    // A connection that had ended since it was last used: nothing was written. A new
                    // one is not tried twice, or a server that hangs up on everyone would be called
                    // without a pause.
                    Some(unsent) if !is_new => {
                        message = unsent;
                        if is_h2 {
                            pool.forget_shared().await;
                        }
                    }
                    _ => return Err(broken(endpoint, error.error(), "before the reply")),
                },
            }
        };
        phase.set(Phase::Reading);
        let head = head(response.status().as_u16(), response.headers());
        let body = self.read(endpoint, &head, response.into_body()).await?;
        pool.give(sender);
        Ok(Response { head, body })
    }

    /// The body of a response; what is in one piece is not copied.
    async fn read(&self, endpoint: &Endpoint, head: &Head, mut body: Incoming) -> Result<Bytes, CallError> {
        let max = self.max_reply_bytes;
        let too_large = || {
            let message = format!("{}: a reply of more than {max} bytes (`max_reply_bytes`)", endpoint.label);
            CallError::permanent(ErrorClass::TooLarge, Some(head.status), message)
        };
        if body.size_hint().lower() > max as u64 {
            return Err(too_large());
        }
        let (mut first, mut whole) = (Bytes::new(), BytesMut::new());
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| broken(endpoint, &error, "within the reply"))?;
            let Ok(data) = frame.into_data() else { continue };
            if first.len().max(whole.len()) + data.len() > max {
                return Err(too_large());
            }
            match (first.is_empty(), whole.is_empty()) {
                (true, true) => first = data,
                (false, true) => {
                    whole.extend_from_slice(&first);
                    whole.extend_from_slice(&data);
                }
                _ => whole.extend_from_slice(&data),
            }
        }
        Ok(if whole.is_empty() { first } else { whole.freeze() })
    }
}

/// A request with its head.
fn message(endpoint: &Endpoint, request: Request<'_>) -> Result<http::Request<Body>, CallError> {
    let mut headers = endpoint.headers.clone();
    if let Some(key) = request.idempotency_key {
        let key = HeaderValue::from_str(key).map_err(|_| {
            let message = "an idempotency key that no header can hold".to_owned();
            CallError::permanent(ErrorClass::BadRow, None, message)
        })?;
        headers.insert(IDEMPOTENCY_KEY, key);
    }
    if let Some(bytes) = request.encoded.json_bytes {
        headers.insert(JSON_BYTES, HeaderValue::from(bytes));
    }
    let mut message = http::Request::new(Body::new(request.body.clone()));
    *message.method_mut() = Method::POST;
    *message.uri_mut() = endpoint.target.origin.clone();
    *message.headers_mut() = headers;
    Ok(message)
}

/// What is asked of the head of a response.
fn head(status: u16, headers: &HeaderMap) -> Head {
    let text = |value: Option<&HeaderValue>| value.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let json_bytes = headers.get(JSON_BYTES).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let mut head = Head { json_bytes, ..Head::of(status) };
    if status >= 300 {
        let (millis, after) = (text(headers.get("retry-after-ms")), text(headers.get(RETRY_AFTER)));
        head.retry_after = retry_after::retry_after(millis.as_deref(), after.as_deref(), SystemTime::now());
    }
    head
}

/// An attempt whose time was spent.
fn late(endpoint: &Endpoint, timeout: Duration, phase: Phase) -> CallError {
    let what = match phase {
        Phase::Connecting => "no connection",
        Phase::Waiting => "no reply",
        Phase::Reading => "no end of the reply",
    };
    CallError::transport(ErrorClass::Timeout, format!("{}: {what} within {timeout:?}", endpoint.label))
}

/// A connection that broke, or that did not speak HTTP.
fn broken(endpoint: &Endpoint, error: &hyper::Error, place: &str) -> CallError {
    let message = format!("{}: {} ({place})", endpoint.label, chain(error));
    if error.is_parse() {
        return CallError { class: ErrorClass::BadReply, verdict: Verdict::RetriableOnce, status: None, message };
    }
    let class = if error.is_timeout() { ErrorClass::Timeout } else { ErrorClass::Reset };
    CallError { class, verdict: Verdict::Retriable, status: None, message }
}

#[cfg(test)]
mod tests;
