//! The connections to one server, kept for the next request.
//!
//! HTTP/1.1 needs a connection for each request in flight. The one used last is taken first, so that
//! those a falling load needs no longer grow old and are closed. HTTP/2 needs one in all: who comes
//! while it is being made waits for it. Which of the two a server behind TLS speaks is known from its
//! first connection; until then one is made at a time.
//!
//! No lock: a pool belongs to one thread.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hyper::client::conn::{http1, http2};

use super::connect::{Body, Connector, Opened};
use super::endpoint::Endpoint;

/// How long a connection may lie idle: less than servers keep theirs, so that few are found dead.
const IDLE: Duration = Duration::from_secs(30);

/// A connection for one request.
pub(super) enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// A connection, and whether it was made for this request.
pub(super) struct Taken {
    pub sender: Sender,
    pub is_new: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Unknown,
    Http1,
    Http2,
}

/// Connections to one server.
pub(super) struct Pool {
    speaks: Cell<Speaks>,
    /// Oldest in front.
    idle: RefCell<VecDeque<(Instant, http1::SendRequest<Body>)>>,
    /// Idle ones at most.
    max_idle: usize,
    shared: tokio::sync::Mutex<Shared>,
    opened: Cell<u64>,
}

/// What those who wait for a connection wait for.
#[derive(Default)]
struct Shared {
    sender: Option<http2::SendRequest<Body>>,
    /// The attempt to connect that failed last.
    failure: Option<(Instant, String)>,
}

impl Pool {
    pub fn new(endpoint: &Endpoint, connector: &Connector, max_idle: usize) -> Self {
        let speaks = match (endpoint.tls.is_some(), connector.is_h2c) {
            (true, _) => Speaks::Unknown,
            (false, true) => Speaks::Http2,
            (false, false) => Speaks::Http1,
        };
        Self {
            speaks: Cell::new(speaks),
            idle: RefCell::default(),
            max_idle,
            shared: tokio::sync::Mutex::default(),
            opened: Cell::new(0),
        }
    }

    /// Connections made since the start.
    #[cfg(test)]
    pub fn opened(&self) -> u64 {
        self.opened.get()
    }

    /// A connection, an idle one if there is one.
    pub async fn take(&self, endpoint: &Endpoint, connector: &Connector) -> Result<Taken, String> {
        while let Some(mut sender) = self.pop() {
            // The reply before may still be on its way out of the connection's task.
            if sender.ready().await.is_ok() {
                return Ok(Taken { sender: Sender::Http1(sender), is_new: false });
            }
        }
        if self.speaks.get() == Speaks::Http1 {
            return self.open(endpoint, connector).await;
        }
        let since = Instant::now();
        let mut shared = self.shared.lock().await;
        if let Some(sender) = shared.sender.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(Taken { sender: Sender::Http2(sender.clone()), is_new: false });
        }
        if self.speaks.get() == Speaks::Http1 {
            // Found out by another while this one waited.
            drop(shared);
            return self.open(endpoint, connector).await;
        }
        if let Some((at, error)) = &shared.failure
            && *at >= since
        {
            return Err(error.clone());
        }
        match self.open(endpoint, connector).await {
            Ok(taken) => {
                if let Sender::Http2(sender) = &taken.sender {
                    shared.sender = Some(sender.clone());
                }
                Ok(taken)
            }
            Err(error) => {
                shared.failure = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    async fn open(&self, endpoint: &Endpoint, connector: &Connector) -> Result<Taken, String> {
        // Apart, and seldom: with handshakes in it each request would have room for one, seven kilobytes
        // that are copied with it.
        let opened = Box::pin(connector.open(endpoint)).await?;
        self.opened.set(self.opened.get() + 1);
        let (speaks, sender) = match opened {
            Opened::Http1(sender) => (Speaks::Http1, Sender::Http1(sender)),
            Opened::Http2(sender) => (Speaks::Http2, Sender::Http2(sender)),
        };
        self.speaks.set(speaks);
        Ok(Taken { sender, is_new: true })
    }

    /// The connection used last, if it was not long ago.
    fn pop(&self) -> Option<http1::SendRequest<Body>> {
        let mut idle = self.idle.borrow_mut();
        let (since, sender) = idle.pop_back()?;
        if since.elapsed() < IDLE {
            return Some(sender);
        }
        // All others are older.
        idle.clear();
        None
    }

    /// Drops the connection that all share: it takes no more requests, though it may not be closed.
    pub async fn forget_shared(&self) {
        self.shared.lock().await.sender = None;
    }

    /// Gives a connection back whose reply has been read to its end.
    pub fn give(&self, sender: Sender) {
        let Sender::Http1(sender) = sender else { return };
        if sender.is_closed() {
            return;
        }
        let now = Instant::now();
        let mut idle = self.idle.borrow_mut();
        while idle.front().is_some_and(|(since, _)| now.duration_since(*since) >= IDLE) {
            idle.pop_front();
        }
        if idle.len() < self.max_idle {
            idle.push_back((now, sender));
        }
    }
}
