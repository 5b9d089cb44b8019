//! Format version 1 as it was first written. Later versions must read it.
//!
//! `MAKE_FIXTURE=1 cargo test fixture` writes it; a change of it is a new format.

use std::path::PathBuf;

use super::*;
use crate::epoch::{GenerationState, ModelState};
use crate::record::SinkState;

fn folder() -> PathBuf {
    crate::testdata("src/epoch/testdata/log-1")
}

fn kafka() -> Decider {
    Decider::Kafka { transactional_id: "fraud".into(), topic: "fraud-epochs".into() }
}

/// Everything that a record can have.
fn full() -> EpochRecord {
    let mut record = EpochRecord::new(3, 1, 7, kafka());
    let position = Position { byte: 77, identity: u64::MAX, newest_event_time: -5, ..Position::new("in/3", 42) };
    record.sources.insert("in".into(), vec![position, Position::new("in/4", 0)]);
    record.sinks.insert("file".into(), SinkState::File { path: "out.jsonl".into(), length: 1 << 40, identity: 9 });
    record.sinks.insert("kafka".into(), SinkState::Kafka { topic: "out".into() });
    record.sinks.insert("none".into(), SinkState::Nothing);
    let text = str::to_owned;
    let generation =
        GenerationState { number: 2, name: text("counter"), version: text("1.0.0"), sha256: "ab".repeat(32) };
    record.generations.insert("count".into(), generation);
    let model = ModelState { model: text("fraud"), version: text("3"), sha256: "cd".repeat(32) };
    record.models.insert("score".into(), model);
    record.operators.insert("count".into(), 3);
    record.operators.insert("sum".into(), 4);
    record
}

fn write(path: PathBuf) {
    let mut log = Log::open(Folder::create(path.clone()).unwrap(), 7, SMALL).unwrap();
    log.append(&EpochRecord::new(1, 0, 7, Decider::Log), &[]).unwrap();
    log.note_committed(1);
    log.append(&full(), &slots(3, b"three")).unwrap();
    log.note_committed(3);
    let mut log = Log::open(Folder::create(path).unwrap(), 8, SMALL).unwrap();
    let restored =
        EpochRecord { origin: Origin::Savepoint { name: "before".into() }, ..EpochRecord::new(4, 3, 8, Decider::Log) };
    log.append(&restored, &[]).unwrap();
    log.append(&EpochRecord::new(5, 4, 8, kafka()), &slots(5, b"five")).unwrap();
}

#[test]
fn format_1_is_read_as_it_was_written() {
    if std::env::var_os("MAKE_FIXTURE").is_some() {
        std::fs::remove_dir_all(folder()).ok();
        write(folder());
    }
    let reader = Reader::open(Folder::at(folder()), OPTIONS.record_bytes).unwrap();
    let history = reader.history();
    let found: Vec<_> = history.records.iter().map(|r| (r.epoch, r.parent, r.run, r.checksum)).collect();
    assert_eq!(found, [(4, 3, 8, 0xfe70_1f8a), (5, 4, 8, 0xa9a5_67d9)]);
    assert_eq!((history.base, history.base_checksum, history.noted), (3, 0x0c83_58e9, 0));
    assert_eq!((history.newest, history.newest_run), (5, 8));
    let (record, found) = reader.read(5).unwrap();
    assert_eq!(record, EpochRecord::new(5, 4, 8, kafka()));
    assert_eq!(
        found.iter().map(DirtySlots::bytes).collect::<Vec<_>>(),
        [
            &b"\x0a\0\0\0\x10\0\0\0\0\x01\0\x03\x01alice\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\x7ffive\
           \x08\0\0\0\xff\xff\xff\xff\0\x01\0\x03\x01bob"[..],
            &b"\x05\0\0\0\x0c\0\0\0\0\x7f\0\x04\x01\x02\0\0\0\x09\0\0\0\0\0\0\0"[..],
        ]
    );

    // Without the savepoint's run, what was before it.
    let before = SimDisk::default();
    for name in [frame::segment_name(7, 1), frame::segment_name(7, 3)] {
        before.put(&name, &std::fs::read(folder().join(&name)).unwrap());
    }
    let reader = Reader::open(before, OPTIONS.record_bytes).unwrap();
    assert_eq!((reader.history().last(), reader.history().noted), (Some(3), 3));
    let (record, found) = reader.read(3).unwrap();
    assert_eq!(record, full());
    let written = slots(3, b"three");
    assert_eq!([found[0].bytes(), found[1].bytes()], [written[0].bytes(), written[2].bytes()]);
}

#[test]
fn this_version_still_writes_format_1_byte_for_byte() {
    let fresh = tempfile::tempdir().unwrap();
    write(fresh.path().to_owned());
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name();
        let read = |folder: PathBuf| std::fs::read(folder.join(&name)).unwrap();
        assert!(read(folder()) == read(fresh.path().to_owned()), "{name:?}");
    }
}

/// Compressed slots. What the library writes may change with its version, so this one is only read.
#[test]
fn compressed_slots_of_format_1_are_read() {
    let folder = folder().with_file_name("log-1-compressed");
    let content = slots(1, &[7; 5_000]);
    if std::env::var_os("MAKE_FIXTURE").is_some() {
        std::fs::remove_dir_all(&folder).ok();
        let mut log = Log::open(Folder::create(folder.clone()).unwrap(), 1, SMALL).unwrap();
        log.append(&EpochRecord::new(1, 0, 1, Decider::Log), &content).unwrap();
    }
    let reader = Reader::open(Folder::at(folder), OPTIONS.record_bytes).unwrap();
    assert!(reader.bytes().unwrap() < 1_000, "it is not compressed");
    let (_, found) = reader.read(1).unwrap();
    assert_eq!([found[0].bytes(), found[1].bytes()], [content[0].bytes(), content[2].bytes()]);
}
