//! A file, plain or compressed, written anew in each run.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;

use super::{Error, Sink};
use crate::codec::Compression;

/// Bytes collected for one write: a batch is about that long.
const BUFFER: usize = 256 << 10;

/// A file that is being written.
pub(super) struct FileSink {
    name: String,
    path: PathBuf,
    writer: Writer,
}

enum Writer {
    Plain(BufWriter<File>),
    Gzip(GzEncoder<BufWriter<File>>),
    Zstd(zstd::stream::write::Encoder<'static, BufWriter<File>>),
}

/// Creates the file at `path`, and its folders where they are missing.
pub(super) fn open(name: &str, path: &Path, compression: Compression) -> Result<FileSink, Error> {
    create(path, compression)
        .map(|writer| FileSink { name: name.to_owned(), path: path.to_owned(), writer })
        .map_err(|error| super::failure(name, &format!("cannot create {}; check `path`", path.display()), &error))
}

fn create(path: &Path, compression: Compression) -> io::Result<Writer> {
    if let Some(folder) = folder(path) {
        std::fs::create_dir_all(folder)?;
    }
    let file = BufWriter::with_capacity(BUFFER, File::create(path)?);
    Ok(match by_name(path, compression) {
        Compression::Gzip => Writer::Gzip(GzEncoder::new(file, flate2::Compression::default())),
        Compression::Zstd => Writer::Zstd(zstd::stream::write::Encoder::new(file, zstd::DEFAULT_COMPRESSION_LEVEL)?),
        Compression::None | Compression::Auto => Writer::Plain(file),
    })
}

/// The compression that is set, or else the one that the file's name tells.
fn by_name(path: &Path, compression: Compression) -> Compression {
    let extension = path.extension().and_then(|extension| extension.to_str());
    match (compression, extension) {
        (Compression::Auto, Some("gz")) => Compression::Gzip,
        (Compression::Auto, Some("zst")) => Compression::Zstd,
        (Compression::Auto, _) => Compression::None,
        (set, _) => set,
    }
}

/// The folder of a file; `None` where it is the current one.
fn folder(path: &Path) -> Option<&Path> {
    path.parent().filter(|folder| !folder.as_os_str().is_empty())
}

impl FileSink {
    fn failed(&self, error: &io::Error) -> Error {
        super::failure(&self.name, &format!("cannot write {}", self.path.display()), error)
    }
}

impl Sink for FileSink {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match &mut self.writer {
            Writer::Plain(writer) => writer.write_all(bytes),
            Writer::Gzip(writer) => writer.write_all(bytes),
            Writer::Zstd(writer) => writer.write_all(bytes),
        }
        .map_err(|error| self.failed(&error))
    }

    fn flush(&mut self) -> Result<(), Error> {
        match &mut self.writer {
            Writer::Plain(writer) => writer.flush(),
            Writer::Gzip(writer) => writer.flush(),
            Writer::Zstd(writer) => writer.flush(),
        }
        .map_err(|error| self.failed(&error))
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        let Self { name, path, writer } = *self;
        close(writer, &path).map_err(|error| super::failure(&name, &format!("cannot write {}", path.display()), &error))
    }
}

/// Writes what is left and waits for the disk: for the bytes, then for the file's name.
fn close(writer: Writer, path: &Path) -> io::Result<()> {
    let writer = match writer {
        Writer::Plain(writer) => writer,
        Writer::Gzip(writer) => writer.finish()?,
        Writer::Zstd(writer) => writer.finish()?,
    };
    let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
    // A device such as /dev/null cannot be synced, and need not be.
    if file.metadata()?.is_file() {
        file.sync_all()?;
        File::open(folder(path).unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}
