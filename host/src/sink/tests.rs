//! Sinks on real files, compressed or not, and closed pipes.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use super::*;
use crate::codec::{Compression, Format};

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
    let mut sink = open(&config(&path, compression)).expect("opened");
    sink.write(b"one\n").expect("written");
    sink.flush().expect("flushed");
    sink.write(b"two\n").expect("written");
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
        let mut sink = open(&config(&path, Compression::Auto)).expect("opened");
        sink.write(b"one\n").expect("written");
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
    open(&config(&path, Compression::None)).expect("opened").finish().expect("finished");
    assert_eq!(std::fs::read(&path).expect("the file"), b"");
}

#[test]
fn a_file_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = open(&config(folder.path(), Compression::None)).err().expect("it is a folder");
    assert!(error.to_string().starts_with("sink `scores`: cannot create "), "{error}");
    assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
    assert!(!error.closed);
}

#[test]
fn a_device_is_written_like_a_file() {
    let mut sink = open(&config(Path::new("/dev/null"), Compression::None)).expect("opened");
    sink.write(b"one\n").expect("written");
    sink.finish().expect("finished");
}

#[test]
fn a_full_disk_is_an_error_and_no_closed_pipe() {
    let mut sink = open(&config(Path::new("/dev/full"), Compression::None)).expect("opened");
    sink.write(b"one\n").expect("buffered");
    let error = sink.flush().expect_err("no space");
    assert!(error.to_string().contains("/dev/full") && !error.closed, "{error}");
}

#[test]
fn a_pipe_without_reader_is_closed() {
    let (reader, mut writer) = io::pipe().expect("a pipe");
    drop(reader);
    let error = writer.write_all(b"one\n").expect_err("nobody reads");
    assert!(failure("scores", "cannot write", &error).closed);
}

#[test]
fn a_blackhole_wants_no_bytes() {
    let config = Config { connector: Connector::Blackhole, ..config(Path::new(""), Compression::None) };
    let mut sink = open(&config).expect("opened");
    assert!(!sink.wants_bytes());
    sink.write(b"one\n").and_then(|()| sink.flush()).expect("dropped");
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
