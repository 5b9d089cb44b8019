//! Servers for the tests: one of hyper that remembers what it was sent, and one that writes bytes.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Requests as they came.
pub(super) type Seen = Arc<Mutex<Vec<http::Request<Bytes>>>>;

/// What a server answers.
pub(super) trait Answer:
    Fn(&http::Request<Bytes>) -> http::Response<Full<Bytes>> + Clone + Send + 'static
{
}

impl<F: Fn(&http::Request<Bytes>) -> http::Response<Full<Bytes>> + Clone + Send + 'static> Answer for F {}

/// An answer of `status` and `body`.
pub(super) fn answer(status: u16, body: impl Into<Bytes>) -> http::Response<Full<Bytes>> {
    http::Response::builder().status(status).body(Full::new(body.into())).unwrap()
}

pub(super) async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// A server of HTTP/1.1, or of h2c.
pub(super) async fn serve(is_h2: bool, answer: impl Answer) -> (String, Seen) {
    let (listener, url) = listen().await;
    let seen = Seen::default();
    let remembers = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(speak(stream, is_h2, answer.clone(), remembers.clone()));
        }
    });
    (url, seen)
}

/// Serves one connection.
pub(super) async fn speak<S>(stream: S, is_h2: bool, answer: impl Answer, seen: Seen)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (seen, answer) = (seen.clone(), answer.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let request = http::Request::from_parts(head, body);
            let response = answer(&request);
            seen.lock().unwrap().push(request);
            Ok::<_, Infallible>(response)
        }
    });
    let stream = TokioIo::new(stream);
    let _ = match is_h2 {
        true => hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await,
        false => hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await,
    };
}

/// Reads the head and the body of one request.
pub(super) async fn read_request(stream: &mut TcpStream) -> bool {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n{}") {
        let mut some = [0; 1024];
        match stream.read(&mut some).await {
            Ok(0) | Err(_) => return false,
            Ok(count) => bytes.extend_from_slice(&some[..count]),
        }
    }
    true
}

/// A server that answers each request with the next of `replies`, and then closes the connection.
/// When there are none left it holds connections without a word.
pub(super) async fn script(replies: &[&'static [u8]]) -> String {
    let (listener, url) = listen().await;
    let replies = Rc::new(RefCell::new(replies.iter().rev().copied().collect::<Vec<_>>()));
    tokio::task::spawn_local(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            if !read_request(&mut stream).await {
                continue;
            }
            let reply = replies.borrow_mut().pop();
            match reply {
                Some(reply) => {
                    let _ = stream.try_write(reply);
                    let _ = stream.flush().await;
                }
                None => held.push(stream),
            }
        }
    });
    url
}
