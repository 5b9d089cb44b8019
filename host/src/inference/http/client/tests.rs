//! The client against real servers on loopback.

mod faults;
mod head;
mod http2;
mod replies;
mod server;
mod settings;
mod tls;

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::inference::external::{PredictionType, ProtocolConfig, Secret};
use crate::inference::http::protocol::protocol;

/// Longer than any of these tests takes.
const LONG: Duration = Duration::from_secs(20);

/// Settings of a server at `url`.
fn config(url: &str) -> EndpointConfig {
    EndpointConfig {
        protocol: ProtocolConfig::OpenInference { binary: false, input: "features".into(), output: None },
        urls: vec![url.to_owned()],
        prediction: PredictionType::Numbers(1),
        headers: Vec::new(),
        bearer: None,
        http2: false,
        ca_file: None,
        max_reply_bytes: 1000,
        classes: Vec::new(),
    }
}

fn made(config: &EndpointConfig) -> Result<Client, String> {
    let protocol = protocol(&config.protocol, "m", None, config.prediction).unwrap();
    Client::new(config, &*protocol, LONG, 100)
}

fn client(url: &str) -> Client {
    made(&config(url)).unwrap()
}

/// A call of the first server.
async fn call(client: &Client) -> Result<Response, CallError> {
    call_within(client, LONG).await
}

async fn call_within(client: &Client, timeout: Duration) -> Result<Response, CallError> {
    let body = Bytes::from_static(b"{}");
    let request = Request { body: &body, encoded: Encoded::default(), idempotency_key: Some("key-1") };
    client.call(0, request, timeout).await
}
