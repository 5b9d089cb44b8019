//! From a snapshot back to a database. Every file is checked against its digest; when one does not
//! fit, nothing is restored, and no older snapshot is taken instead: whoever wants that says so.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::manifest::{Manifest, snapshots};
use super::staging::Staging;
use super::storage::sync_folder;
use super::{Digest, Error, Storage};

/// The newest snapshot of a pipeline among those that `usable` accepts; `None` when there is none.
/// What is usable the epoch log says: a run that was followed by another one may have taken
/// snapshots of epochs that do not count.
///
/// # Errors
/// When the snapshots cannot be listed, or one that might be the one is damaged or of another pipeline.
pub fn newest_snapshot(
    storage: &Storage,
    pipeline: &str,
    usable: impl Fn(&Manifest) -> bool,
) -> Result<Option<Manifest>, Error> {
    for id in snapshots(storage)?.into_iter().rev() {
        let manifest = Manifest::read(storage, id)?;
        manifest.check_pipeline(storage, pipeline)?;
        if usable(&manifest) {
            return Ok(Some(manifest));
        }
    }
    Ok(None)
}

/// Makes `database` the database of a snapshot. It must not exist or be empty; it is there as a
/// whole or not at all.
///
/// # Errors
/// When the folder is not empty, or a file is missing, damaged or cannot be written.
pub fn restore_snapshot(storage: &Storage, manifest: &Manifest, database: &Path) -> Result<(), Error> {
    require_empty(database)?;
    let staging = Staging::create(&beside(database, "restoring"))?;
    for file in &manifest.files {
        let target = staging.path().join(&file.name);
        // RocksDB never changes a table file; what it does with the others is its own business.
        storage.get_file(&file.object(), file.size, &target, file.name.ends_with(".sst"))?;
        let (found, _) = Digest::of_file(&target)?;
        if found != file.sha256 {
            return Err(storage.damaged(&file.object(), format!("its content has the SHA-256 {found}")));
        }
    }
    publish_folder(staging.path(), database)
}

/// Refuses a folder with something in it: what is there would be lost.
pub(super) fn require_empty(folder: &Path) -> Result<(), Error> {
    let is_empty = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        Err(error) => return Err(Error::local("list", folder)(error)),
    };
    if is_empty {
        return Ok(());
    }
    let folder = folder.display();
    Err(Error::Refused(format!("the state folder {folder} is not empty; `--replace` deletes what is there first")))
}

/// A folder whose name is that of another with more behind it.
pub(super) fn beside(folder: &Path, more: &str) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(format!(".{more}"));
    name.into()
}

/// Puts a finished folder in its place, in one step, and brings that to disk.
pub(super) fn publish_folder(finished: &Path, place: &Path) -> Result<(), Error> {
    sync_folder(finished).map_err(Error::local("sync the folder", finished))?;
    // A rename replaces an empty folder.
    fs::rename(finished, place).map_err(Error::local("create", place))?;
    match place.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => sync_folder(parent).map_err(Error::local("sync the folder", parent)),
        None => Ok(()),
    }
}
