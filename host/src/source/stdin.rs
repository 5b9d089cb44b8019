//! Standard input, and pipes: streams on which a read may wait for ever. A thread of its own
//! reads, so that the source can be stopped while it waits; that thread ends with the process, or
//! with the next thing it reads.

use std::io::{self, Read};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::input::{Interrupted, decompress, drain, pump};
use super::{Chunk, Error, Next, Output, Source, Stopped};
use crate::codec::{Compression, Framer};
use crate::record::{Position, RawBlock};

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
    fn replayable(&self) -> bool {
        false
    }

    /// What was read is gone, so it always goes on with what comes next, whatever the positions.
    fn run(self: Box<Self>, _: &[Position], output: &mut dyn Output) -> Result<(), Error> {
        let Self { name, compression, framer } = *self;
        Detached { stream: io::stdin(), compression, framer }
            .run("stdin", output)
            .map_err(|error| super::failure(&name, format!("cannot read standard input: {error}")))
    }
}

/// A stream to be read on a thread of its own.
pub(super) struct Detached<R> {
    pub stream: R,
    pub compression: Compression,
    pub framer: Framer,
}

/// What the reading thread hands over.
type Handed = io::Result<(RawBlock, Next, Instant)>;

impl<R: Read + Send + 'static> Detached<R> {
    /// Reads to the end of the stream, or until the pipeline is stopped.
    pub fn run(self, partition: &str, output: &mut dyn Output) -> io::Result<()> {
        let partition = output.open(Position::new(partition, 1));
        let (sender, receiver) = sync_channel(READ_AHEAD);
        std::thread::Builder::new().name("stdin".into()).spawn(move || {
            if let Err(Interrupted::Read(error)) = self.read(&sender) {
                // The source may be gone, and then nobody wants to know.
                let _ = sender.send(Err(error));
            }
        })?;
        loop {
            match receiver.recv_timeout(LOOK) {
                Ok(Ok((block, next, since))) => {
                    if output.send(partition, Chunk::Raw(block), next, since).is_err() {
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
        let mut send = |block, next, since| sender.send(Ok((block, next, since))).map_err(|_| Stopped);
        pump(&mut *stream, &mut self.framer, true, &mut since, &mut send)?;
        self.framer.end();
        drain(&mut self.framer, since, &mut send)?;
        Ok(())
    }
}
