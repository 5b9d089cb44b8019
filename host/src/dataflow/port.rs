//! The way from a source into the pipeline: numbers its blocks, takes their share of the budget and
//! their place in the queue, puts barriers between them, and knows for each partition where it goes on
//! behind the last block.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::budget::{Budget, Ticket};
use super::committed::Committed;
use super::endpoint::{Chunk, Next, Output, Stopped};
use super::events::Event;
use super::message::{Block, BlockContent, Header, Status};
use super::partitions::Partitions;
use super::queue::{Queue, Queued};
use super::stats::Stats;
use crate::record::{Batch, Position};

/// Bytes that a row is taken to need when the source hands over rows and not bytes.
const MIN_ROW_BYTES: usize = 16;

/// What a block must have room in.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    pub budget: Arc<Budget>,
    pub queue: Arc<Queue>,
}

pub(crate) struct Port {
    source: u16,
    intake: Sender<Block>,
    bounds: Bounds,
    stats: Arc<Stats>,
    names: Arc<Partitions>,
    stopped: AtomicBool,
    /// Numbering and sending happen under one lock, so that the queue is in sequence, and a barrier
    /// finds the positions of exactly what was sent before it.
    line: Mutex<Line>,
}

struct Line {
    sequence: u64,
    epoch: u64,
    /// By number; `None` once closed.
    partitions: Vec<Option<Standing>>,
}

/// Where a partition stands at a barrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Number of the partition.
    pub number: u32,
    /// Where it goes on.
    pub position: Position,
    /// Whether the source reads it. One that it has not opened yet stands where the committed epoch
    /// left it: a barrier that comes early must not forget it.
    pub open: bool,
}

fn put(partitions: &mut Vec<Option<Standing>>, standing: Standing) {
    let index = standing.number as usize;
    if partitions.len() <= index {
        partitions.resize(index + 1, None);
    }
    partitions[index] = Some(standing);
}

/// A block but for its number.
struct Entry {
    partition: u32,
    status: Status,
    /// Newest event time that is known beforehand.
    newest: i64,
    since: Instant,
    last: bool,
    ticket: Option<Arc<Ticket>>,
    queued: Option<Arc<Queued>>,
    content: BlockContent,
}

impl Port {
    pub(crate) fn new(
        source: u16,
        intake: Sender<Block>,
        bounds: Bounds,
        stats: Arc<Stats>,
        names: Arc<Partitions>,
        start: &[Position],
        epoch: u64,
    ) -> Arc<Self> {
        let mut partitions = Vec::new();
        for position in start {
            let (number, position) = (names.number(&position.partition), position.clone());
            put(&mut partitions, Standing { number, position, open: false });
        }
        let line = Mutex::new(Line { sequence: 0, epoch, partitions });
        Arc::new(Self { source, intake, bounds, stats, names, stopped: AtomicBool::new(false), line })
    }

    /// From now on the source's blocks are turned away. When this returns, none is on its way.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        drop(self.lock());
    }

    /// Ends the epoch of this source, and returns where its partitions go on in the next. Barriers
    /// need no budget: they must pass when it is used up.
    /// `last` says that nothing comes behind it.
    pub(crate) fn barrier(&self, last: bool) -> Vec<Standing> {
        let mut line = self.lock();
        let now = Instant::now();
        let content = BlockContent::Barrier;
        let (status, newest, ticket) = (Status::Active, i64::MIN, None);
        self.push(&mut line, Entry { partition: 0, status, newest, since: now, last, ticket, queued: None, content });
        line.epoch += 1;
        line.partitions.iter().flatten().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        // Every change of the line is complete before anything that could panic.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block without rows that says what becomes of a partition.
    fn mark(&self, line: &mut Line, partition: u32, status: Status, newest: i64) {
        let rows = Batch::empty(Arc::new(arrow::datatypes::Schema::empty()));
        let content = BlockContent::Chunk(Chunk::Rows(rows));
        let (since, last, ticket) = (Instant::now(), false, None);
        self.push(line, Entry { partition, status, newest, since, last, ticket, queued: None, content });
    }

    fn push(&self, line: &mut Line, entry: Entry) -> bool {
        let header = Header {
            lane: self.source,
            source: self.source,
            partition: entry.partition,
            status: entry.status,
            sequence: line.sequence,
            epoch: line.epoch,
            since: entry.since,
            last: entry.last,
            min_event_time: i64::MAX,
            max_event_time: entry.newest,
            ticket: entry.ticket,
            queued: entry.queued,
        };
        line.sequence += 1;
        self.intake.send(Block { header, content: entry.content }).is_ok()
    }
}

/// A source's handle on its port.
pub(crate) struct PortOutput {
    pub port: Arc<Port>,
    pub events: Sender<Event>,
    pub committed: Arc<Committed>,
}

impl PortOutput {
    /// The source has ended: its partitions hold the watermark no longer. Their positions stay.
    pub(crate) fn end(&self) {
        let mut line = self.port.lock();
        for number in 0..line.partitions.len() as u32 {
            self.port.mark(&mut line, number, Status::Closed, i64::MIN);
        }
    }
}

impl Output for PortOutput {
    fn open(&mut self, at: Position) -> u32 {
        let number = self.port.names.number(&at.partition);
        let mut line = self.port.lock();
        let newest = at.newest_event_time;
        put(&mut line.partitions, Standing { number, position: at, open: true });
        self.port.mark(&mut line, number, Status::Active, newest);
        number
    }

    fn close(&mut self, partition: u32) {
        let mut line = self.port.lock();
        if let Some(standing) = line.partitions.get_mut(partition as usize) {
            *standing = None;
        }
        self.port.mark(&mut line, partition, Status::Closed, i64::MIN);
    }

    fn idle(&mut self, partition: u32) {
        let mut line = self.port.lock();
        self.port.mark(&mut line, partition, Status::Idle, i64::MIN);
    }

    fn send(&mut self, partition: u32, chunk: Chunk, next: Next, since: Instant) -> Result<(), Stopped> {
        let port = &self.port;
        let (rows, bytes) = match &chunk {
            Chunk::Raw(block) => (block.ends.len(), block.bytes.len()),
            Chunk::Rows(batch) => {
                (batch.rows(), batch.columns.get_array_memory_size().max(batch.rows() * MIN_ROW_BYTES))
            }
        };
        let ticket = port.bounds.budget.take(rows, bytes).map_err(|_| Stopped)?;
        let queued = port.bounds.queue.take(rows, bytes).map_err(|_| Stopped)?;
        let mut line = port.lock();
        if self.stopped() {
            return Err(Stopped);
        }
        let content = BlockContent::Chunk(chunk);
        let (ticket, queued) = (Some(ticket), Some(Arc::new(queued)));
        let (status, newest) = (Status::Active, i64::MIN);
        let entry = Entry { partition, status, newest, since, last: false, ticket, queued, content };
        if !port.push(&mut line, entry) {
            return Err(Stopped);
        }
        if let Some(Some(Standing { position, .. })) = line.partitions.get_mut(partition as usize) {
            (position.next, position.byte, position.identity) = (next.place, next.byte, next.identity);
        }
        drop(line);
        port.stats.taken(rows as u64, bytes as u64);
        Ok(())
    }

    fn settle(&mut self, patience: Duration) -> bool {
        let epoch = self.port.lock().epoch;
        let _ = self.events.send(Event::NeedsBarrier);
        self.committed.wait(epoch, patience)
    }

    fn stopped(&self) -> bool {
        self.port.stopped.load(Ordering::SeqCst)
    }
}
