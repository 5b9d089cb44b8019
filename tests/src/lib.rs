//! The harness of the end-to-end tests: a pipeline file in a folder of its own, the real host
//! binary, and what came out.

pub mod crash;
pub mod faults;
pub mod inference;
pub mod kafka;
pub mod proxy;
pub mod s3;
pub mod servers;
mod skip;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub use skip::skip;

/// Longest that a test waits for a host: far beyond what a busy machine needs, so that only one
/// that hangs gets there.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// The root of the repository. Clones share their build output, so what cargo says when it runs a test
/// comes before what it said when it compiled this.
pub fn root() -> PathBuf {
    let package =
        std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    package.parent().unwrap_or(Path::new(".")).to_owned()
}

/// The host binary: `MILLSTREAM_BIN`, else `bin/millstream`, which `make build` leaves there.
pub fn host() -> PathBuf {
    let path = std::env::var_os("MILLSTREAM_BIN").map_or_else(|| root().join("bin/millstream"), PathBuf::from);
    assert!(path.is_file(), "{} is missing; run `make build` first", path.display());
    path
}

/// A plugin that `make plugins` built.
pub fn plugin(name: &str) -> PathBuf {
    built("MILLSTREAM_PLUGINS", "bin/plugins", "make plugins", name)
}

/// A fixture plugin that `make fixtures` built.
pub fn fixture(name: &str) -> PathBuf {
    built("MILLSTREAM_FIXTURES", "bin/fixtures", "make fixtures", name)
}

fn built(variable: &str, folder: &str, target: &str, name: &str) -> PathBuf {
    let folder = std::env::var_os(variable).map_or_else(|| root().join(folder), PathBuf::from);
    let path = folder.join(format!("{name}.wasm"));
    assert!(path.is_file(), "{} is missing; run `{target}` first", path.display());
    path
}

/// The transactions of `MILLSTREAM_TEST_DATA`, or `None` with a line that says so.
pub fn real_transactions(test: &str) -> Option<PathBuf> {
    let path = std::env::var_os("MILLSTREAM_TEST_DATA").map(|d| Path::new(&d).join("transactions.jsonl.gz"));
    let found = path.filter(|p| p.is_file());
    if found.is_none() {
        skip(test, "no transactions.jsonl.gz in MILLSTREAM_TEST_DATA");
    }
    found
}

/// A pipeline in a temporary folder.
pub struct Job {
    /// The folder; paths in the pipeline are relative to it.
    pub folder: TempDir,
}

/// What a finished host left behind.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// The report of `run --json`.
    pub fn report(&self) -> Value {
        let parsed = serde_json::from_str(&self.stdout);
        parsed.unwrap_or_else(|e| panic!("no report: {e}\nstdout: {}\nstderr: {}", self.stdout, self.stderr))
    }

    /// Fails unless the host said that all went well.
    #[must_use]
    pub fn succeeded(self) -> Self {
        assert!(self.status.success(), "{}\nstdout: {}\nstderr: {}", self.status, self.stdout, self.stderr);
        self
    }
}

impl Job {
    /// A folder with `pipeline.toml` and an empty `plugins`.
    pub fn new(pipeline: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("plugins")).expect("a plugin folder");
        let job = Self { folder };
        job.write("pipeline.toml", pipeline);
        job
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of the folder.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).expect("a written file");
    }

    /// Puts a plugin into the folder as a careful producer does: written beside, then renamed.
    pub fn install(&self, plugin: &Path, name: &str) {
        let (beside, place) = (self.path(&format!("plugins/.{name}.tmp")), self.path(&format!("plugins/{name}")));
        std::fs::copy(plugin, &beside).expect("a copied plugin");
        std::fs::rename(beside, place).expect("a renamed plugin");
    }

    /// Appends to a file of the folder.
    pub fn append(&self, name: &str, content: impl AsRef<[u8]>) {
        let mut file = std::fs::OpenOptions::new().append(true).open(self.path(name)).expect("an opened file");
        file.write_all(content.as_ref()).expect("an appended file");
    }

    /// The host with these arguments, in the folder. Nothing to read on its standard input, both
    /// outputs piped.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(host());
        command.current_dir(self.folder.path()).args(arguments).env_remove("MILLSTREAM_LOG");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the host with these arguments to its end.
    pub fn host(&self, arguments: &[&str]) -> Finished {
        finish(self.command(arguments).spawn().expect("a started host"))
    }

    /// Runs the pipeline to its end, for its report.
    pub fn run(&self) -> Finished {
        self.run_with(&[])
    }

    /// The same with further arguments.
    pub fn run_with(&self, arguments: &[&str]) -> Finished {
        self.host(&[&RUN, arguments].concat())
    }

    /// Starts the pipeline. Its log goes to the file `log` of the folder, so that it can be read
    /// meanwhile.
    pub fn start(&self) -> Running<'_> {
        let log = std::fs::File::create(self.path("log")).expect("a log file");
        let child = self.command(&RUN).stderr(log).spawn().expect("a started host");
        Running { job: self, child: Some(child) }
    }

    /// The text of a file; empty while it does not exist.
    pub fn text(&self, name: &str) -> String {
        std::fs::read(self.path(name)).map_or_else(|_| String::new(), |b| String::from_utf8_lossy(&b).into_owned())
    }

    /// The lines of an output file, parsed.
    pub fn rows(&self, name: &str) -> Vec<Value> {
        parse_lines(&std::fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}")))
    }
}

/// Arguments that run the pipeline for its report.
const RUN: [&str; 4] = ["run", "pipeline.toml", "--json", "--no-progress"];

/// A host at work; it ends with the test.
pub struct Running<'a> {
    job: &'a Job,
    child: Option<Child>,
}

impl Running<'_> {
    /// Waits for something that the host is expected to do.
    pub fn wait_until(&mut self, what: &str, done: impl Fn(&Job) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self.job) {
            if let Some(status) = self.child.as_mut().and_then(|c| c.try_wait().ok().flatten()) {
                panic!("it ended ({status}) before {what}\n{}", self.job.text("log"));
            }
            assert!(Instant::now() < deadline, "waited in vain: {what}\n{}", self.job.text("log"));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Waits for it to end by itself.
    pub fn finish(mut self) -> Finished {
        let finished = finish(self.child.take().expect("it was not stopped before"));
        Finished { stderr: self.job.text("log"), ..finished }
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Sends a signal, such as `TERM`, and waits for the end.
    pub fn stop(mut self, signal: &str) -> Finished {
        let child = self.child.take().expect("it was not stopped before");
        let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
        assert!(sent.is_ok_and(|s| s.success()), "the signal was not sent");
        let finished = finish(child);
        Finished { stderr: self.job.text("log"), ..finished }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits for a host and gathers what it wrote to pipes. One that hangs is killed.
pub fn finish(child: Child) -> Finished {
    let id = child.id().to_string();
    let (done, finished) = mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        if finished.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = Command::new("kill").args(["-s", "KILL", &id]).status();
        }
    });
    let output = child.wait_with_output().expect("the host's output");
    drop(done);
    let _ = watchdog.join();
    Finished {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Writes generated transactions to a file of the job's folder.
pub fn generate(job: &Job, name: &str, rows: u64, more: &[&str]) {
    let rows = rows.to_string();
    let arguments = ["generate", "transactions", "--no-progress", "--rows", &rows, "--out", name];
    drop(job.host(&[&arguments, more].concat()).succeeded());
}

/// The parsed lines of a text.
pub fn parse_lines(text: &str) -> Vec<Value> {
    text.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{l}: {e}"))).collect()
}

/// Reads a stream to its end.
pub fn read_all(mut stream: impl Read) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("readable text");
    text
}
