//! The cache of compiled code: one file for every (component, engine settings).
//!
//! File: `MSTC`, format `1` (u32 LE), SHA-256 of the code (32 bytes), the code. The name is the
//! SHA-256 of the component and the engine's compatibility hash. Files are written beside and
//! renamed, so a reader sees a whole file or none; one that does not check is compiled again and
//! replaced. The cache is a convenience: when it cannot be used, plugins are compiled every time,
//! and the log says why.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::trusted::{Verified, deserialize};

const MAGIC: &[u8; 8] = b"MSTC\x01\0\0\0";
const HEADER: usize = MAGIC.len() + 32;

/// Files kept: a day of edit-and-reload, some 30 MB. The oldest go first; what is missed is
/// compiled again.
const MAX_FILES: usize = 64;

/// A private folder of compiled code.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Opens the folder, making it when it is not there.
    ///
    /// # Errors
    /// When it cannot be made, or cannot be made private to this user.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        // Who owns a file that we make is who we are.
        let probe = folder.join(format!(".probe.{}", std::process::id()));
        let me = File::create(&probe)?.metadata()?.uid();
        fs::remove_file(&probe)?;
        if fs::metadata(folder)?.uid() != me {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to another user"));
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// The compiled component, when it is here and whole.
    pub(super) fn get(&self, engine: &Engine, name: &str) -> Option<Component> {
        let path = self.folder.join(name);
        let bytes = fs::read(&path).ok()?;
        let found = parse(&bytes).map(|code| deserialize(engine, &code));
        match found {
            Some(Ok(component)) => Some(component),
            Some(Err(error)) => {
                tracing::warn!(file = %path.display(), %error, "compiled code is not usable; compiling again");
                None
            }
            None => {
                tracing::warn!(file = %path.display(), "compiled code is damaged; compiling again");
                None
            }
        }
    }

    /// Keeps compiled code.
    ///
    /// # Errors
    /// When it cannot be written; the cache is then as it was.
    pub(super) fn put(&self, name: &str, code: &[u8]) -> io::Result<()> {
        let unfinished = self.folder.join(format!(".{name}.{}.tmp", std::process::id()));
        let written = (|| {
            let mut file = File::create(&unfinished)?;
            file.write_all(MAGIC)?;
            file.write_all(&Sha256::digest(code))?;
            file.write_all(code)?;
            file.sync_data()?;
            fs::rename(&unfinished, self.folder.join(name))
        })();
        if written.is_err() {
            // Best effort: the error that matters is the one returned.
            let _ = fs::remove_file(&unfinished);
        }
        written.and_then(|()| self.prune())
    }

    /// Deletes the oldest files beyond [`MAX_FILES`], those that a crash left unfinished included.
    fn prune(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            files.push((entry.metadata()?.modified()?, entry.path()));
        }
        files.sort();
        let surplus = files.len().saturating_sub(MAX_FILES);
        files.into_iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path))
    }
}

/// The code of a cache file, when the file is whole.
fn parse(bytes: &[u8]) -> Option<Verified<'_>> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (checksum, code) = rest.split_at_checked(HEADER - MAGIC.len())?;
    Verified::check(code, checksum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_code_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let old = std::time::SystemTime::UNIX_EPOCH;
        for i in 0..MAX_FILES {
            let file = File::create(folder.path().join(format!("old-{i}"))).unwrap();
            file.set_modified(old + std::time::Duration::from_secs(i as u64)).unwrap();
        }
        cache.put("new", b"code").unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), MAX_FILES);
        assert!(folder.path().join("new").exists() && folder.path().join("old-1").exists());
        assert!(!folder.path().join("old-0").exists());
    }

    #[test]
    fn only_whole_files_are_parsed() {
        let folder = tempfile::tempdir().unwrap();
        Cache::open(folder.path()).unwrap().put("x", b"code").unwrap();
        let bytes = fs::read(folder.path().join("x")).unwrap();
        assert!(parse(&bytes).is_some());
        for end in 0..bytes.len() {
            assert!(parse(&bytes[..end]).is_none(), "cut at {end}");
        }
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            assert!(parse(&flipped).is_none(), "flipped at {at}");
        }
    }
}
