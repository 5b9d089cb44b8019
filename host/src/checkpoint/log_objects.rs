//! The epoch log as far as it is a matter of names: segments in a folder, and records in a bucket. A bucket cannot append, so each record is an object of its own,
//! `log/<run:010>/<epoch:020>`, which holds a whole segment of the log. It is created before its epoch
//! is committed, and never replaced; who has lost the state folder fetches them as segments.

use std::path::Path;

use super::names::{self, LOG};
use super::{Error, Storage};

/// Puts the segment of one record into the storage.
///
/// # Errors
/// When the storage cannot write it, or holds another one of the same run and epoch.
pub fn put_log_record(storage: &Storage, run: u64, epoch: u64, segment: &[u8]) -> Result<(), Error> {
    let name = names::log_record(run, epoch);
    if storage.create(&name, segment)? {
        return Ok(());
    }
    Err(storage.unfit(&name, "another process has written the same epoch of the same run; one of two hosts must stop"))
}

/// Puts a whole segment into a storage that is a folder.
///
/// # Errors
/// When the storage cannot write it, or holds another one of the same name.
pub fn put_log_segment(storage: &Storage, run: u64, first_epoch: u64, segment: &[u8]) -> Result<(), Error> {
    let name = names::log_segment(run, first_epoch);
    if storage.create(&name, segment)? {
        return Ok(());
    }
    Err(storage.unfit(&name, "another process has written the same epoch of the same run; one of two hosts must stop"))
}

/// The newest epoch that the name of a segment or record tells; 0 when there is none.
///
/// # Errors
/// When the storage cannot be listed.
pub fn newest_log_name(storage: &Storage) -> Result<u64, Error> {
    let epoch = |name: &str| names::parse_log_segment(name).or_else(|| names::parse_log_record(name)).map(|(_, e)| e);
    Ok(storage.list(LOG)?.iter().filter_map(|object| epoch(&object.name)).max().unwrap_or(0))
}

/// Fetches all records as segments `<run>-<epoch>.log` into a folder. Gives their number.
///
/// # Errors
/// When the storage cannot be read or the folder not be written.
pub fn fetch_log(storage: &Storage, folder: &Path) -> Result<usize, Error> {
    let mut fetched = 0;
    for object in storage.list(LOG)? {
        let Some((run, epoch)) = names::parse_log_record(&object.name) else { continue };
        let file = folder.join(format!("{run:010}-{epoch:020}.log"));
        match storage.get_file(&object.name, object.size, &file, false) {
            Ok(()) => fetched += 1,
            // The host has cut its log meanwhile.
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(fetched)
}

/// Deletes the records of `up_to` and of epochs before it, oldest first, except the newest of all.
/// Gives their number.
///
/// # Errors
/// When the storage cannot list or delete them.
pub fn delete_log(storage: &Storage, up_to: u64) -> Result<usize, Error> {
    let objects = storage.list(LOG)?;
    let mut records: Vec<_> = objects.iter().filter_map(|o| names::parse_log_record(&o.name)).collect();
    // By run, and within a run by epoch.
    records.pop();
    records.retain(|(_, epoch)| *epoch <= up_to);
    for (run, epoch) in &records {
        storage.delete(&names::log_record(*run, *epoch))?;
    }
    Ok(records.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Location;

    #[test]
    fn records_are_written_once_fetched_as_segments_and_deleted_up_to_an_epoch() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::open(&Location::Folder(folder.path().to_owned())).unwrap();
        for (run, epoch) in [(1, 8), (1, 9), (2, 9), (2, 12)] {
            put_log_record(&storage, run, epoch, format!("{run} {epoch}").as_bytes()).unwrap();
        }
        put_log_record(&storage, 2, 12, b"2 12").unwrap();
        let error = put_log_record(&storage, 2, 12, b"other").unwrap_err().to_string();
        assert!(error.contains("log/0000000002/00000000000000000012"), "{error}");
        let fetched = tempfile::tempdir().unwrap();
        assert_eq!(fetch_log(&storage, fetched.path()).unwrap(), 4);
        let segment = fetched.path().join("0000000002-00000000000000000009.log");
        assert_eq!(std::fs::read(segment).unwrap(), b"2 9");
        assert_eq!(delete_log(&storage, 8).unwrap(), 1);
        assert_eq!(delete_log(&storage, 100).unwrap(), 2, "the newest stays");
        assert_eq!(storage.list("log").unwrap().len(), 1);
    }
}
