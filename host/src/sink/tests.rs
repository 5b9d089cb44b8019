//! Sinks on real files, compressed or not, and closed pipes.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use super::*;
use crate::codec::{Compression, Format};
use crate::dataflow::FailureKind;

fn open(config: &Config, state: Option<&SinkState>) -> Result<Box<dyn Sink>, Error> {
    super::open(config, state, &KafkaParts::default())
}

fn rows(text: &str) -> SinkRows {
    SinkRows { bytes: text.as_bytes().to_vec(), rows: 1, records: None }
}

fn config(path: &Path, compression: Compression) -> Config {
    Config {
        name: "scores".into(),
        connector: Connector::File { path: path.to_owned(), compression },
        format: Format::Json,
        fields: None,
    }
}

fn written(name: &str, compression: Compression) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("new/folder").join(name);
    let mut sink = open(&config(&path, compression), None).expect("opened");
    sink.write(&rows("one\n")).expect("written");
    sink.flush().expect("flushed");
    sink.write(&rows("two\n")).expect("written");
    sink.finish().expect("finished");
    std::fs::read(path).expect("the file")
}

#[test]
fn a_file_is_made_with_its_folders() {
    assert_eq!(written("out.jsonl", Compression::Auto), b"one\ntwo\n");
    assert_eq!(written("out.gz", Compression::None), b"one\ntwo\n");
}

#[test]
fn a_file_is_compressed_as_its_name_or_the_setting_says() {
    for (name, compression) in [("out.gz", Compression::Auto), ("out", Compression::Gzip)] {
        let mut text = String::new();
        flate2::read::GzDecoder::new(&written(name, compression)[..]).read_to_string(&mut text).expect("gzip");
        assert_eq!(text, "one\ntwo\n");
    }
    for (name, compression) in [("out.zst", Compression::Auto), ("out", Compression::Zstd)] {
        let text = zstd::stream::decode_all(&written(name, compression)[..]).expect("zstd");
        assert_eq!(text, b"one\ntwo\n");
    }
}

#[test]
fn a_flushed_row_can_be_read_before_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["out", "out.gz", "out.zst"] {
        let path = folder.path().join(name);
        let mut sink = open(&config(&path, Compression::Auto), None).expect("opened");
        sink.write(&rows("one\n")).expect("written");
        sink.flush().expect("flushed");
        let mut stream = reader(&path);
        let mut text = [0; 4];
        stream.read_exact(&mut text).expect("four bytes");
        assert_eq!(&text, b"one\n", "{name}");
    }
}

#[test]
fn an_older_file_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out");
    std::fs::write(&path, "something longer than that").expect("written");
    open(&config(&path, Compression::None), None).expect("opened").finish().expect("finished");
    assert_eq!(std::fs::read(&path).expect("the file"), b"");
}

#[test]
fn a_file_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = open(&config(folder.path(), Compression::None), None).err().expect("it is a folder");
    assert!(error.to_string().starts_with("sink `scores`: cannot create "), "{error}");
    assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
    assert!(error.kind == FailureKind::Stop);
}

#[test]
fn a_device_is_written_like_a_file() {
    let mut sink = open(&config(Path::new("/dev/null"), Compression::None), None).expect("opened");
    sink.write(&rows("one\n")).expect("written");
    sink.finish().expect("finished");
}

#[test]
fn a_full_disk_is_an_error_and_no_closed_pipe() {
    let mut sink = open(&config(Path::new("/dev/full"), Compression::None), None).expect("opened");
    sink.write(&rows("one\n")).expect("buffered");
    let error = sink.flush().expect_err("no space");
    assert!(error.to_string().contains("/dev/full") && error.kind == FailureKind::Rewind, "{error}");
}

#[test]
fn a_pipe_without_reader_is_closed() {
    let (reader, mut writer) = io::pipe().expect("a pipe");
    drop(reader);
    let error = writer.write_all(b"one\n").expect_err("nobody reads");
    assert!(failure("scores", "cannot write", &error).kind == FailureKind::Closed);
}

#[test]
fn a_blackhole_wants_no_bytes() {
    let config = Config { connector: Connector::Blackhole, ..config(Path::new(""), Compression::None) };
    let mut sink = open(&config, None).expect("opened");
    assert_eq!(config.connector.wants(), Wants::Nothing);
    sink.write(&rows("one\n")).and_then(|()| sink.flush()).expect("dropped");
    sink.finish().expect("finished");
}

/// A reader of a file, compressed as its name says.
fn reader(path: &Path) -> Box<dyn Read> {
    let file = File::open(path).expect("the file");
    match path.extension().and_then(|e| e.to_str()) {
        Some("gz") => Box::new(flate2::read::GzDecoder::new(file)),
        Some("zst") => Box::new(zstd::stream::read::Decoder::new(file).expect("begun")),
        _ => Box::new(file),
    }
}

/// Writes two epochs and a rest that no epoch has, and returns what the first one prepared.
fn two_epochs(path: &Path) -> [SinkState; 2] {
    let mut sink = open(&config(path, Compression::Auto), None).expect("opened");
    assert!(sink.is_new());
    let states = ["one\n", "two\n"].map(|text| {
        sink.write(&rows(text)).expect("written");
        let prepared = sink.prepare(1).expect("prepared");
        prepared.sync.expect("something to sync")().expect("synced");
        prepared.state
    });
    assert!(sink.prepare(3).expect("prepared").sync.is_none(), "nothing was written since");
    sink.write(&rows("lost\n")).expect("written");
    sink.flush().expect("flushed");
    states
}

#[test]
fn a_file_goes_on_behind_any_epoch_and_forgets_what_came_after() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["out", "out.gz", "out.zst"] {
        let path = folder.path().join(name);
        for (epoch, kept) in [(1, "one\ntwo\n"), (0, "one\n")] {
            let state = &two_epochs(&path)[epoch];
            let mut sink = open(&config(&path, Compression::Auto), Some(state)).expect("opened");
            assert!(!sink.is_new());
            sink.write(&rows("three\n")).expect("written");
            sink.finish().expect("finished");
            let mut text = String::new();
            multi_reader(&path).read_to_string(&mut text).expect("a whole file");
            assert_eq!(text, format!("{kept}three\n"), "{name}");
        }
    }
}

#[test]
fn a_file_that_lost_committed_bytes_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out");
    let [_, state] = two_epochs(&path);
    std::fs::write(&path, "one").expect("cut");
    let error = open(&config(&path, Compression::Auto), Some(&state)).err().expect("refused").to_string();
    assert!(error.contains("3 bytes") && error.contains("8 bytes"), "{error}");
    std::fs::remove_file(&path).expect("removed");
    let error = open(&config(&path, Compression::Auto), Some(&state)).err().expect("refused").to_string();
    assert!(error.contains(&path.display().to_string()), "{error}");
}

#[test]
fn the_state_of_another_file_is_not_taken_for_this_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let [state, _] = two_epochs(&folder.path().join("out"));
    let sink = open(&config(&folder.path().join("other"), Compression::Auto), Some(&state)).expect("opened");
    assert!(sink.is_new());
}

fn multi_reader(path: &Path) -> Box<dyn Read> {
    let file = File::open(path).expect("the file");
    match path.extension().and_then(|e| e.to_str()) {
        Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(file)),
        Some("zst") => Box::new(zstd::stream::read::Decoder::new(file).expect("begun")),
        _ => Box::new(file),
    }
}
