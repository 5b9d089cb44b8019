//! What is cut short or changed is told: an unfinished write from damage, and damage by its place.

use proptest::prelude::*;

use super::*;

const NAME: &str = "0000000001-00000000000000000001.log";

/// A segment of three records, with a note behind each when asked for, and where each frame ends.
fn segment(notes: bool) -> (Vec<u8>, Vec<usize>) {
    let disk = SimDisk::default();
    let mut log = Log::open(disk.clone(), 1, OPTIONS).unwrap();
    let mut ends = Vec::new();
    for epoch in 1..4 {
        append(&mut log, 1, &[epoch]);
        ends.push(log.bytes().unwrap() as usize);
        if notes {
            log.note_committed(epoch);
            ends.push(log.bytes().unwrap() as usize);
        }
    }
    (disk.bytes(NAME), ends)
}

fn open(bytes: &[u8]) -> Result<Log<SimDisk>, LogError> {
    let disk = SimDisk::default();
    disk.put(NAME, bytes);
    Log::open(disk, 2, OPTIONS)
}

#[test]
fn whatever_a_last_write_left_is_ignored_and_said() {
    let (bytes, ends) = segment(false);
    for len in 0..bytes.len() {
        let log = open(&bytes[..len]).unwrap();
        let whole = ends.iter().filter(|&&end| end <= len).count();
        assert_eq!(log.history().records.len(), whole, "{len} bytes");
        let good = ends[..whole].last().copied().unwrap_or(if len >= 32 { 32 } else { 0 });
        let unfinished = log.reader.unfinished().first().map(|u| (u.offset as usize, u.bytes as usize));
        let expected = (good < len || len == 0).then_some((good, len - good));
        assert_eq!(unfinished, expected, "{len} bytes");
    }
}

#[test]
fn a_flipped_bit_is_found_wherever_something_follows() {
    let (bytes, ends) = segment(true);
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        match open(&damaged) {
            Err(error @ (LogError::Corrupt { .. } | LogError::Format { .. })) => {
                assert!(error.to_string().contains(NAME), "byte {at}: {error}");
            }
            Err(error) => panic!("byte {at}: {error}"),
            // Nothing follows the last note, and it is only a hint.
            Ok(log) => {
                assert!(at >= ends[ends.len() - 2], "byte {at} is not noticed");
                assert_eq!((log.history().records.len(), log.history().noted), (3, 2));
            }
        }
    }
}

#[test]
fn damage_in_an_older_segment_of_a_run_is_never_an_unfinished_write() {
    let disk = SimDisk::default();
    append(&mut Log::open(disk.clone(), 1, SMALL).unwrap(), 1, &[1, 2]);
    disk.damage(NAME, |bytes| bytes.truncate(bytes.len() - 1));
    let error = Log::open(disk, 2, SMALL).unwrap_err();
    assert!(matches!(error, LogError::Corrupt { .. }) && error.to_string().contains(NAME), "{error}");
}

#[test]
fn a_missing_or_renamed_segment_is_told() {
    let disk = SimDisk::default();
    append(&mut Log::open(disk.clone(), 1, SMALL).unwrap(), 1, &[1, 2, 3]);
    disk.lose(&frame::segment_name(1, 2));
    let error = Log::open(disk.clone(), 2, SMALL).unwrap_err();
    assert!(matches!(error, LogError::Gap { parent: 2, found: 1, .. }), "{error}");

    let (bytes, _) = segment(false);
    let disk = SimDisk::default();
    disk.put(&frame::segment_name(1, 2), &bytes);
    let error = Log::open(disk, 2, OPTIONS).unwrap_err();
    assert!(error.to_string().contains("begins with epoch 1 of run 1"), "{error}");
}

#[test]
fn another_format_is_refused_and_other_files_are_left_alone() {
    let (mut bytes, _) = segment(false);
    bytes[8] = 2;
    assert!(matches!(open(&bytes), Err(LogError::Format { format: 2, known: 1, .. })));
    let disk = SimDisk::default();
    for name in ["README", "1-1.log", "0000000001-00000000000000000001.log.tmp"] {
        disk.put(name, b"x");
    }
    assert_eq!(Log::open(disk, 1, OPTIONS).unwrap().history().records, []);
}

#[test]
fn a_frame_inside_of_a_slot_is_not_taken_for_one() {
    let (bytes, ends) = segment(false);
    let inner = &bytes[ends[0]..ends[1]];
    let disk = SimDisk::default();
    let mut log = Log::open(disk.clone(), 1, OPTIONS).unwrap();
    append(&mut log, 1, &[1]);
    let size = log.append(&record(2, 1, 1), &slots(2, inner)).unwrap().bytes() as usize;
    // The write was cut behind the inner frame.
    disk.damage(NAME, |bytes| bytes.truncate(bytes.len() - 20));
    let log = Log::open(disk, 2, OPTIONS).unwrap();
    assert_eq!(epochs(&log), [(1, 1)]);
    assert_eq!(log.reader.unfinished()[0].bytes as usize, size - 20);
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_fail_otherwise(
        tail in prop::collection::vec(prop_oneof![Just(0u8), 0..3u8, any::<u8>()], 0..200),
        patch in prop::collection::vec((0..600usize, any::<u8>()), 0..4),
    ) {
        let (mut bytes, _) = segment(true);
        patch.iter().for_each(|&(at, byte)| if let Some(b) = bytes.get_mut(at) { *b = byte });
        bytes.extend_from_slice(&tail);
        if let Ok(log) = open(&bytes) {
            for (epoch, _) in epochs(&log) {
                log.read(epoch).unwrap();
            }
        }
    }
}
