//! The log against real files, and against a disk that fails.

mod damage;
mod fixture;

use super::*;
use crate::epoch::simulation::disk::SimDisk;
use crate::epoch::{Decider, Origin};
use crate::record::Position;
use crate::state::OperatorId;

pub(super) const OPTIONS: Options = Options { segment_bytes: 64 << 20, record_bytes: 1 << 20 };
/// A segment for each record.
pub(super) const SMALL: Options = Options { segment_bytes: 1, record_bytes: 1 << 20 };

pub(super) fn record(epoch: u64, parent: u64, run: u64) -> EpochRecord {
    let mut record = EpochRecord::new(epoch, parent, run, Decider::Log);
    record.sources.insert("in".into(), vec![Position::new("input.jsonl", epoch * 10)]);
    record
}

pub(super) fn slots(epoch: u64, value: &[u8]) -> Vec<DirtySlots> {
    let mut first = DirtySlots::with_capacity(OperatorId::from_number(3), epoch, 0);
    first.push(1, b"alice", Some((1, i64::MAX, value)));
    first.push(1, b"bob", None);
    let mut second = DirtySlots::with_capacity(OperatorId::from_number(4), epoch, 0);
    second.push(127, b"", Some((2, 9, b"")));
    vec![first, DirtySlots::with_capacity(OperatorId::from_number(3), epoch, 0), second]
}

/// Appends epochs, each standing on the one before.
pub(super) fn append<D: Disk>(log: &mut Log<D>, run: u64, epochs: &[u64]) {
    for &epoch in epochs {
        let parent = log.history().last().unwrap_or(0);
        let durable = log.append(&record(epoch, parent, run), &slots(epoch, &epoch.to_le_bytes())).unwrap();
        assert_eq!(durable.epoch(), epoch);
    }
}

pub(super) fn epochs<D: Disk>(log: &Log<D>) -> Vec<(u64, u64)> {
    log.history().records.iter().map(|record| (record.epoch, record.run)).collect()
}

fn names(disk: &SimDisk) -> Vec<String> {
    disk.files().into_iter().map(|(name, _)| name).collect()
}

#[test]
fn records_and_slots_survive_in_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/log");
    let mut log = Log::open(Folder::create(&path).unwrap(), 1, OPTIONS).unwrap();
    append(&mut log, 1, &[1, 2]);
    log.note_committed(2);
    append(&mut log, 1, &[5]);
    drop(log);
    let log = Log::open(Folder::create(&path).unwrap(), 2, OPTIONS).unwrap();
    assert_eq!(epochs(&log), [(1, 1), (2, 1), (5, 1)]);
    let history = log.history();
    assert_eq!((history.base, history.noted, history.newest, history.newest_run), (0, 2, 5, 1));
    for epoch in [5, 1, 2] {
        let (read, found) = log.read(epoch).unwrap();
        assert_eq!(read, record(epoch, [0, 0, 1, 0, 0, 2][epoch as usize], 1));
        let written = slots(epoch, &epoch.to_le_bytes());
        assert_eq!((found[0].bytes(), found[1].bytes()), (written[0].bytes(), written[2].bytes()));
        assert_eq!(found.len(), 2, "an empty buffer is left out");
    }
    assert!(matches!(log.read(3), Err(LogError::Unknown { epoch: 3 })));
    assert_eq!(log.bytes().unwrap(), std::fs::metadata(path.join(frame::segment_name(1, 1))).unwrap().len());
    let (checked, errors) = check(&path, OPTIONS.record_bytes);
    assert!((checked, errors.is_empty()) == (3, true), "{errors:?}");
}

#[test]
fn a_folder_that_is_not_there_reads_as_an_empty_log() {
    let folder = tempfile::tempdir().unwrap();
    let reader = Reader::open(Folder::at(folder.path().join("none")), 1000).unwrap();
    assert_eq!(*reader.history(), History::default());
}

#[test]
fn segments_are_rolled_and_cut_but_the_newest_record_stays() {
    let disk = SimDisk::default();
    let mut log = Log::open(disk.clone(), 1, SMALL).unwrap();
    append(&mut log, 1, &[1, 2, 3, 4]);
    assert_eq!(names(&disk), [1, 2, 3, 4].map(|epoch| frame::segment_name(1, epoch)));
    assert_eq!(log.cut(0).unwrap(), 0);
    assert_eq!(log.cut(2).unwrap(), 2);
    assert_eq!((epochs(&log), log.history().base), (vec![(3, 1), (4, 1)], 2));
    assert_eq!(log.cut(99).unwrap(), 1);
    append(&mut log, 1, &[5]);
    let log = Log::open(disk, 2, SMALL).unwrap();
    assert_eq!((epochs(&log), log.history().base), (vec![(4, 1), (5, 1)], 3));
    assert_ne!(log.history().base_checksum, 0);
}

#[test]
fn a_later_run_goes_on_where_it_found_the_log_whatever_the_older_one_still_writes() {
    for options in [OPTIONS, SMALL] {
        let disk = SimDisk::default();
        let mut old = Log::open(disk.clone(), 1, options).unwrap();
        append(&mut old, 1, &[1, 2, 3]);
        let mut new = Log::open(disk.clone(), 2, options).unwrap();
        new.truncate_after(2).unwrap();
        assert_eq!(epochs(&new), [(1, 1), (2, 1)]);
        append(&mut old, 1, &[4]);
        append(&mut new, 2, &[4, 5]);
        let newest = disk.files().into_iter().rfind(|(name, _)| name.starts_with("0000000001")).unwrap();
        disk.damage(&newest.0, |bytes| *bytes.last_mut().unwrap() ^= 1);
        let log = Log::open(disk, 3, options).unwrap();
        assert_eq!(epochs(&log), [(1, 1), (2, 1), (4, 2), (5, 2)]);
    }
}

#[test]
fn a_record_of_the_same_number_by_another_host_does_not_take_the_place_of_a_lost_one() {
    let disk = SimDisk::default();
    let mut old = Log::open(disk.clone(), 1, SMALL).unwrap();
    append(&mut old, 1, &[1]);
    let mut new = Log::open(disk.clone(), 2, SMALL).unwrap();
    append(&mut new, 2, &[2, 3]);
    append(&mut old, 1, &[2]);
    disk.lose(&frame::segment_name(2, 2));
    let log = Log::open(disk, 3, SMALL).unwrap();
    assert_eq!((epochs(&log), log.history().base), (vec![(3, 2)], 2));
}

#[test]
fn a_run_that_is_not_the_newest_is_told() {
    let disk = SimDisk::default();
    let mut log = Log::open(disk.clone(), 2, OPTIONS).unwrap();
    append(&mut log, 2, &[1]);
    for run in [1, 2] {
        let error = Log::open(disk.clone(), run, OPTIONS).unwrap_err();
        assert!(error.fenced() && error.to_string().contains("another host"), "{error}");
    }
    let log = log.reopen().unwrap();
    append(&mut Log::open(disk, 3, OPTIONS).unwrap(), 3, &[2]);
    assert!(log.reopen().unwrap_err().fenced());
}

#[test]
fn records_behind_the_committed_epoch_are_cut_off_and_the_log_goes_on() {
    for options in [OPTIONS, SMALL] {
        for committed in 0..=4 {
            let disk = SimDisk::default();
            let mut log = Log::open(disk.clone(), 1, options).unwrap();
            append(&mut log, 1, &[1, 2, 3, 4]);
            log.note_committed(4);
            log.truncate_after(committed).unwrap();
            append(&mut log, 1, &[9]);
            let expected: Vec<_> = (1..=committed).chain([9]).map(|epoch| (epoch, 1)).collect();
            assert_eq!(epochs(&log), expected);
            assert_eq!(epochs(&Log::open(disk, 2, options).unwrap()), expected);
        }
    }
}

#[test]
fn a_number_is_given_once_and_a_record_stands_on_the_newest() {
    let mut log = Log::open(SimDisk::default(), 1, OPTIONS).unwrap();
    append(&mut log, 1, &[1, 2]);
    log.truncate_after(1).unwrap();
    for (epoch, parent, run) in [(2, 1, 1), (3, 2, 1), (3, 0, 1), (3, 1, 2), (3, 3, 1)] {
        let error = log.append(&record(epoch, parent, run), &[]).unwrap_err();
        assert!(matches!(error, LogError::Order { .. }), "{epoch} on {parent}: {error}");
    }
    append(&mut log, 1, &[3]);
}

#[test]
fn a_savepoint_begins_a_history_of_its_own() {
    let disk = SimDisk::default();
    let mut log = Log::open(disk.clone(), 1, OPTIONS).unwrap();
    append(&mut log, 1, &[1, 2, 3]);
    let mut log = Log::open(disk.clone(), 2, OPTIONS).unwrap();
    let restored = EpochRecord { origin: Origin::Savepoint { name: "s".into() }, ..record(4, 2, 2) };
    log.append(&restored, &[]).unwrap();
    append(&mut log, 2, &[5]);
    for log in [&log, &Log::open(disk, 3, OPTIONS).unwrap()] {
        assert_eq!((epochs(log), log.history().base), (vec![(4, 2), (5, 2)], 2));
    }
}

#[test]
fn a_full_disk_leaves_the_log_as_it_was_and_the_record_can_be_appended_later() {
    for begun in [false, true] {
        let full = |room: usize| {
            let disk = SimDisk::default();
            let mut log = Log::open(disk.clone(), 1, OPTIONS).unwrap();
            if begun {
                append(&mut log, 1, &[1]);
            }
            let before = disk.files();
            disk.faults().room.set(Some(room));
            let parent = log.history().last().unwrap_or(0);
            let failed = log.append(&record(2, parent, 1), &slots(2, b"x")).err();
            if let Some(error) = &failed {
                assert!(error.retriable() && error.to_string().contains("disk is full"), "{error}");
                assert_eq!(disk.files(), before);
                log.note_committed(1);
                disk.faults().room.set(None);
                append(&mut log, 1, &[2]);
            }
            let log = Log::open(disk, 2, OPTIONS).unwrap();
            assert_eq!(log.history().last(), Some(2));
            failed.is_some()
        };
        assert_eq!((0..1000).filter(|&room| !full(room)).count() > 0, full(0), "both were seen");
    }
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_any_more() {
    let disk = SimDisk::default();
    let mut log = Log::open(disk.clone(), 1, OPTIONS).unwrap();
    append(&mut log, 1, &[1]);
    disk.faults().fail_sync.set(true);
    let error = log.append(&record(2, 1, 1), &[]).unwrap_err();
    assert!(matches!(error, LogError::Poisoned { .. }) && !error.retriable() && log.poisoned(), "{error}");
    let before = disk.files();
    log.note_committed(1);
    assert!(matches!(log.append(&record(3, 1, 1), &[]), Err(LogError::Poisoned { .. })));
    assert!(matches!(log.cut(9), Err(LogError::Poisoned { .. })));
    assert!(matches!(log.truncate_after(0), Err(LogError::Poisoned { .. })));
    assert_eq!(disk.files(), before);
    assert!(matches!(log.reopen(), Err(LogError::Poisoned { .. })));
}

#[test]
fn a_record_may_be_as_long_as_the_limit_and_no_longer() {
    let size = {
        let mut log = Log::open(SimDisk::default(), 1, OPTIONS).unwrap();
        log.append(&record(1, 0, 1), &slots(1, b"x")).unwrap().bytes()
    };
    let disk = SimDisk::default();
    let log = |record_bytes| Log::open(disk.clone(), 1, Options { record_bytes, ..OPTIONS }).unwrap();
    let error = log(size - 1).append(&record(1, 0, 1), &slots(1, b"x")).unwrap_err();
    assert!(matches!(error, LogError::TooLarge { bytes, .. } if bytes == size), "{error}");
    log(size).append(&record(1, 0, 1), &slots(1, b"x")).unwrap();
    // Who reads with a lower limit is told, and takes it for no unfinished write.
    let error = Log::open(disk, 2, Options { record_bytes: 100, ..OPTIONS }).unwrap_err();
    assert!(error.to_string().contains("limit of 100"), "{error}");
}

#[test]
fn an_object_is_a_segment_with_one_record() {
    let disk = SimDisk::default();
    let objects = SimDisk::default();
    let mut log = Log::open(disk.clone(), 1, SMALL).unwrap();
    for epoch in 1..4 {
        let record = record(epoch, epoch - 1, 1);
        let (name, bytes) = log.object(&record, &slots(epoch, b"x")).unwrap();
        objects.put(&name, &bytes);
        log.append(&record, &slots(epoch, b"x")).unwrap();
    }
    assert_eq!(objects.files(), disk.files());
    assert_eq!(Log::open(objects, 2, SMALL).unwrap().history(), Log::open(disk, 2, SMALL).unwrap().history());
}
