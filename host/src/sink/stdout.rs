//! Standard output.

use std::io::{BufWriter, Stdout, Write};

use super::{Error, Sink};

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
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.writer.write_all(bytes).map_err(|error| Error::new(&self.name, DOING, &error))
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.writer.flush().map_err(|error| Error::new(&self.name, DOING, &error))
    }

    fn finish(mut self: Box<Self>) -> Result<(), Error> {
        self.flush()
    }
}
