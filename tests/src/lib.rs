//! The harness of the end-to-end tests: a pipeline file in a folder of its own, the real host
//! binary, and what came out.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
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
        // Past the test runner's capture, so that it is seen in a green run too.
        let line = format!("SKIPPED {test}: no transactions.jsonl.gz in MILLSTREAM_TEST_DATA\n");
        let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
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

    /// The command `millstream run pipeline.toml --json`, to which arguments can be added.
    pub fn command(&self) -> Command {
        let mut command = Command::new(host());
        command.current_dir(self.folder.path()).args(["run", "pipeline.toml", "--json", "--no-progress"]);
        command
    }

    /// Runs the pipeline to its end.
    pub fn run(&self) -> Finished {
        finish(self.start())
    }

    /// Starts the pipeline.
    pub fn start(&self) -> Child {
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("a started host")
    }

    /// The lines of an output file, parsed.
    pub fn rows(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        text.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{l}: {e}"))).collect()
    }
}

/// Waits for a host that was started with both outputs piped.
pub fn finish(child: Child) -> Finished {
    let output = child.wait_with_output().expect("the host's output");
    Finished {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Reads a stream to its end, for tests that talk to a running host.
pub fn read_all(mut stream: impl Read) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("readable text");
    text
}
