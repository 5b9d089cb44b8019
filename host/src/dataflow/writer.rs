//! The thread of a sink: puts what workers send back into the order of the source and writes it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError};

use super::endpoint::{Sink, SinkRows};
use super::events::Event;
use super::failure::{Failure, FailureKind};
use super::message::Part;
use super::sequencer::{Next, Sequencer};
use super::stats::Stats;
use crate::record::SinkState;

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
    /// When the last flush was.
    pub flushed: Instant,
    /// Whether the reader of the sink is gone: from then on rows are dropped and barriers reported,
    /// while the pipeline drains.
    pub closed: bool,
}

/// How long rows may wait in a sink that is busy. One that is idle flushes at once.
const FLUSH: Duration = Duration::from_millis(5);

impl Writer {
    /// Runs until the workers are gone, then closes the sink.
    pub(crate) fn run(mut self) -> Result<(), Failure> {
        if let Some(bytes) = self.header.take().filter(|_| self.sink.is_new()) {
            let written = self.sink.write(&SinkRows { bytes, rows: 0, records: None });
            self.settle(written)?;
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
                            if self.closed {
                                continue;
                            }
                            let written = self.sink.write(&rows);
                            self.settle(written)?;
                            self.stats.written(self.index, rows.rows, rows.bytes.len() as u64);
                            self.unflushed.push((rows.rows, header.since));
                        }
                    }
                    Next::Barrier(headers) => {
                        self.flush()?;
                        if let Some(header) = headers.first() {
                            let prepared = match self.closed {
                                true => SinkState::Nothing.into(),
                                false => self.sink.prepare(header.epoch)?,
                            };
                            let _ =
                                self.events.send(Event::Prepared { epoch: header.epoch, sink: self.index, prepared });
                        }
                    }
                }
            }
            if self.flushed.elapsed() >= FLUSH {
                self.flush()?;
            }
        }
        self.flush()?;
        match self.sink.finish() {
            Err(failure) if failure.kind == FailureKind::Closed => Ok(()),
            other => other,
        }
    }

    /// A reader that is gone has what it wanted (`| head`): the pipeline is asked to drain.
    fn settle(&mut self, result: Result<(), Failure>) -> Result<(), Failure> {
        match result {
            Err(failure) if failure.kind == FailureKind::Closed => {
                self.closed = true;
                let _ = self.events.send(Event::Drain);
                Ok(())
            }
            other => other,
        }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.flushed = Instant::now();
        if self.unflushed.is_empty() {
            return Ok(());
        }
        if !self.closed {
            let flushed = self.sink.flush();
            self.settle(flushed)?;
        }
        for (rows, since) in self.unflushed.drain(..) {
            if self.counts_latency {
                self.stats.out(rows, since);
            }
        }
        Ok(())
    }
}
