//! A file, read once or followed like `tail -f`.
//!
//! It is followed as long as it is the same file and only grows. When it is cut short or another
//! file takes its name the run ends with an error that says so: rows may have been lost, and that
//! is not for the host to guess. For the same reason a run that goes on in the middle first checks
//! that the file begins as it did.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::input::{Interrupted, drain, pump};
use super::resume::{Opened, Place};
use super::stdin::Detached;
use super::{Chunk, Error, Next, Output, Source};
use crate::codec::{Compression, Framer};
use crate::record::Position;

/// How long to sleep at the end of a followed file: latency against wake-ups.
const POLL: Duration = Duration::from_millis(50);

/// A file that is open.
pub(super) struct FileSource {
    name: String,
    path: PathBuf,
    file: File,
    compression: Compression,
    /// Whether it is a file and no pipe; only then its bytes can be looked at beforehand.
    regular: bool,
    compressed: bool,
    follow: bool,
    length: u64,
    framer: Framer,
}

/// Opens the file at `path`. A pipe is fine too, and then read like standard input.
pub(super) fn open(
    name: &str,
    path: &Path,
    compression: Compression,
    follow: bool,
    framer: Framer,
) -> Result<FileSource, String> {
    let shown = path.display();
    let file = File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => format!("there is no file {shown}; check `path` (relative to the pipeline file)"),
        ErrorKind::PermissionDenied => format!("{shown} may not be read by this user; change its permissions"),
        _ => format!("cannot open {shown}: {error}"),
    })?;
    let metadata = file.metadata().map_err(|error| format!("cannot look at {shown}: {error}"))?;
    if metadata.is_dir() {
        return Err(format!("{shown} is a directory; `path` must name one file"));
    }
    let regular = metadata.is_file();
    if follow && !regular {
        return Err(format!("{shown} is no regular file and cannot be followed; leave out `follow`"));
    }
    let compressed =
        regular && is_compressed(&file, compression).map_err(|error| format!("cannot read {shown}: {error}"))?;
    if follow && compressed {
        return Err(format!("{shown} is compressed and cannot be followed; follow a plain file"));
    }
    let (name, path, length) = (name.to_owned(), path.to_owned(), metadata.len());
    Ok(FileSource { name, path, file, compression, regular, compressed, follow, length, framer })
}

/// A file's name in positions: the same from whatever folder the host is started.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// Whether the file is compressed, by setting or by its first bytes.
fn is_compressed(mut file: &File, compression: Compression) -> io::Result<bool> {
    if compression != Compression::Auto {
        return Ok(compression != Compression::None);
    }
    let mut begin = Vec::new();
    file.take(4).read_to_end(&mut begin)?;
    file.rewind()?;
    Ok(super::input::detect(&begin) != Compression::None)
}

impl Source for FileSource {
    fn total_bytes(&self) -> Option<u64> {
        (self.regular && !self.compressed && !self.follow).then_some(self.length)
    }

    fn replayable(&self) -> bool {
        self.regular
    }

    fn run(self: Box<Self>, start: &[Position], output: &mut dyn Output) -> Result<(), Error> {
        let name = self.name.clone();
        let shown = absolute(&self.path);
        // Another path is another input, which begins at its beginning.
        let start = start.iter().find(|p| p.partition == shown).cloned().unwrap_or_else(|| Position::new(&shown, 1));
        self.read(start, output).map_err(|message| super::failure(&name, message))
    }
}

impl FileSource {
    fn read(mut self, start: Position, output: &mut dyn Output) -> Result<(), String> {
        let shown = self.path.display().to_string();
        let failed = |error: io::Error| format!("cannot read {shown}: {error}");
        if !self.regular {
            let detached = Detached { stream: self.file, compression: self.compression, framer: self.framer };
            return detached.run(&shown, output).map_err(failed);
        }
        // Shares its position with the file that is read.
        let place = self.file.try_clone().map_err(failed)?;
        let at = Place { path: &self.path, compression: self.compression, compressed: self.compressed };
        let Opened { mut stream, beginning } = at.open(self.file, &start, &mut self.framer)?;
        let partition = output.open(start);
        let mut since = Instant::now();
        loop {
            let mut send = |block, next: Next, since| {
                let next = Next { identity: beginning.identity(next.byte), ..next };
                output.send(partition, Chunk::Raw(block), next, since)
            };
            match pump(&mut *stream, &mut self.framer, false, &mut since, &mut send) {
                Ok(()) => {}
                Err(Interrupted::Stopped) => return Ok(()),
                Err(Interrupted::Read(error)) if self.compressed => {
                    return Err(damaged(&shown, &place, self.framer.line(), &error));
                }
                Err(Interrupted::Read(error)) => return Err(failed(error)),
            }
            if !self.follow {
                self.framer.end();
            }
            if drain(&mut self.framer, since, &mut send).is_err() || !self.follow || output.stopped() {
                return Ok(());
            }
            still_the_same(&self.path, &place)?;
            std::thread::sleep(POLL);
        }
    }
}

/// What is said of compressed data that cannot be read; `place` shares its position with the reader.
fn damaged(shown: &str, mut place: &File, line: u64, error: &io::Error) -> String {
    let near = place.stream_position().map_or(String::new(), |at| format!(" before byte {at} of the file"));
    format!(
        "{shown} is damaged or cut off{near}, after {} whole lines of its text: {error}; \
         the lines before were processed, get a whole copy of the file",
        line - 1
    )
}

/// Checks that a followed file has only grown.
fn still_the_same(path: &Path, mut file: &File) -> Result<(), String> {
    let shown = path.display();
    let restart = "stop writing to it that way, or run the pipeline again";
    let position = file.stream_position().map_err(|error| format!("cannot read {shown}: {error}"))?;
    let length = file.metadata().map_err(|error| format!("cannot read {shown}: {error}"))?.len();
    if length < position {
        return Err(format!(
            "{shown} was cut to {length} bytes while followed, of which {position} were read; {restart}"
        ));
    }
    let is_same =
        |now: &std::fs::Metadata| file.metadata().is_ok_and(|open| (open.dev(), open.ino()) == (now.dev(), now.ino()));
    match std::fs::metadata(path) {
        Ok(now) if is_same(&now) => Ok(()),
        Ok(_) => Err(format!("{shown} was replaced by another file while followed (rotated?); {restart}")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(format!("{shown} was removed while followed (rotated?); {restart}"))
        }
        Err(error) => Err(format!("cannot look at {shown}: {error}")),
    }
}
