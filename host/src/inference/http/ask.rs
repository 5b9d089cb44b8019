//! One attempt, from the bytes of a request to predictions or to what to do instead.

use std::time::Duration;

use super::call_error::CallError;
use super::classify::Statuses;
use super::client::{Client, Request};
use super::protocol::{Protocol, Reply};

/// Sends `request`, of `rows` rows, to `endpoint` of `client` and reads the reply as `protocol` does.
pub async fn ask(
    client: &Client,
    protocol: &dyn Protocol,
    statuses: &Statuses,
    endpoint: usize,
    request: Request<'_>,
    rows: usize,
    timeout: Duration,
) -> Result<Reply, CallError> {
    let response = client.call(endpoint, request, timeout).await?;
    let (head, body) = (&response.head, &response.body);
    let label = client.label(endpoint);
    if (200..300).contains(&head.status) {
        return protocol.decode(head, body, rows).map_err(|mut error| {
            error.reason = client.redact(error.reason);
            CallError::reply(label, head.status, error)
        });
    }
    let (verdict, class) = statuses.judge(head, protocol.is_permanent(head.status, body));
    let message = format!("{label}: {}", client.redact(protocol.error_message(head.status, body)));
    Err(CallError { class, verdict, status: Some(head.status), message })
}
