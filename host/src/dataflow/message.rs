//! What travels between sources, workers and sinks.
//!
//! Every block of a source gets the next number of that source's sequence, and so does every
//! barrier; an asynchronous operator has a sequence of its own. Workers take blocks in any order and put the sequence together again wherever order
//! matters: before a keyed operator and before a sink. So one partition uses every core, and the
//! order in which a key sees its rows does not depend on the number of workers.

use std::sync::Arc;
use std::time::Instant;

use super::budget::Ticket;
use super::endpoint::Chunk;
use super::queue::Queued;
use crate::record::{Batch, DeadLetter};

/// Where a block stands in the stream. Travels with everything that comes of the block.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    /// The sequence in which the block is numbered: that of a source (its index), or of an
    /// asynchronous operator, behind those of the sources.
    pub lane: u16,
    /// Index of the source whose rows they are.
    pub source: u16,
    /// Partition of the source.
    pub partition: u32,
    /// What becomes of the partition with this block.
    pub status: Status,
    /// Number in the sequence of its lane, from 0, without gaps.
    pub sequence: u64,
    /// Epoch that the block belongs to.
    pub epoch: u64,
    /// When its first row was there.
    pub since: Instant,
    /// Whether it is the barrier behind which nothing comes.
    pub last: bool,
    /// Oldest and newest event time in the block; `i64::MAX` and `i64::MIN` when it has none. In the
    /// lane of an asynchronous operator the newest is its watermark.
    pub min_event_time: i64,
    pub max_event_time: i64,
    /// The block's share of the pipeline's budget; given back when the last copy is dropped.
    #[expect(dead_code, reason = "held for its drop")]
    pub ticket: Option<Arc<Ticket>>,
    /// Its place in the queue of the workers; given up when they are done with it.
    #[expect(dead_code, reason = "held for its drop")]
    pub queued: Option<Arc<Queued>>,
}

impl Header {
    /// Of a part that leaves the workers.
    pub(crate) fn leaving(&self) -> Self {
        Self { queued: None, ..self.clone() }
    }
}

/// Whether a partition takes part in the watermark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Status {
    /// It does.
    #[default]
    Active,
    /// Not until its next row.
    Idle,
    /// It is gone.
    Closed,
}

/// From a source to any worker.
#[derive(Debug)]
pub(crate) struct Block {
    pub header: Header,
    pub content: BlockContent,
}

#[derive(Debug)]
pub(crate) enum BlockContent {
    Chunk(Chunk),
    /// Rows that an asynchronous operator is done with, and those that it rejects.
    Answers(Option<Batch>, Letters),
    /// The epoch of the header ends here.
    Barrier,
}

/// One worker's share of what came of a block: exactly one part goes from each worker that worked
/// on the block to each worker (or sink) downstream, even when it holds no row.
#[derive(Debug)]
pub(crate) struct Part<T> {
    pub header: Header,
    /// The sending worker; parts of one block are put together in this order.
    pub from: u16,
    pub content: PartContent<T>,
}

#[derive(Debug)]
pub(crate) enum PartContent<T> {
    Rows(T),
    Barrier,
}

/// To an asynchronous operator.
pub(crate) type ToHub = Part<Vec<Batch>>;

/// To a worker.
#[derive(Debug)]
pub(crate) enum ToWorker {
    /// Rows for a keyed stage.
    Part { stage: u16, part: Part<Vec<Batch>> },
    /// An epoch is in the store: its slots need not be kept any longer.
    Applied(u64),
    /// The stream has ended, or the pipeline has failed.
    Stop,
}

/// Dead letters of one block, before they are encoded.
pub(crate) type Letters = Vec<DeadLetter>;
