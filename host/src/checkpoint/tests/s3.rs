//! The same against a real S3 server: versitygw, which `scripts/setup-s3.sh` puts into the per-user
//! cache, on loopback with a folder of its own. Without it the tests say SKIPPED.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use super::*;

/// Far longer than a busy machine needs to start it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Made up for the server that lives as long as a test.
const ACCESS: [&str; 2] = ["tester", "a-secret-of-the-test"];

/// Says so past the test runner's capture, and where `make test` counts it.
fn skip(test: &str, reason: &str) {
    let line = format!("SKIPPED {test}: {reason}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    let counted = std::env::var_os("MILLSTREAM_SKIPPED");
    if let Some(Ok(mut file)) = counted.map(|path| std::fs::OpenOptions::new().append(true).create(true).open(path)) {
        let _ = file.write_all(line.as_bytes());
    }
}

struct Server {
    child: Child,
    port: u16,
    _data: tempfile::TempDir,
}

impl Server {
    /// `None`, with a line that says so, where there is none.
    fn start(test: &str) -> Option<Self> {
        let variable = |name| std::env::var_os(name).map(PathBuf::from);
        let cache =
            variable("MILLSTREAM_CACHE").or_else(|| variable("HOME").map(|home| home.join(".cache/millstream")));
        let program = variable("MILLSTREAM_S3_SERVER").or_else(|| cache.map(|cache| cache.join("s3/versitygw")));
        let Some(program) = program.filter(|program| program.is_file()) else {
            skip(test, "there is no S3 server; `make setup-tests` builds one where Go is");
            return None;
        };
        let data = tempfile::tempdir().unwrap();
        // Buckets are folders; the other one is for what a file system may not be able to keep with a file.
        let [buckets, more] = ["buckets", "more"].map(|name| data.path().join(name));
        std::fs::create_dir_all(buckets.join("bucket")).unwrap();
        std::fs::create_dir(&more).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(program);
        command.args(["--port", &format!("127.0.0.1:{port}"), "--quiet", "posix", "--sidecar"]).args([&more, &buckets]);
        command.env("ROOT_ACCESS_KEY", ACCESS[0]).env("ROOT_SECRET_KEY", ACCESS[1]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut server = Self { child, port, _data: data };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert_eq!(server.child.try_wait().unwrap(), None, "the S3 server has ended");
            assert!(Instant::now() < deadline, "the S3 server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(server)
    }

    fn storage(&self) -> Storage {
        self.storage_with(ACCESS[1])
    }

    fn storage_with(&self, secret: &str) -> Storage {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        let variables = [
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", ACCESS[0]),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("OTHER", "ignored"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Storage::open_with(&Location::parse("s3://bucket/some/prefix").unwrap(), variables).unwrap()
    }

    fn world(&self) -> World {
        World { storage: Arc::new(self.storage()), ..World::new() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_bucket_creates_an_object_once_and_numbers_runs() {
    let Some(server) = Server::start("a_bucket_creates_an_object_once_and_numbers_runs") else { return };
    let storage = server.storage();
    assert!(storage.create("runs/x", b"mine").unwrap());
    assert!(!storage.create("runs/x", b"other").unwrap());
    assert!(storage.create("runs/x", b"mine").unwrap(), "the answer to an earlier try was lost");
    assert_eq!(storage.get("runs/x", 4).unwrap(), b"mine");
    assert_eq!(
        storage.list("runs").unwrap().iter().map(|o| (o.name.as_str(), o.size)).collect::<Vec<_>>(),
        [("runs/x", 4)]
    );
    storage.delete("runs/x").unwrap();
    storage.delete("runs/x").unwrap();
    assert_eq!(storage.object("runs/x").unwrap(), None);
    assert!(storage.get("runs/x", 4).unwrap_err().is_missing());
    let claimed: Vec<u64> = std::thread::scope(|scope| {
        let claim = || (0..3).map(|_| claim_run(&server.storage(), "fraud").unwrap().run).collect();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn::<_, Vec<u64>>(claim)).collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(claimed.iter().collect::<BTreeSet<_>>().len(), 12, "{claimed:?}");
}

#[test]
fn a_large_file_goes_into_a_bucket_and_out_in_parts() {
    let Some(server) = Server::start("a_large_file_goes_into_a_bucket_and_out_in_parts") else { return };
    let world = server.world();
    let bytes: Vec<u8> = (0..19u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(world.path("file"), &bytes).unwrap();
    world.storage.put_file("sst/large", &world.path("file")).unwrap();
    assert_eq!(world.storage.digest("sst/large").unwrap(), (Digest::of(&bytes), bytes.len() as u64));
    world.storage.get_file("sst/large", bytes.len() as u64, &world.path("back"), true).unwrap();
    assert!(std::fs::read(world.path("back")).unwrap() == bytes);
    let error = world.storage.put_file("sst/none", &world.path("none")).unwrap_err().to_string();
    assert!(error.contains("none"), "{error}");
}

#[test]
fn a_snapshot_and_a_savepoint_come_back_from_a_bucket() {
    let Some(server) = Server::start("a_snapshot_and_a_savepoint_come_back_from_a_bucket") else { return };
    let world = server.world();
    let store = world.store("db", &["a"]);
    let mut snapshotter = world.snapshotter(2);
    for epoch in 1..=3 {
        write(&store, "a", epoch, 0..500, &format!("epoch {epoch}"));
        snapshotter.take(&store, record).unwrap();
    }
    assert_eq!(snapshots(&world.storage).unwrap().len(), 2);
    let manifest = world.newest().unwrap().unwrap();
    restore_snapshot(&world.storage, &manifest, &world.path("back")).unwrap();
    let state = SavedState::open(&world.path("back")).unwrap();
    let expected = content(&state);
    assert_eq!((state.epoch(), expected.len()), (3, 500));

    let header = serde_json::json!({ "epoch": 3 });
    let made = Savepoint::create(&world.storage, "s", "fraud", header, &state, &world.path("work")).unwrap();
    assert_eq!(savepoints(&world.storage).unwrap(), ["s"]);
    let read = Savepoint::read(&world.storage, "s").unwrap();
    assert_eq!(read, made);
    read.restore(&world.storage, &config(world.path("again")), &["a"], 9, false).unwrap();
    assert_eq!(content(&SavedState::open(&world.path("again")).unwrap()), expected);

    let verified = verify(&world.storage).unwrap();
    assert_eq!((verified.bad, verified.snapshots, verified.savepoints), (vec![], 2, 1));
    let damaged = manifest.files[0].object();
    world.storage.put(&damaged, b"something else").unwrap();
    assert_eq!(verify(&world.storage).unwrap().bad[0].object, damaged);
}

#[test]
fn credentials_that_a_bucket_refuses_are_an_error_without_them() {
    let Some(server) = Server::start("credentials_that_a_bucket_refuses_are_an_error_without_them") else { return };
    let error = server.storage_with("wrong-secret").create("runs/x", b"x").unwrap_err().to_string();
    assert!(error.contains("runs/x") && error.contains("credentials"), "{error}");
    assert!(!error.contains("wrong-secret"), "{error}");
}
