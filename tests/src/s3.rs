//! An S3 server of a test: versitygw, which `make setup-tests` leaves in the per-user cache, on
//! loopback with folders of its own.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{PATIENCE, skip};

/// Made up for servers that live as long as a test.
const ACCESS: [&str; 2] = ["tester", "a-secret-of-the-test"];

/// A server with one bucket, called `bucket`. It ends with the test.
pub struct S3 {
    child: Child,
    port: u16,
    data: TempDir,
}

impl S3 {
    /// Starts one; `None`, with a line that says so, where there is none.
    pub fn start(test: &str) -> Option<Self> {
        let variable = |name| std::env::var_os(name).map(PathBuf::from);
        let cache = variable("MILLSTREAM_CACHE").or_else(|| Some(variable("HOME")?.join(".cache/millstream")));
        let program = variable("MILLSTREAM_S3_SERVER").or_else(|| Some(cache?.join("s3/versitygw")));
        let Some(program) = program.filter(|program| program.is_file()) else {
            skip(test, "there is no S3 server; `make setup-tests` builds one where Go is");
            return None;
        };
        let data = tempfile::tempdir().expect("a temporary folder");
        // Buckets are folders; the other one is for what a file system may not be able to keep with a file.
        let [buckets, more] = ["buckets", "more"].map(|name| data.path().join(name));
        std::fs::create_dir_all(buckets.join("bucket")).expect("a folder for the bucket");
        std::fs::create_dir(&more).expect("a folder");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let mut command = Command::new(program);
        command.args(["--port", &format!("127.0.0.1:{port}"), "--quiet", "posix", "--sidecar"]).args([&more, &buckets]);
        command.env("ROOT_ACCESS_KEY", ACCESS[0]).env("ROOT_SECRET_KEY", ACCESS[1]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut server = Self { child: child.expect("a started S3 server"), port, data };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = server.child.try_wait().expect("a status");
            assert!(ended.is_none() && Instant::now() < deadline, "the S3 server does not answer: {ended:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(server)
    }

    /// The folder that holds the bucket's objects.
    pub fn bucket(&self) -> PathBuf {
        self.data.path().join("buckets/bucket")
    }

    /// What a client needs to know.
    pub fn variables(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port)),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS[0].to_owned()),
            ("AWS_SECRET_ACCESS_KEY", ACCESS[1].to_owned()),
        ]
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
