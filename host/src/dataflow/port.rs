//! The way from a source into the pipeline: numbers its blocks, takes their share of the budget,
//! and puts barriers between them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crossbeam_channel::Sender;

use super::budget::Budget;
use super::endpoint::{Chunk, Output, Stopped};
use super::message::{Block, BlockContent, Header};
use super::stats::Stats;

/// Bytes that a row is taken to need when the source hands over rows and not bytes.
const MIN_ROW_BYTES: usize = 16;

#[derive(Debug)]
pub(crate) struct Port {
    source: u16,
    intake: Sender<Block>,
    budget: Arc<Budget>,
    stats: Arc<Stats>,
    stopped: AtomicBool,
    /// Numbering and sending happen under one lock, so that the queue is in sequence.
    next: Mutex<Next>,
}

#[derive(Debug)]
struct Next {
    sequence: u64,
    epoch: u64,
}

impl Port {
    pub(crate) fn new(
        source: u16,
        intake: Sender<Block>,
        budget: Arc<Budget>,
        stats: Arc<Stats>,
        epoch: u64,
    ) -> Arc<Self> {
        let next = Mutex::new(Next { sequence: 0, epoch });
        Arc::new(Self { source, intake, budget, stats, stopped: AtomicBool::new(false), next })
    }

    /// From now on the source's blocks are turned away. When this returns, none is on its way.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        drop(self.next.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Ends the epoch of this source. Barriers need no budget: they must pass when it is used up.
    pub(crate) fn barrier(&self) {
        self.push(None, 0, Instant::now(), BlockContent::Barrier);
    }

    fn push(
        &self,
        ticket: Option<Arc<super::budget::Ticket>>,
        partition: u32,
        since: Instant,
        content: BlockContent,
    ) -> bool {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let barrier = matches!(content, BlockContent::Barrier);
        if !barrier && self.stopped.load(Ordering::SeqCst) {
            return false;
        }
        let header = Header {
            source: self.source,
            partition,
            sequence: next.sequence,
            epoch: next.epoch,
            since,
            min_event_time: i64::MAX,
            max_event_time: i64::MIN,
            ticket,
        };
        next.sequence += 1;
        next.epoch += u64::from(barrier);
        self.intake.send(Block { header, content }).is_ok()
    }
}

/// A source's handle on its port.
pub(crate) struct PortOutput(pub Arc<Port>);

impl Output for PortOutput {
    fn send(&mut self, partition: u32, chunk: Chunk, since: Instant) -> Result<(), Stopped> {
        let port = &self.0;
        let (rows, bytes) = match &chunk {
            Chunk::Raw(block) => (block.ends.len(), block.bytes.len()),
            Chunk::Rows(batch) => {
                (batch.rows(), batch.columns.get_array_memory_size().max(batch.rows() * MIN_ROW_BYTES))
            }
        };
        let ticket = port.budget.take(rows, bytes).map_err(|_| Stopped)?;
        if !port.push(Some(ticket), partition, since, BlockContent::Chunk(chunk)) {
            return Err(Stopped);
        }
        port.stats.taken(rows as u64, bytes as u64);
        Ok(())
    }

    fn stopped(&self) -> bool {
        self.0.stopped.load(Ordering::SeqCst)
    }
}
