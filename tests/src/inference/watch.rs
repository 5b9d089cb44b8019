//! Processes from outside: processor time and memory, sampled, and the rows that came out meanwhile.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::rows::{Row, Summary};

/// Ticks of `/proc` a second; the kernel's fixed number towards processes.
const TICKS: f64 = 100.0;

/// Seconds of processor time that a process has used; 0 once it is gone.
pub(super) fn cpu(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    after_name.split(' ').skip(11).take(2).filter_map(|n| n.parse::<f64>().ok()).sum::<f64>() / TICKS
}

/// Megabytes that a process holds, and the most it held; 0 once it is gone.
pub(super) fn memory(pid: u32) -> (f64, f64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or_default() / 1_000.0
    };
    (of("VmRSS:"), of("VmHWM:"))
}

/// One look.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    /// Seconds since the watch began.
    pub at: f64,
    /// Megabytes of the host.
    pub memory: f64,
    /// Rows that came out since the look before.
    pub rows: Summary,
}

/// Looks again and again at a host and its output.
pub(super) struct Watch {
    began: Instant,
    pid: u32,
    tail: Tail,
    pub samples: Vec<Sample>,
}

impl Watch {
    pub(super) fn new(pid: u32, output: PathBuf) -> Self {
        Self { began: Instant::now(), pid, tail: Tail::new(output), samples: Vec::new() }
    }

    pub(super) fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Looks every tenth of a second until so many seconds since the beginning have passed, or until
    /// `done` says so.
    pub(super) fn until(&mut self, seconds: f64, mut done: impl FnMut() -> bool) -> Result<(), String> {
        while self.seconds() < seconds && !done() {
            std::thread::sleep(Duration::from_millis(100));
            self.look()?;
        }
        Ok(())
    }

    pub(super) fn look(&mut self) -> Result<(), String> {
        let mut rows = Summary::default();
        self.tail.read(|row| rows.add(row))?;
        self.samples.push(Sample { at: self.seconds(), memory: memory(self.pid).0, rows });
        Ok(())
    }

    /// Samples between two moments.
    pub(super) fn between(&self, from: f64, to: f64) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| sample.at >= from && sample.at < to)
    }

    /// Most memory between two moments.
    pub(super) fn most_memory(&self, from: f64, to: f64) -> f64 {
        self.between(from, to).map(|sample| sample.memory).fold(0.0, f64::max)
    }

    /// Share of the rows between two moments that the model answered.
    pub(super) fn share_by_model(&self, from: f64, to: f64) -> f64 {
        let sums = self.between(from, to).fold((0, 0), |(a, b), s| (a + s.rows.by_model, b + s.rows.rows));
        sums.0 as f64 / sums.1.max(1) as f64
    }
}

/// A file of lines that grows.
struct Tail {
    path: PathBuf,
    offset: u64,
    rest: Vec<u8>,
}

impl Tail {
    fn new(path: PathBuf) -> Self {
        Self { path, offset: 0, rest: Vec::new() }
    }

    /// The lines that are whole since the last time.
    fn read(&mut self, mut each: impl FnMut(&Row)) -> Result<(), String> {
        // It is not there before the first rows.
        let Ok(mut file) = File::open(&self.path) else { return Ok(()) };
        file.seek(SeekFrom::Start(self.offset)).map_err(|e| told(&self.path, &e))?;
        self.offset += file.read_to_end(&mut self.rest).map_err(|e| told(&self.path, &e))? as u64;
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for line in self.rest[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            each(&serde_json::from_slice(line).map_err(|e| told(&self.path, &e))?);
        }
        self.rest.drain(..whole);
        Ok(())
    }
}

fn told(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_time_and_memory() {
        let (now, most) = memory(std::process::id());
        assert!(now > 0.0 && most >= now);
        assert!(cpu(std::process::id()) >= 0.0);
        assert_eq!((cpu(u32::MAX), memory(u32::MAX)), (0.0, (0.0, 0.0)));
    }

    #[test]
    fn a_tail_gives_each_whole_line_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let mut tail = Tail::new(path.clone());
        let mut seen = 0;
        for (text, expected) in [("", 0), ("{\"score\":1}\n{\"sco", 1), ("{\"score\":1}\n{\"score\":2}\n", 2)] {
            std::fs::write(&path, text).unwrap();
            tail.read(|_| seen += 1).unwrap();
            assert_eq!(seen, expected);
        }
    }
}
