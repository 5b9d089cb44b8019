//! The way to servers: a request in the words of their protocol, by the client.

use std::cell::Cell;
use std::time::Duration;

use bytes::Bytes;

use super::rows::Request;
use super::transport::{CallFailure, Transport};
use super::{EndpointConfig, ExternalConfig};
use crate::inference::http::{
    self, CallError, Client, ErrorClass, Inputs, Protocol, Reply, Statuses, Verdict, Wants, protocol,
};

pub(super) struct Http {
    client: Client,
    protocol: Box<dyn Protocol>,
    statuses: Statuses,
    /// As long as the last body: what the next is given room for at once.
    usual: Cell<usize>,
}

impl Http {
    pub(super) fn open(config: &ExternalConfig, endpoint: &EndpointConfig) -> Result<Self, String> {
        let protocol = protocol(&endpoint.protocol, &config.model, config.version.as_deref(), endpoint.prediction)?;
        let client = Client::new(endpoint, &*protocol, config.timeouts.connect, config.capacity)?;
        Ok(Self { client, protocol, statuses: Statuses::new(&endpoint.classes), usual: Cell::new(0) })
    }

    /// What the protocol takes of a row.
    pub(super) fn wants(&self) -> Wants {
        self.protocol.wants()
    }

    fn encode(&self, request: &Request) -> Result<(Bytes, http::Encoded), CallFailure> {
        let mut body = Vec::with_capacity(self.usual.get());
        let encoded = match self.protocol.wants() {
            Wants::Tensor => {
                let (values, rows, width) = (&request.values[..], request.rows, request.width);
                self.protocol.encode(Inputs::Tensor { values, rows, width }, &request.id, &mut body)
            }
            Wants::Texts => {
                let texts: Vec<&str> = request.texts.iter().map(|t| &**t).collect();
                self.protocol.encode(Inputs::Texts(&texts), &request.id, &mut body)
            }
            Wants::Objects => self.protocol.encode(Inputs::Objects(&request.objects), &request.id, &mut body),
        };
        let encoded = encoded.map_err(|unsendable| CallFailure {
            class: ErrorClass::BadRow,
            verdict: Verdict::Permanent,
            reason: unsendable.to_string(),
            bad_rows: unsendable.rows,
        })?;
        self.usual.set(body.len() + body.len() / 8);
        Ok((body.into(), encoded))
    }
}

impl Transport for Http {
    async fn call(&self, endpoint: usize, request: &Request, within: Duration) -> Result<Reply, CallFailure> {
        let (body, encoded) = self.encode(request)?;
        let asked = http::Request { body: &body, encoded, idempotency_key: Some(&request.id) };
        let (client, protocol) = (&self.client, &*self.protocol);
        http::ask(client, protocol, &self.statuses, endpoint, asked, request.rows, within).await.map_err(failure)
    }
}

fn failure(error: CallError) -> CallFailure {
    CallFailure::of(error.class, error.verdict, error.message)
}
