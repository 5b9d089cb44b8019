//! Bytes of a stream: decompressed, cut into blocks, and sent on.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::time::Instant;

use flate2::bufread::MultiGzDecoder;

use super::{Next, Stopped};
use crate::codec::{Compression, Framer};
use crate::record::RawBlock;

/// Compressed bytes that are read at once.
const BUFFER: usize = 64 << 10;

/// What files of gzip and Zstandard begin with.
const GZIP: &[u8] = &[0x1F, 0x8B];
const ZSTD: &[u8] = &[0x28, 0xB5, 0x2F, 0xFD];

/// How a stream that begins like this is compressed.
pub(super) fn detect(begin: &[u8]) -> Compression {
    if begin.starts_with(GZIP) {
        Compression::Gzip
    } else if begin.starts_with(ZSTD) {
        Compression::Zstd
    } else {
        Compression::None
    }
}

/// The plain bytes of `stream`. Reads from it already, so it may block.
pub(super) fn decompress(
    stream: impl Read + std::marker::Send + 'static,
    compression: Compression,
) -> io::Result<Box<dyn Read>> {
    let mut stream = BufReader::with_capacity(BUFFER, stream);
    let compression = match compression {
        Compression::Auto => detect(stream.fill_buf()?),
        known => known,
    };
    Ok(match compression {
        Compression::Gzip => Box::new(MultiGzDecoder::new(stream)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(stream)?),
        Compression::None | Compression::Auto => Box::new(stream),
    })
}

/// Takes a block, where the stream goes on behind it, and since when its first row was there.
pub(super) type Send<'a> = dyn FnMut(RawBlock, Next, Instant) -> Result<(), Stopped> + 'a;

/// Why pumping ended before the end of the input.
#[derive(Debug)]
pub(super) enum Interrupted {
    Read(io::Error),
    Stopped,
}

impl From<Stopped> for Interrupted {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

/// Reads until `stream` has nothing more, and sends full blocks on; with `eager`, whatever records
/// a read has completed. What was read before an error is sent first. The rest, records that do
/// not fill a block and a record without an end, stays in `framer`.
pub(super) fn pump(
    stream: &mut dyn Read,
    framer: &mut Framer,
    eager: bool,
    since: &mut Instant,
    send: &mut Send<'_>,
) -> Result<(), Interrupted> {
    loop {
        let waiting = framer.has_records();
        let count = match stream.read(framer.room()) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => {
                drain(framer, *since, send)?;
                return Err(Interrupted::Read(error));
            }
        };
        framer.advance(count);
        if !waiting {
            *since = Instant::now();
        }
        while let Some(block) = framer.next_block(eager) {
            send(block, behind(framer), *since)?;
            *since = Instant::now();
        }
    }
}

/// Sends all whole records that wait.
pub(super) fn drain(framer: &mut Framer, since: Instant, send: &mut Send<'_>) -> Result<(), Stopped> {
    while let Some(block) = framer.next_block(true) {
        send(block, behind(framer), since)?;
    }
    Ok(())
}

/// Where the stream goes on behind the block that was taken last.
fn behind(framer: &Framer) -> Next {
    Next { place: framer.line(), byte: framer.byte(), identity: 0 }
}
