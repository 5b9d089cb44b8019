//! Model servers that are not ours, as `make setup-tests` leaves them in the per-user cache: MLServer and
//! KServe with the demo's model, on loopback. What they understand by a protocol counts, not what we do.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{PATIENCE, root, skip};

/// A server with the model `fraud`, version 1; it ends with this value.
pub struct RealServer {
    child: Child,
    address: SocketAddr,
    /// Its log, and where it may write.
    folder: TempDir,
}

/// The environment's folder; `None`, with a line that says so, where there is none.
fn environment(test: &str) -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = variable("MILLSTREAM_CACHE").or_else(|| Some(variable("HOME")?.join(".cache/millstream")));
    let folder = variable("MILLSTREAM_MODEL_SERVERS").or_else(|| Some(cache?.join("model-servers")));
    let found = folder.filter(|folder| folder.join("bin/mlserver").is_file());
    if found.is_none() {
        skip(test, "there is no model server; `make setup-tests` installs them where Python 3.11 is");
    }
    found
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

impl RealServer {
    /// MLServer: Open Inference Protocol v2, JSON only.
    pub fn mlserver(test: &str) -> Option<Self> {
        let [http, grpc] = [free_port(), free_port()].map(|port| port.to_string());
        let mut command = Command::new(environment(test)?.join("bin/mlserver"));
        command.arg("start").arg(root().join("examples/external-model/server"));
        command.env("MLSERVER_HOST", "127.0.0.1").env("MLSERVER_HTTP_PORT", &http).env("MLSERVER_GRPC_PORT", grpc);
        Some(Self::start(command, &http))
    }

    /// KServe: TensorFlow's `:predict`, and Open Inference Protocol v2 with JSON and with tensors as bytes.
    pub fn kserve(test: &str) -> Option<Self> {
        let [http, grpc] = [free_port(), free_port()].map(|port| port.to_string());
        let mut command = Command::new(environment(test)?.join("bin/python"));
        command.arg(root().join("tests/fixtures/servers/kserve_onnx.py"));
        command.arg("--model").arg(root().join("examples/fraud-scoring/model.onnx"));
        command.args(["--port", &http, "--grpc-port", &grpc]);
        Some(Self::start(command, &http))
    }

    fn start(mut command: Command, port: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = std::fs::File::create(folder.path().join("log")).expect("a log file");
        let errors = log.try_clone().expect("the same log file");
        // Both write beside their working folder, and Python would beside our sources.
        command.current_dir(folder.path()).env("PYTHONDONTWRITEBYTECODE", "1");
        let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn().expect("a started model server");
        let address = format!("127.0.0.1:{port}").parse().expect("an address");
        let mut server = Self { child, address, folder };
        let deadline = Instant::now() + PATIENCE;
        while !server.is_ready() {
            let ended = server.child.try_wait().expect("a status");
            let alive = ended.is_none() && Instant::now() < deadline;
            assert!(alive, "the model server does not become ready ({ended:?}): {}", server.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    /// Whether the model may be asked.
    fn is_ready(&self) -> bool {
        let asked = TcpStream::connect(self.address).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(b"GET /v2/models/fraud/ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
            let mut reply = [0; 12];
            stream.read_exact(&mut reply)?;
            Ok(reply)
        });
        asked.is_ok_and(|reply| reply.ends_with(b" 200"))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://host:port`, as a pipeline names it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
