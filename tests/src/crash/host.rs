//! The host of a crash loop: one life of it, and how it ended.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::{Job, PATIENCE};

/// How a host came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Died {
    /// By our signal.
    Killed,
    /// Before it.
    Before(ExitStatus),
}

/// A running host; it ends with this value.
pub struct Host {
    child: Child,
}

impl Host {
    /// Starts the job's pipeline with these fail points. Its log goes on in the file `log`.
    pub fn start(job: &Job, fail_points: &str) -> Self {
        Self::start_with(job, fail_points, &[])
    }

    /// The same with further arguments.
    pub fn start_with(job: &Job, fail_points: &str, arguments: &[&str]) -> Self {
        let mut log = File::options().append(true).create(true).open(job.path("log")).expect("the log");
        let at = log.seek(SeekFrom::End(0)).expect("the log's end");
        job.write("log.start", at.to_string());
        let mut command = job.command(&["run", "pipeline.toml", "--json", "--no-progress"]);
        command.args(arguments).stdout(Stdio::null()).stderr(log);
        if !fail_points.is_empty() {
            command.env("FAILPOINTS", fail_points);
        }
        Self { child: command.spawn().expect("a started host") }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `done`; false when the host ended before.
    ///
    /// # Errors
    /// When neither came.
    pub fn wait(&mut self, patience: Duration, mut done: impl FnMut() -> bool) -> Result<bool, String> {
        let deadline = Instant::now() + patience;
        while !done() {
            if self.ended().is_some() {
                return Ok(false);
            }
            if Instant::now() > deadline {
                return Err(format!("it did nothing new for {} s", patience.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(true)
    }

    /// Its exit status, once it ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the state of a child")
    }

    /// `kill -9`.
    pub fn kill9(&mut self) -> Died {
        if let Some(status) = self.ended() {
            return Died::Before(status);
        }
        self.child.kill().expect("a killed host");
        // It may have ended by itself between the look and the signal: the status tells.
        let status = self.child.wait().expect("a dead host");
        match std::os::unix::process::ExitStatusExt::signal(&status) {
            Some(9) => Died::Killed,
            _ => Died::Before(status),
        }
    }

    /// Sends a signal, such as `STOP`.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|s| s.success()), "the host was not sent SIG{signal}");
    }

    /// SIGTERM, and its exit status; one that hangs is killed.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.exit()
    }

    /// Waits for its end; one that hangs is killed.
    pub fn exit(&mut self) -> ExitStatus {
        let _ = self.wait(PATIENCE, || false);
        let _ = self.child.kill();
        self.child.wait().expect("a dead host")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the host that was started last has logged.
fn log(job: &Job) -> String {
    let at = job.text("log.start").parse().unwrap_or(0);
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(job.path("log")) {
        let _ = file.seek(SeekFrom::Start(at)).and_then(|_| file.read_to_end(&mut bytes));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The last lines of the last host's log.
pub fn last_lines(job: &Job) -> String {
    let text = log(job);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
