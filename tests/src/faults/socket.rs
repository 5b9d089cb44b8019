//! A connection that can be broken from outside, and made to write a byte at a time.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Sleep;

/// What can be done to a connection.
#[derive(Default)]
pub(super) struct Line {
    /// Whether it ends with RST instead of FIN.
    reset: AtomicBool,
    /// Microseconds between two bytes; 0 writes as is wished.
    drip: AtomicU64,
    broken: Notify,
    goodbye: Notify,
}

impl Line {
    /// Ends the connection now.
    pub(super) fn break_off(&self, reset: bool) {
        self.reset.fetch_or(reset, Ordering::SeqCst);
        self.broken.notify_one();
    }

    /// Ends it once all that is in flight is answered, and tells the client.
    pub(super) fn say_goodbye(&self) {
        self.goodbye.notify_one();
    }

    /// From now on a byte at a time.
    pub(super) fn drip(&self, gap: Duration) {
        self.drip.store(u64::try_from(gap.as_micros()).unwrap_or(u64::MAX).max(1), Ordering::SeqCst);
    }

    pub(super) async fn broken(&self) {
        self.broken.notified().await;
    }

    pub(super) async fn goodbye(&self) {
        self.goodbye.notified().await;
    }
}

/// A TCP stream under a [`Line`].
pub(super) struct Socket {
    stream: TcpStream,
    line: Arc<Line>,
    nap: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, line: Arc<Line>) -> Self {
        Self { stream, line, nap: None }
    }

    fn one_byte(&mut self, cx: &mut Context<'_>, bytes: &[u8], gap: u64) -> Poll<io::Result<usize>> {
        if let Some(nap) = &mut self.nap {
            ready!(nap.as_mut().poll(cx));
        }
        let wrote = ready!(Pin::new(&mut self.stream).poll_write(cx, &bytes[..bytes.len().min(1)]));
        self.nap = Some(Box::pin(tokio::time::sleep(Duration::from_micros(gap))));
        Poll::Ready(wrote)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.line.reset.load(Ordering::SeqCst) {
            // An error is a client that was faster.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.line.drip.load(Ordering::Relaxed) {
            0 => Pin::new(&mut self.stream).poll_write(cx, bytes),
            gap => self.one_byte(cx, bytes, gap),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.line.drip.load(Ordering::Relaxed) {
            0 => Pin::new(&mut self.stream).poll_write_vectored(cx, parts),
            gap => {
                let bytes = parts.iter().find(|part| !part.is_empty()).map_or(&[][..], |part| part);
                self.one_byte(cx, bytes, gap)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
