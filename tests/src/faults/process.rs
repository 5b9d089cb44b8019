//! A model server as a process of its own, which shares no thread with what calls it and whose
//! processor time can be told apart.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

/// The process; it ends with this value.
pub struct ModelProcess {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    address: SocketAddr,
}

/// The binary: `MILLSTREAM_MODEL_SERVER`, or beside the one that runs.
fn binary() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("MILLSTREAM_MODEL_SERVER") {
        return Ok(path.into());
    }
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    // Tests lie in a folder below.
    let beside = own.ancestors().skip(1).take(2).map(|folder| folder.join("model-server"));
    let mut found = beside.filter(|path| path.is_file());
    found.next().ok_or_else(|| {
        format!("model-server is not beside {}; build it: cargo build --release -p millstream-tests", own.display())
    })
}

impl ModelProcess {
    /// Starts one with these flags (see [`super::USAGE`]).
    ///
    /// # Errors
    /// When it cannot be started, with what it said.
    pub fn start(flags: &str) -> Result<Self, String> {
        let mut command = Command::new(binary()?);
        command.args(flags.split_whitespace()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|e| format!("model-server: {e}"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("model-server has no pipes".into());
        };
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self { child, input, output: BufReader::new(output), address };
        let first = server.line()?;
        let address = first.strip_prefix("listening ").and_then(|text| text.trim().parse().ok());
        server.address = address.ok_or_else(|| format!("model-server {flags}: it said `{first}`"))?;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://host:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Gives a command and returns the answer.
    ///
    /// # Errors
    /// When it is gone, or did not understand.
    pub fn tell(&mut self, command: &str) -> Result<String, String> {
        writeln!(self.input, "{command}")
            .and_then(|()| self.input.flush())
            .map_err(|e| format!("model-server: {e}"))?;
        let answer = self.line()?;
        if answer.starts_with("error:") { Err(format!("{command}: {answer}")) } else { Ok(answer) }
    }

    /// What it counted, as `Counts::json` has it.
    ///
    /// # Errors
    /// When it is gone.
    pub fn counters(&mut self) -> Result<Value, String> {
        serde_json::from_str(&self.tell("counters")?).map_err(|e| e.to_string())
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match self.output.read_line(&mut line) {
            Ok(n) if n > 0 => Ok(line.trim_end().to_owned()),
            Ok(_) => Err("model-server ended".into()),
            Err(e) => Err(format!("model-server: {e}")),
        }
    }
}

impl Drop for ModelProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
