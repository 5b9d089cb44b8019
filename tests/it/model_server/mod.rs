//! The model server of the tests does what its script says, seen by clients that share nothing with it:
//! a socket, and hyper's client of HTTP/2.

mod broken;
mod http2;
mod life;
mod overload;
mod protocols;
mod refusals;
mod words;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use millstream_tests::PATIENCE;
use millstream_tests::faults::ModelServer;
use serde_json::Value;

/// A connection on which HTTP/1.1 is written and read by hand.
struct Wire(TcpStream);

/// A whole reply.
#[derive(Debug)]
struct Seen {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Seen {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().filter_map(|line| line.split_once(": ")).find(|(n, _)| *n == name).map(|(_, v)| v)
    }
}

impl Wire {
    fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    fn send(&mut self, path: &str, headers: &str, body: &[u8]) {
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
        self.0.write_all(&[head.as_bytes(), body].concat()).unwrap();
    }

    /// Reads to the empty line behind a head.
    fn head(&mut self) -> io::Result<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        Ok(String::from_utf8(head).unwrap())
    }

    fn receive(&mut self) -> io::Result<Seen> {
        let head = self.head()?;
        let status = head[9..12].parse().unwrap();
        let mut seen = Seen { status, head, body: Vec::new() };
        let length: usize = seen.header("content-length").unwrap().parse().unwrap();
        seen.body.resize(length, 0);
        self.0.read_exact(&mut seen.body)?;
        Ok(seen)
    }

    /// What comes within a moment: nothing is told from little by waiting, so the moment is short.
    fn comes_soon(&mut self) -> Vec<u8> {
        self.0.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut bytes = Vec::new();
        let error = self.0.read_to_end(&mut bytes).expect_err("an end");
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
        bytes
    }
}

const INFER: &str = "/v2/models/m/infer";

/// A request of one row.
fn one_row(features: &[f32]) -> Vec<u8> {
    let shape = [1, features.len()];
    let input = serde_json::json!({"name": "features", "shape": shape, "datatype": "FP32", "data": features});
    serde_json::json!({"inputs": [input]}).to_string().into_bytes()
}

/// One request on a connection of its own.
fn ask(server: &ModelServer) -> io::Result<Seen> {
    let mut wire = Wire::to(server.address());
    wire.send(INFER, "", &one_row(&[1.0, 2.0]));
    wire.receive()
}

/// The prediction in a reply of the Open Inference Protocol.
fn prediction(seen: &Seen) -> f64 {
    seen.json()["outputs"][0]["data"][0].as_f64().unwrap()
}
