//! Standard output.

use std::io::{BufWriter, Stdout, Write};

use super::{Error, Prepared, Sink, SinkRows};
use crate::record::SinkState;

/// Bytes collected for one write: what a pipe holds.
const BUFFER: usize = 64 << 10;

struct StdoutSink {
    name: String,
    writer: BufWriter<Stdout>,
}

/// Standard output.
pub(super) fn open(name: &str) -> impl Sink + use<> {
    StdoutSink { name: name.to_owned(), writer: BufWriter::with_capacity(BUFFER, std::io::stdout()) }
}

const DOING: &str = "cannot write standard output";

impl Sink for StdoutSink {
    fn write(&mut self, rows: &SinkRows) -> Result<(), Error> {
        self.writer.write_all(&rows.bytes).map_err(|error| super::failure(&self.name, DOING, &error))
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.writer.flush().map_err(|error| super::failure(&self.name, DOING, &error))
    }

    /// What went down a pipe cannot be taken back: a row may come twice after a crash.
    fn prepare(&mut self, _: u64) -> Result<Prepared, Error> {
        self.flush().map(|()| SinkState::Nothing.into())
    }

    fn finish(mut self: Box<Self>) -> Result<(), Error> {
        self.flush()
    }
}
