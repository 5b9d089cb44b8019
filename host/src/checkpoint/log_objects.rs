//! The segments of the epoch log as objects. A folder has them as the host appends to them. A bucket
//! cannot append: there each record is a segment of its own, created before its epoch is committed
//! and never replaced; who has lost the state folder fetches them.

use std::path::Path;

use super::names::{self, LOG};
use super::{Error, Storage};

/// Puts a segment, by its file name, into the storage.
///
/// # Errors
/// When the storage cannot write it, or holds another one of the same name.
pub fn put_log_segment(storage: &Storage, name: &str, segment: &[u8]) -> Result<(), Error> {
    let name = format!("{LOG}/{name}");
    if storage.create(&name, segment)? {
        return Ok(());
    }
    Err(storage.unfit(&name, "another process has written the same epoch of the same run; one of two hosts must stop"))
}

/// Fetches all segments into a folder. Gives their number.
///
/// # Errors
/// When the storage cannot be read or the folder not be written.
pub fn fetch_log(storage: &Storage, folder: &Path) -> Result<usize, Error> {
    let mut fetched = 0;
    for object in storage.list(LOG)? {
        let Some(name) = names::log_segment(&object.name) else { continue };
        match storage.get_file(&object.name, object.size, &folder.join(name), false) {
            Ok(()) => fetched += 1,
            // The host has cut its log meanwhile.
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(fetched)
}

/// Deletes segments of one record each, as a bucket has them, of `up_to` and of epochs before it,
/// oldest first, except the newest of all. Gives their number.
///
/// # Errors
/// When the storage cannot list or delete them.
pub fn delete_log_segments(storage: &Storage, up_to: u64) -> Result<usize, Error> {
    let objects = storage.list(LOG)?;
    let mut segments: Vec<_> =
        objects.iter().filter_map(|o| names::parse_log_segment(&o.name).zip(Some(&o.name))).collect();
    // By run, and within a run by epoch.
    segments.pop();
    segments.retain(|((_, epoch), _)| *epoch <= up_to);
    for (_, name) in &segments {
        storage.delete(name)?;
    }
    Ok(segments.len())
}

/// The newest epoch that the name of a segment tells; 0 when there is none.
///
/// # Errors
/// When the storage cannot be listed.
pub fn newest_log_name(storage: &Storage) -> Result<u64, Error> {
    let epochs =
        storage.list(LOG)?.into_iter().filter_map(|o| names::parse_log_segment(&o.name)).map(|(_, epoch)| epoch);
    Ok(epochs.max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Location;

    #[test]
    fn segments_are_written_once_fetched_and_deleted_up_to_an_epoch() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::open(&Location::Folder(folder.path().to_owned())).unwrap();
        let name = |run: u64, epoch: u64| format!("{run:010}-{epoch:020}.log");
        for (run, epoch) in [(1, 8), (1, 13), (2, 9), (2, 12)] {
            put_log_segment(&storage, &name(run, epoch), format!("{run} {epoch}").as_bytes()).unwrap();
        }
        put_log_segment(&storage, &name(2, 12), b"2 12").unwrap();
        let error = put_log_segment(&storage, &name(2, 12), b"other").unwrap_err().to_string();
        assert!(error.contains("log/0000000002-00000000000000000012.log"), "{error}");
        storage.put("log/else", b"").unwrap();
        let fetched = tempfile::tempdir().unwrap();
        assert_eq!((fetch_log(&storage, fetched.path()).unwrap(), newest_log_name(&storage).unwrap()), (4, 13));
        assert_eq!(std::fs::read(fetched.path().join(name(2, 9))).unwrap(), b"2 9");
        assert_eq!(delete_log_segments(&storage, 8).unwrap(), 1);
        assert_eq!(delete_log_segments(&storage, 100).unwrap(), 2, "the newest stays");
        assert_eq!(storage.list("log").unwrap().len(), 2);
    }
}
