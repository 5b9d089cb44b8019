//! Files of the plugin folder: which count, whether they have settled, and reading one whole.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::operator::error::LoadError;

/// Time between two looks at a file that changed: longer than a linker pauses between two writes.
const SETTLE: Duration = Duration::from_millis(100);

/// A file that may be a plugin.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) path: PathBuf,
    pub(super) fingerprint: Fingerprint,
}

/// What changes when a file changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds.
    pub(super) modified: (i64, i64),
}

/// Why a file is not read.
#[derive(Debug)]
pub(super) enum Skip {
    /// It changed under our eyes; the next scan looks again.
    Unsettled,
    /// It never will be, as it is.
    Refused(String),
}

impl Fingerprint {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// The plugin files of a folder. Dot files and unfinished ones (`.tmp`, `.part`, `~`) end in
/// something else than `.wasm` or begin with a dot, so they do not count.
pub(super) fn list(folder: &Path) -> io::Result<Vec<Candidate>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if name.starts_with('.') || !(name.ends_with(".wasm") || name.ends_with(".cwasm")) {
            continue;
        }
        // A file that goes away between the two calls is not there.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_file() {
            found.push(Candidate { fingerprint: Fingerprint::of(&metadata), path });
        }
    }
    Ok(found)
}

/// Those that look the same a moment later.
pub(super) fn settle(candidates: Vec<Candidate>) -> Vec<Candidate> {
    if candidates.is_empty() {
        return candidates;
    }
    // A file that nobody has touched for long is not being written.
    let recent = |c: &Candidate| match fs::metadata(&c.path).and_then(|m| m.modified()) {
        Ok(modified) => modified.elapsed().is_ok_and(|age| age < SETTLE * 20),
        Err(_) => true,
    };
    if candidates.iter().any(recent) {
        thread::sleep(SETTLE);
    }
    candidates
        .into_iter()
        .filter(|c| fs::metadata(&c.path).is_ok_and(|m| Fingerprint::of(&m) == c.fingerprint))
        .collect()
}

/// Reads a file whole, into memory, so that it cannot change while it is looked at.
pub(super) fn read(folder: &Path, candidate: &Candidate, limit: u64) -> Result<Vec<u8>, Skip> {
    if candidate.path.extension().is_some_and(|e| e == "cwasm") {
        return Err(Skip::Refused(LoadError::Precompiled.to_string()));
    }
    let real = candidate.path.canonicalize().map_err(|_| Skip::Unsettled)?;
    if !real.starts_with(folder) {
        return Err(Skip::Refused(format!(
            "a symbolic link to {}, which is outside of the plugin folder; copy the file instead",
            real.display()
        )));
    }
    if candidate.fingerprint.size > limit {
        return Err(Skip::Refused(LoadError::TooLarge { bytes: candidate.fingerprint.size, limit }.to_string()));
    }
    let refused = |e: io::Error| Skip::Refused(format!("it cannot be read: {e}"));
    let file = File::open(&real).map_err(refused)?;
    let mut bytes = Vec::new();
    // One byte beyond, so that a file that grew is seen to differ.
    (&file).take(candidate.fingerprint.size.saturating_add(1)).read_to_end(&mut bytes).map_err(refused)?;
    let after = file.metadata().map_err(refused)?;
    if Fingerprint::of(&after) != candidate.fingerprint || bytes.len() as u64 != candidate.fingerprint.size {
        return Err(Skip::Unsettled);
    }
    Ok(bytes)
}
