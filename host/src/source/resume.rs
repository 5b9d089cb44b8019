//! A file from the middle: at the byte where the committed epoch ended, after a look at whether it
//! is still the file that was read.
//!
//! The file is known by the hash of its first 4 KiB (of its text, when it is compressed), or of as
//! much of them as had been read. Compressed text is read again up to the place, as there is no way
//! into its middle.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use super::input::decompress;
use crate::codec::{Compression, Framer};
use crate::record::{Position, hash_key};

/// Bytes by which a file is known.
const KNOWN: usize = 4096;

/// A file and how it is compressed.
pub(super) struct Place<'a> {
    pub path: &'a Path,
    pub compression: Compression,
    pub compressed: bool,
}

/// The text of a file from its place on.
pub(super) struct Opened {
    pub stream: Box<dyn Read>,
    pub beginning: Beginning,
}

/// The first bytes of a file's text, as far as they were read.
#[derive(Clone, Default)]
pub(super) struct Beginning(Rc<RefCell<Vec<u8>>>);

impl Beginning {
    /// The hash by which the file is known once `byte` bytes of it were read.
    pub(super) fn identity(&self, byte: u64) -> u64 {
        let known = self.0.borrow();
        let length = usize::try_from(byte).unwrap_or(KNOWN).min(known.len());
        hash_key(known.get(..length).unwrap_or_default())
    }

    fn add(&self, bytes: &[u8]) {
        let mut known = self.0.borrow_mut();
        let room = KNOWN.saturating_sub(known.len()).min(bytes.len());
        known.extend_from_slice(bytes.get(..room).unwrap_or_default());
    }
}

/// A stream of which the beginning is kept.
struct Kept<R> {
    inner: R,
    beginning: Beginning,
}

impl<R: Read> Read for Kept<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(room)?;
        self.beginning.add(room.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl Place<'_> {
    /// The text of `file` from `start` on; `framer` goes on there too.
    pub(super) fn open(&self, mut file: File, start: &Position, framer: &mut Framer) -> Result<Opened, String> {
        let shown = self.path.display();
        let failed = |error: io::Error| format!("cannot read {shown}: {error}");
        let beginning = Beginning::default();
        if start.byte == 0 {
            let inner = decompress(file, self.compression).map_err(failed)?;
            let stream = Box::new(Kept { inner, beginning: beginning.clone() });
            return Ok(Opened { stream, beginning });
        }
        let header = self.header(framer)?;
        let stream: Box<dyn Read> = if self.compressed {
            let inner = decompress(file, self.compression).map_err(failed)?;
            let mut stream = Kept { inner, beginning: beginning.clone() };
            let skipped = io::copy(&mut stream.by_ref().take(start.byte), &mut io::sink()).map_err(failed)?;
            self.check_length(skipped, start)?;
            Box::new(stream)
        } else {
            self.check_length(file.metadata().map_err(failed)?.len(), start)?;
            let mut known = vec![0; KNOWN.min(usize::try_from(start.byte).unwrap_or(KNOWN))];
            file.read_exact_at(&mut known, 0).map_err(failed)?;
            beginning.add(&known);
            file.seek(SeekFrom::Start(start.byte)).map_err(failed)?;
            let inner = decompress(file, Compression::None).map_err(failed)?;
            Box::new(Kept { inner, beginning: beginning.clone() })
        };
        if start.identity != 0 && beginning.identity(start.byte) != start.identity {
            return Err(format!(
                "{shown} does not begin as the file that was read up to line {}: it is another file under the same \
                 name; {ANEW}",
                start.next
            ));
        }
        framer.resume(start.next, start.byte, header);
        Ok(Opened { stream, beginning })
    }

    fn check_length(&self, length: u64, start: &Position) -> Result<(), String> {
        if length >= start.byte {
            return Ok(());
        }
        Err(format!(
            "{} has {length} bytes, and {} of them were processed already: it was cut or replaced; {ANEW}",
            self.path.display(),
            start.byte
        ))
    }

    /// The header line of the file, which a run from the middle does not come across.
    fn header(&self, framer: &Framer) -> Result<Option<Arc<[u8]>>, String> {
        let Some(mut first) = framer.for_header() else { return Ok(None) };
        let failed = |error: io::Error| format!("cannot read {}: {error}", self.path.display());
        let mut stream = decompress(File::open(self.path).map_err(failed)?, self.compression).map_err(failed)?;
        while first.header().is_none() {
            match stream.read(first.room()).map_err(failed)? {
                0 => break,
                count => first.advance(count),
            }
        }
        Ok(first.header().cloned())
    }
}

/// What to do when the input is not the one that was read.
const ANEW: &str = "put the file back, or move the state folder away to begin anew";
