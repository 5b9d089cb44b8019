//! A pipeline run as a user would run it: the host's own binary on a pipeline file, in a process of
//! its own, so that processor time and memory are those of the run alone.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use serde_json::Value;

/// Where things are.
pub(super) struct Places {
    /// The host's binary.
    pub host: PathBuf,
    /// Built plugins.
    pub plugins: PathBuf,
    /// A folder for input, output and state.
    pub scratch: PathBuf,
}

/// What a run reported.
#[derive(Clone, Debug)]
pub(super) struct Ran {
    pub report: Value,
    /// Wall-clock seconds of the whole process, start and end included.
    pub wall_s: f64,
}

impl Ran {
    /// A figure of the report, by its path.
    pub fn get(&self, path: &str) -> Result<f64, String> {
        let found = path.split('.').try_fold(&self.report, |value, key| value.get(key));
        found.and_then(Value::as_f64).ok_or_else(|| format!("the report has no figure `{path}`: {}", self.report))
    }
}

impl Places {
    /// Runs a pipeline to its end. Its state folder is emptied before.
    pub fn run(&self, name: &str, pipeline: &str) -> Result<Ran, String> {
        let folder = self.folder(name)?;
        let _ = std::fs::remove_dir_all(folder.join("state"));
        self.run_again(&folder, pipeline)
    }

    /// Runs a pipeline whose folder is kept as it is.
    fn run_again(&self, folder: &Path, pipeline: &str) -> Result<Ran, String> {
        let file = folder.join("pipeline.toml");
        std::fs::write(&file, pipeline).map_err(|e| format!("{}: {e}", file.display()))?;
        let start = Instant::now();
        let output = Command::new(&self.host)
            .args(["run", "--json", "--no-progress"])
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .map_err(|e| format!("{}: {e}", self.host.display()))?;
        let wall_s = start.elapsed().as_secs_f64();
        if !output.status.success() {
            return Err(said(&file, &output));
        }
        let report = serde_json::from_slice(&output.stdout).map_err(|e| format!("the report is no JSON: {e}"))?;
        Ok(Ran { report, wall_s })
    }

    /// A folder of its own for a benchmark.
    pub fn folder(&self, name: &str) -> Result<PathBuf, String> {
        let folder = self.scratch.join(name);
        std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        Ok(folder)
    }
}

/// Why a run failed: with `--json`, the error is the object on standard output.
pub(super) fn said(file: &Path, output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{}: {}", file.display(), if out.trim().is_empty() { err } else { out })
}
