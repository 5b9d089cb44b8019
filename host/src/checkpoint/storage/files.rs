//! Files of a folder that are whole or absent: made under another name, brought to disk, renamed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Names of files that are being written: `object_store` lists none that end with `#` and digits.
pub(super) fn is_unfinished(file_name: &str) -> bool {
    file_name.rsplit_once('#').is_some_and(|(_, end)| !end.is_empty() && end.bytes().all(|b| b.is_ascii_digit()))
}

/// Puts a file at another place as a whole, with a link where the file system allows, and brings it
/// to disk.
pub(super) fn link_or_copy(source: &Path, target: &Path) -> io::Result<()> {
    let folder = target.parent().ok_or_else(|| io::Error::other("it has no folder"))?;
    if !folder.is_dir() {
        fs::create_dir_all(folder)?;
        if let Some(parent) = folder.parent().filter(|p| !p.as_os_str().is_empty()) {
            sync_folder(parent)?;
        }
    }
    let mut unfinished = target.as_os_str().to_owned();
    unfinished.push(format!("#{}", std::process::id()));
    let unfinished = PathBuf::from(unfinished);
    remove_if_there(&unfinished)?;
    if fs::hard_link(source, &unfinished).is_err() {
        // Another file system, or one without links.
        fs::copy(source, &unfinished)?;
    }
    File::open(&unfinished)?.sync_all()?;
    fs::rename(&unfinished, target)?;
    // Two links to one file: a rename leaves both.
    remove_if_there(&unfinished)?;
    sync_folder(folder)
}

fn remove_if_there(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Brings the entries of a folder to disk.
pub(in crate::checkpoint) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
