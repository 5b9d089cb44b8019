//! Standard input, and pipes: streams on which a read may wait for ever. A thread of its own
//! reads, so that the source can be stopped while it waits; that thread ends with the process, or
//! with the next thing it reads.

use std::io::{self, Read};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::input::{Interrupted, decompress, drain, pump};
use super::{Chunk, Error, Output, Source, Stopped};
use crate::codec::{Compression, Framer};
use crate::record::RawBlock;

/// Blocks read ahead. Few, as the pipeline has a queue of its own.
const READ_AHEAD: usize = 2;

/// How often a source without input looks whether it is stopped.
const LOOK: Duration = Duration::from_millis(50);

struct StdinSource {
    name: String,
    compression: Compression,
    framer: Framer,
}

/// Standard input.
pub(super) fn open(name: &str, compression: Compression, framer: Framer) -> impl Source + use<> {
    StdinSource { name: name.to_owned(), compression, framer }
}

impl Source for StdinSource {
    fn partitions(&self) -> Vec<String> {
        vec!["stdin".into()]
    }

    fn run(self: Box<Self>, output: &mut dyn Output) -> Result<(), Error> {
        let Self { name, compression, framer } = *self;
        Detached { stream: io::stdin(), compression, framer }
            .run(output)
            .map_err(|error| Error { source_name: name, message: format!("cannot read standard input: {error}") })
    }
}

/// A stream to be read on a thread of its own.
pub(super) struct Detached<R> {
    pub stream: R,
    pub compression: Compression,
    pub framer: Framer,
}

/// What the reading thread hands over.
type Handed = io::Result<(RawBlock, Instant)>;

impl<R: Read + Send + 'static> Detached<R> {
    /// Reads to the end of the stream, or until the pipeline is stopped.
    pub fn run(self, output: &mut dyn Output) -> io::Result<()> {
        let (sender, receiver) = sync_channel(READ_AHEAD);
        std::thread::Builder::new().name("stdin".into()).spawn(move || {
            if let Err(Interrupted::Read(error)) = self.read(&sender) {
                // The source may be gone, and then nobody wants to know.
                let _ = sender.send(Err(error));
            }
        })?;
        loop {
            match receiver.recv_timeout(LOOK) {
                Ok(Ok((block, since))) => {
                    if output.send(0, Chunk::Raw(block), since).is_err() {
                        return Ok(());
                    }
                }
                Ok(Err(error)) => return Err(error),
                Err(RecvTimeoutError::Timeout) if !output.stopped() => {}
                Err(_) => return Ok(()),
            }
        }
    }

    fn read(mut self, sender: &SyncSender<Handed>) -> Result<(), Interrupted> {
        let mut stream = decompress(self.stream, self.compression).map_err(Interrupted::Read)?;
        let mut since = Instant::now();
        let mut send = |block, since| sender.send(Ok((block, since))).map_err(|_| Stopped);
        pump(&mut *stream, &mut self.framer, true, &mut since, &mut send)?;
        self.framer.end();
        drain(&mut self.framer, since, &mut send)?;
        Ok(())
    }
}
