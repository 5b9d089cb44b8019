//! The thread of a sink: puts what workers send back into the order of the source and writes it.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TryRecvError};

use super::endpoint::{Failure, Sink};
use super::message::{Part, SinkRows};
use super::network::Event;
use super::sequencer::{Next, Sequencer};
use super::stats::Stats;

pub(crate) struct Writer {
    pub index: usize,
    pub sink: Box<dyn Sink>,
    /// What stands before all records.
    pub header: Option<Vec<u8>>,
    pub sequencer: Sequencer<SinkRows>,
    pub inbox: Receiver<Part<SinkRows>>,
    pub events: Sender<Event>,
    pub stats: Arc<Stats>,
    /// Whether its rows count as output; dead letters do not.
    pub counts_latency: bool,
    /// Rows written since the last flush, and since when they are on their way.
    pub unflushed: Vec<(u64, Instant)>,
}

impl Writer {
    /// Runs until the workers are gone, then closes the sink.
    pub(crate) fn run(mut self) -> Result<(), Failure> {
        if let Some(header) = self.header.take() {
            self.sink.write(&header)?;
        }
        loop {
            let part = match self.inbox.try_recv() {
                Ok(part) => part,
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    self.flush()?;
                    match self.inbox.recv() {
                        Ok(part) => part,
                        Err(_) => break,
                    }
                }
            };
            self.sequencer.accept(part);
            while let Some(next) = self.sequencer.pop() {
                match next {
                    Next::Rows(header, parts) => {
                        for rows in parts.into_iter().filter(|p| !p.is_empty()) {
                            self.sink.write(&rows.bytes)?;
                            self.stats.written(self.index, rows.rows, rows.bytes.len() as u64);
                            self.unflushed.push((rows.rows, header.since));
                        }
                    }
                    Next::Barrier(headers) => {
                        self.flush()?;
                        if let Some(header) = headers.first() {
                            let _ = self.events.send(Event::Flushed { epoch: header.epoch });
                        }
                    }
                }
            }
        }
        self.flush()?;
        self.sink.finish()
    }

    fn flush(&mut self) -> Result<(), Failure> {
        if self.unflushed.is_empty() {
            return Ok(());
        }
        self.sink.flush()?;
        for (rows, since) in self.unflushed.drain(..) {
            if self.counts_latency {
                self.stats.out(rows, since);
            }
        }
        Ok(())
    }
}
