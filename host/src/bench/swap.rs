//! A plugin replaced under full load.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::pipelines::{head, transactions};
use super::subject::{Places, Ran, said};

impl Places {
    /// Runs a pipeline over `input`; when a good part of its output is written, puts another
    /// generation of `plugin` into its plugin folder.
    pub(super) fn run_with_swap(&self, name: &str, input: &Path, rest: &str, plugin: &str) -> Result<Ran, String> {
        let folder = self.folder(name)?;
        let plugins = folder.join("plugins");
        for stale in [folder.join("state"), plugins.clone(), folder.join("out.jsonl")] {
            let _ = std::fs::remove_dir_all(&stale);
            let _ = std::fs::remove_file(&stale);
        }
        let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
        std::fs::create_dir_all(&plugins).map_err(failed)?;
        for entry in std::fs::read_dir(&self.plugins).map_err(failed)?.flatten() {
            std::fs::copy(entry.path(), plugins.join(entry.file_name())).map_err(failed)?;
        }
        let file = folder.join("pipeline.toml");
        let pipeline =
            head(name, None, &plugins).replace("watch = false", "watch = true") + &transactions(input) + rest;
        std::fs::write(&file, pipeline).map_err(failed)?;
        let next = plugins.join(format!(".{plugin}.tmp"));
        let mut bytes = std::fs::read(plugins.join(format!("{plugin}.wasm"))).map_err(failed)?;
        bytes.extend_from_slice(&another_generation());
        std::fs::write(&next, &bytes).map_err(failed)?;

        let start = Instant::now();
        let child = Command::new(&self.host)
            .args(["run", "--json", "--no-progress"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let out = folder.join("out.jsonl");
        while start.elapsed() < Duration::from_secs(60) {
            if std::fs::metadata(&out).is_ok_and(|m| m.len() > 4 << 20) {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        std::fs::rename(&next, plugins.join(format!("{plugin}.wasm"))).map_err(failed)?;
        let output = child.wait_with_output().map_err(failed)?;
        let wall_s = start.elapsed().as_secs_f64();
        if !output.status.success() {
            return Err(said(&file, &output));
        }
        let report: serde_json::Value =
            serde_json::from_slice(&output.stdout).map_err(|e| format!("the report is no JSON: {e}"))?;
        let swapped = report["generations"].as_array().is_some_and(|g| g.iter().any(|g| g["generation"] == 2));
        if !swapped {
            return Err(format!("the run ended before the new generation took over: {report}"));
        }
        Ok(Ran { report, wall_s })
    }
}

/// A custom section: other bytes, the same behaviour.
fn another_generation() -> Vec<u8> {
    let name = b"generation";
    let mut section = vec![0, name.len() as u8 + 2, name.len() as u8];
    section.extend_from_slice(name);
    section.push(2);
    section
}
