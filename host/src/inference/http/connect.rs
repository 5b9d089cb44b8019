//! Making a connection: TCP, TLS where the address says so, and the version of HTTP that both sides
//! speak.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::endpoint::Endpoint;

/// Body of a request: there as a whole, and kept for another attempt without a copy.
pub(super) type Body = Full<Bytes>;

/// A ping goes out after so long without a word, so that a dead peer of HTTP/2 is noticed though
/// requests share its one connection.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// And the connection is given up after so long without an answer to it.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// A new connection.
pub(super) enum Opened {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// How connections are made.
pub(super) struct Connector {
    /// There when any address wants it.
    pub tls: Option<TlsConnector>,
    /// HTTP/2 without TLS.
    pub is_h2c: bool,
    pub timeout: Duration,
}

impl Connector {
    /// Connects, within the time for it. The message tells no more than what went wrong.
    pub async fn open(&self, endpoint: &Endpoint) -> Result<Opened, String> {
        match tokio::time::timeout(self.timeout, self.connect(endpoint)).await {
            Ok(opened) => opened.map_err(|error| format!("no connection: {}", chain(&error))),
            Err(_) => Err(format!("no connection within {:?}", self.timeout)),
        }
    }

    /// Tries the addresses of a host in their order, an even share of the time for each: one that
    /// answers nothing does not hide the others.
    async fn reach(&self, endpoint: &Endpoint) -> Result<TcpStream, io::Error> {
        let addresses: Vec<_> = lookup_host((endpoint.host.as_str(), endpoint.port)).await?.collect();
        let share = self.timeout / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
        for address in addresses {
            match tokio::time::timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failure = error,
                Err(_) => failure = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(failure)
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<Opened, io::Error> {
        let stream = self.reach(endpoint).await?;
        // A request is written at once and waited for: there is nothing to gather it with.
        stream.set_nodelay(true)?;
        let (Some(name), Some(tls)) = (&endpoint.tls, &self.tls) else {
            return speak(stream, self.is_h2c).await.map_err(io::Error::other);
        };
        let stream = tls.connect(name.clone(), stream).await?;
        let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        speak(stream, is_h2).await.map_err(io::Error::other)
    }
}

/// Begins HTTP on `stream`; the connection lives in a task of its own until its senders are gone.
async fn speak<S>(stream: S, is_h2: bool) -> Result<Opened, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let stream = TokioIo::new(stream);
    if is_h2 {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .handshake(stream)
            .await?;
        // How a connection ends, its requests are told.
        tokio::spawn(async { drop(connection.await) });
        return Ok(Opened::Http2(sender));
    }
    // Head and body in one piece: a copy of a few hundred bytes costs less than the list of two.
    let (sender, connection) = http1::Builder::new().writev(false).handshake(stream).await?;
    tokio::spawn(async { drop(connection.await) });
    Ok(Opened::Http1(sender))
}

/// An error and what it comes from, in one line. None of them hold addresses or headers.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let text = error.to_string();
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        source = error.source();
    }
    super::text::one_line(&line)
}
