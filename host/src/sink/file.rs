//! A file, plain or compressed.
//!
//! At each barrier it says how long it is; a run that goes on after a committed epoch cuts it to the
//! length that the epoch names and writes on from there. So that the file can be cut there, a gzip
//! member or Zstandard frame ends with each epoch (that wrote something).

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
#[cfg(target_os = "linux")]
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;

use super::{Error, Prepared, Sink, SinkRows};
use crate::codec::Compression;
use crate::record::{SinkState, hash_key};

/// Bytes collected for one write: a batch is about that long.
const BUFFER: usize = 256 << 10;
/// Bytes that are collected before the disk is told to begin with them, so that the barrier finds most of
/// an epoch written already.
const BEGIN: u64 = 1 << 20;
/// Bytes by which a file is known.
const KNOWN: usize = 4096;

/// A file that is being written.
pub(super) struct FileSink {
    name: String,
    path: PathBuf,
    compression: Compression,
    /// Absent only while it changes from one form to the other.
    writer: Option<Writer>,
    /// Whether it is a file and no device: those cannot be cut, and need not be synced.
    regular: bool,
    /// Its length at the last barrier; `None` before the first, when its name may not be durable yet.
    prepared: Option<u64>,
    begun: bool,
    /// Up to where the disk was told to write.
    started: u64,
    /// Hash of so many first bytes.
    known: Option<(u64, u64)>,
}

enum Writer {
    /// Plain bytes, or between two members or frames.
    Plain(BufWriter<File>),
    Gzip(GzEncoder<BufWriter<File>>),
    Zstd(zstd::stream::write::Encoder<'static, BufWriter<File>>),
}

/// Opens the file at `path`, with its folders where they are missing. It is emptied, or cut to what
/// `state` says of this very file.
pub(super) fn open(
    name: &str,
    path: &Path,
    compression: Compression,
    state: Option<&SinkState>,
) -> Result<FileSink, Error> {
    let (length, identity) = match state {
        Some(SinkState::File { path: known, length, identity }) if *known == absolute(path) => (*length, *identity),
        _ => (0, 0),
    };
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound if length > 0 => lost(name, path, 0, length),
        _ => super::failure(name, &format!("cannot create {}; check `path`", path.display()), &error),
    };
    let file = create(path, length > 0).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let regular = metadata.is_file();
    if regular {
        if metadata.len() < length {
            return Err(lost(name, path, metadata.len(), length));
        }
        if identity != 0 && beginning(&file, length).map_err(failed)? != identity {
            let message = format!(
                "{} does not begin as the file that was written: it is another file under the same name; put it back, or \
                 give the sink another `path` to go on in a new file",
                path.display()
            );
            return Err(Error::new(format!("sink `{name}`"), message));
        }
        if length > 0 && metadata.len() > length {
            let (path, bytes) = (path.display(), metadata.len() - length);
            tracing::info!(sink = name, %path, bytes, "what no committed epoch names is cut off");
        }
        cut(&file, length).map_err(failed)?;
    }
    Ok(FileSink {
        name: name.to_owned(),
        path: path.to_owned(),
        compression: by_name(path, compression),
        writer: Some(Writer::Plain(BufWriter::with_capacity(BUFFER, file))),
        regular,
        prepared: None,
        begun: length > 0,
        started: length,
        known: None,
    })
}

fn lost(name: &str, path: &Path, found: u64, committed: u64) -> Error {
    let message = format!(
        "{} has {found} bytes, but {committed} bytes of it belong to committed epochs: it was cut or replaced; put it \
         back, or give the sink another `path` to go on in a new file",
        path.display()
    );
    Error::new(format!("sink `{name}`"), message)
}

fn create(path: &Path, exists: bool) -> io::Result<File> {
    if let Some(folder) = folder(path) {
        std::fs::create_dir_all(folder)?;
    }
    // Emptied by cutting, so that a device is opened the same way.
    OpenOptions::new().read(true).write(true).create(!exists).truncate(false).open(path)
}

/// Hash of the first bytes of a file of this length.
fn beginning(file: &File, length: u64) -> io::Result<u64> {
    let mut known = vec![0; KNOWN.min(usize::try_from(length).unwrap_or(KNOWN))];
    file.read_exact_at(&mut known, 0)?;
    Ok(hash_key(&known))
}

fn cut(mut file: &File, length: u64) -> io::Result<()> {
    file.set_len(length)?;
    file.seek(SeekFrom::Start(length)).map(drop)
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
        failure(&self.name, &self.path, error)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.encoder()? {
            Writer::Plain(writer) => writer.write_all(bytes),
            Writer::Gzip(writer) => writer.write_all(bytes),
            Writer::Zstd(writer) => writer.write_all(bytes),
        }
    }

    /// The writer that compresses, begun when it was not yet.
    fn encoder(&mut self) -> io::Result<&mut Writer> {
        let begin = |writer: &mut Writer| matches!(writer, Writer::Plain(_)) && self.compression != Compression::None;
        if let Some(Writer::Plain(file)) = self.writer.take_if(begin) {
            self.writer = Some(match self.compression {
                Compression::Gzip => Writer::Gzip(GzEncoder::new(file, flate2::Compression::default())),
                Compression::Zstd => {
                    Writer::Zstd(zstd::stream::write::Encoder::new(file, zstd::DEFAULT_COMPRESSION_LEVEL)?)
                }
                Compression::None | Compression::Auto => Writer::Plain(file),
            });
        }
        self.writer.as_mut().ok_or_else(broken)
    }

    /// Has the disk begin with what it was given, without waiting for it.
    fn start_writing(&mut self) -> io::Result<()> {
        let file = match &self.writer {
            Some(Writer::Plain(writer)) => writer.get_ref(),
            Some(Writer::Gzip(writer)) => writer.get_ref().get_ref(),
            Some(Writer::Zstd(writer)) => writer.get_ref().get_ref(),
            None => return Err(broken()),
        };
        let (from, to) = (self.started, (&*file).stream_position()?);
        if to.saturating_sub(from) >= BEGIN {
            self.started = to;
            // That nobody needs the bytes is a hint with one effect: they are written soon. Nothing is lost
            // where it has none.
            #[cfg(target_os = "linux")]
            let _ = rustix::fs::fadvise(file, from, NonZeroU64::new(to - from), rustix::fs::Advice::DontNeed);
        }
        Ok(())
    }

    /// Ends the member or frame, so that the file is whole as it lies there.
    fn settle(&mut self) -> io::Result<&mut BufWriter<File>> {
        let mut file = match self.writer.take().ok_or_else(broken)? {
            Writer::Plain(file) => file,
            Writer::Gzip(writer) => writer.finish()?,
            Writer::Zstd(writer) => writer.finish()?,
        };
        let flushed = file.flush();
        let Writer::Plain(file) = self.writer.insert(Writer::Plain(file)) else { return Err(broken()) };
        flushed.map(|()| file)
    }

    fn end_epoch(&mut self) -> io::Result<Prepared> {
        let regular = self.regular;
        let file = self.settle()?;
        if !regular {
            return Ok(SinkState::Nothing.into());
        }
        let length = file.stream_position()?;
        let handle = file.get_ref().try_clone()?;
        let before = self.prepared.replace(length);
        let path = absolute(&self.path);
        let known = self.known.filter(|(bytes, _)| *bytes == length.min(KNOWN as u64));
        let identity = match known {
            Some((_, identity)) => identity,
            None if length == 0 => 0,
            None => beginning(&handle, length)?,
        };
        self.known = Some((length.min(KNOWN as u64), identity));
        let mut prepared = Prepared::from(SinkState::File { path, length, identity });
        if before != Some(length) {
            let (name, path) = (self.name.clone(), self.path.clone());
            prepared.sync = Some(Box::new(move || {
                sync(&handle, &path, before.is_none()).map_err(|error| failure(&name, &path, &error))
            }));
        }
        Ok(prepared)
    }
}

/// A file's name in epoch records: the same from whatever folder the host is started.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// What is said when an earlier error left no file to write to.
fn broken() -> io::Error {
    io::Error::other("an earlier write failed")
}

fn failure(name: &str, path: &Path, error: &io::Error) -> Error {
    let failure = super::failure(name, &format!("cannot write {}", path.display()), error);
    // A full disk may get room: the epoch is then written again.
    if error.kind() == io::ErrorKind::StorageFull { failure.rewind() } else { failure }
}

/// Waits for the disk: for the bytes, and for the file's name when that is new.
fn sync(file: &File, path: &Path, new: bool) -> io::Result<()> {
    file.sync_data()?;
    if new {
        File::open(folder(path).unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

impl Sink for FileSink {
    fn is_new(&self) -> bool {
        !self.begun
    }

    fn write(&mut self, rows: &SinkRows) -> Result<(), Error> {
        self.write_all(&rows.bytes).map_err(|error| self.failed(&error))
    }

    fn flush(&mut self) -> Result<(), Error> {
        match &mut self.writer {
            Some(Writer::Plain(writer)) => writer.flush(),
            Some(Writer::Gzip(writer)) => writer.flush(),
            Some(Writer::Zstd(writer)) => writer.flush(),
            None => Err(broken()),
        }
        .and_then(|()| if self.regular { self.start_writing() } else { Ok(()) })
        .map_err(|error| self.failed(&error))
    }

    fn prepare(&mut self, _: u64) -> Result<Prepared, Error> {
        self.end_epoch().map_err(|error| self.failed(&error))
    }

    fn finish(mut self: Box<Self>) -> Result<(), Error> {
        let close = |sink: &mut Self| {
            let regular = sink.regular;
            if regular && sink.settle()?.stream_position()? == 0 {
                // A compressed file without rows is one empty member.
                sink.encoder()?;
                sink.settle()?;
            }
            sink.end_epoch()
        };
        let prepared = close(&mut self).map_err(|error| self.failed(&error))?;
        prepared.sync.map_or(Ok(()), |sync| sync())
    }
}
