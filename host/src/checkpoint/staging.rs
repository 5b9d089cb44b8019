//! A folder for work in progress, which goes when the work is done, or when the next one begins.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Error;

/// An empty folder, deleted with everything in it when it is dropped.
#[derive(Debug)]
pub struct Staging(PathBuf);

impl Staging {
    /// Creates it anew: what an interrupted process left there goes first.
    ///
    /// # Errors
    /// When it cannot be emptied or created.
    pub fn create(path: &Path) -> Result<Self, Error> {
        Self::clean(path)?;
        fs::create_dir_all(path).map_err(Error::local("create the folder", path))?;
        Ok(Self(path.to_owned()))
    }

    pub(super) fn clean(path: &Path) -> Result<(), Error> {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::local("empty the folder", path)(error)),
            _ => Ok(()),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(folder = %self.0.display(), %error, "a folder for work in progress was not deleted");
        }
    }
}
