//! Bodies of replies: whole ones, and those that never become whole.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::time::Sleep;

use super::socket::Line;

/// Between what is sent of a broken body and the break: so that the client has seen the first part.
const PAUSE: Duration = Duration::from_millis(20);
/// A piece of a huge body.
const PIECE: usize = 64 << 10;
static SPACES: [u8; PIECE] = [b' '; PIECE];

/// What a reply carries.
pub(super) enum Reply {
    /// All of it.
    Whole(Option<Bytes>),
    /// The first part of so many bytes; then the connection is broken, or nothing.
    Part { first: Option<Bytes>, length: u64, end: Option<(Pin<Box<Sleep>>, Arc<Line>, bool)> },
    /// So many spaces, with their number in the head or not.
    Huge { left: u64, told: bool },
}

impl Reply {
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()))
    }

    /// Half of it, then the connection ends.
    pub(super) fn broken(bytes: &Bytes, line: &Arc<Line>, reset: bool) -> Self {
        let end = Some((Box::pin(tokio::time::sleep(PAUSE)), Arc::clone(line), reset));
        Self::Part { first: Some(bytes.slice(..bytes.len() / 2)), length: bytes.len() as u64, end }
    }

    /// Half of it, then nothing for ever.
    pub(super) fn stalled(bytes: &Bytes) -> Self {
        Self::Part { first: Some(bytes.slice(..bytes.len() / 2)), length: bytes.len() as u64, end: None }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Part { first, end, .. } => {
                if let Some(first) = first.take() {
                    return Poll::Ready(Some(Ok(Frame::data(first))));
                }
                if let Some((pause, line, reset)) = end {
                    ready!(pause.as_mut().poll(cx));
                    line.break_off(*reset);
                    *end = None;
                }
                Poll::Pending
            }
            Self::Huge { left: 0, .. } => Poll::Ready(None),
            Self::Huge { left, .. } => {
                let piece = usize::try_from(*left).unwrap_or(PIECE).min(PIECE);
                *left -= piece as u64;
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&SPACES[..piece])))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Part { length, .. } => SizeHint::with_exact(*length),
            Self::Huge { left, told: true } => SizeHint::with_exact(*left),
            Self::Huge { .. } => SizeHint::default(),
        }
    }
}
