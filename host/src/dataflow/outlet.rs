//! What leaves a stage: rows for keyed stages, routed by key; rows for sinks, encoded; dead
//! letters. It is gathered while a block is worked on and sent when the block is done, one part to
//! each receiver, so that a receiver can tell when it has everything.

use std::sync::Arc;

use crossbeam_channel::Sender;
use tokio::sync::mpsc::UnboundedSender;

use super::endpoint::{SinkRows, Wants};
use super::exchange::Router;
use super::failure::Failure;
use super::graph::{Graph, Stage};
use super::message::{Header, Letters, Part, PartContent, ToHub, ToWorker};
use super::stats::Stats;
use super::worker::Names;
use crate::codec::Encoder;
use crate::record::{Batch, DeadLetter, dead_letter_batch};

pub(crate) struct Outlet {
    pub worker: u16,
    pub graph: Arc<Graph>,
    pub names: Arc<Vec<Names>>,
    pub router: Router,
    /// One a sink; none for a sink that does not look at bytes.
    pub encoders: Vec<Option<Encoder>>,
    pub peers: Vec<Sender<ToWorker>>,
    pub hubs: Vec<UnboundedSender<ToHub>>,
    pub sinks: Vec<Sender<Part<SinkRows>>>,
    pub stats: Arc<Stats>,
    pub gathered: Gathered,
}

/// What came of the block in hand so far.
pub(crate) struct Gathered {
    /// By keyed stage and worker.
    routed: Vec<Vec<Vec<Batch>>>,
    /// By hub.
    handed: Vec<Vec<Batch>>,
    /// By sink.
    encoded: Vec<SinkRows>,
    /// Bytes that the last block came to, by sink: what the next is given room for at once.
    usual: Vec<usize>,
    letters: Letters,
}

impl Gathered {
    pub(crate) fn new(stages: usize, workers: usize, hubs: usize, sinks: usize) -> Self {
        Self {
            routed: vec![vec![Vec::new(); workers]; stages],
            handed: vec![Vec::new(); hubs],
            encoded: (0..sinks).map(|_| SinkRows::default()).collect(),
            usual: vec![0; sinks],
            letters: Vec::new(),
        }
    }
}

impl Outlet {
    /// Rows for a keyed stage.
    pub(crate) fn route(&mut self, stage: usize, key: usize, batch: Batch) -> Result<(), String> {
        let routed = &mut self.gathered.routed[stage];
        self.router.route(batch, key, |worker, rows| routed[worker].push(rows)).map_err(|e| e.to_string())
    }

    /// Rows for an asynchronous operator.
    pub(crate) fn hand(&mut self, hub: usize, batch: Batch) {
        self.gathered.handed[hub].push(batch);
    }

    /// Rows for a sink.
    pub(crate) fn encode(&mut self, sink: usize, header: &Header, batch: &Batch) -> Result<(), Failure> {
        let node = &self.graph.sinks[sink];
        let Some(encoder) = &mut self.encoders[sink] else {
            self.gathered.encoded[sink].rows += batch.rows() as u64;
            return Ok(());
        };
        let out = &mut self.gathered.encoded[sink];
        if out.bytes.is_empty() {
            out.bytes.reserve(self.gathered.usual[sink]);
        }
        let start = out.bytes.len();
        let failed = |e| Failure::new(format!("sink `{}`", node.name), e);
        encoder.encode(&batch.columns, &mut out.bytes).map_err(failed)?;
        out.rows += batch.rows() as u64;
        if node.wants != Wants::Records {
            return Ok(());
        }
        let names = &self.names[usize::from(header.source)];
        let records = out.records.get_or_insert_with(|| Box::new(names.records(header)));
        let key = node.key.map(|column| batch.columns.column(column).as_ref());
        let too_long = records.note(&mut out.bytes, start, node.max_record_bytes, key, &batch.offsets);
        out.rows -= too_long.len() as u64;
        let limit = node.max_record_bytes.unwrap_or_default();
        for found in too_long {
            let length = found.record.len();
            self.gathered.letters.push(DeadLetter {
                source: Arc::clone(&names.source),
                partition: names.partitions.name(header.partition),
                offset: batch.offsets.get(found.row).copied().unwrap_or_default(),
                operator: Arc::from(node.name.as_str()),
                reason: format!("record of {length} bytes and its key are longer than the {limit} that the sink takes"),
                raw: found.record,
            });
        }
        Ok(())
    }

    /// Rows that could not be processed.
    pub(crate) fn reject(&mut self) -> &mut Letters {
        &mut self.gathered.letters
    }

    /// Sends what was gathered from a block to the receivers of the stage.
    pub(crate) fn flush(&mut self, stage: &Stage, header: &Header) -> Result<(), Failure> {
        self.encode_letters(header)?;
        for &receiver in &stage.stages {
            for (worker, rows) in self.gathered.routed[receiver].iter_mut().enumerate() {
                let content = PartContent::Rows(std::mem::take(rows));
                let part = Part { header: header.clone(), from: self.worker, content };
                // A peer that is gone has failed, and its failure is on the way.
                let _ = self.peers[worker].send(ToWorker::Part { stage: receiver as u16, part });
            }
        }
        for &hub in &stage.hubs {
            let content = PartContent::Rows(std::mem::take(&mut self.gathered.handed[hub]));
            // It keeps its place in the queue until its rows are taken: they are part of each epoch until then.
            let _ = self.hubs[hub].send(Part { header: header.clone(), from: self.worker, content });
        }
        for &sink in &stage.sinks {
            let rows = std::mem::take(&mut self.gathered.encoded[sink]);
            if !rows.is_empty() {
                self.gathered.usual[sink] = rows.bytes.len() + rows.bytes.len() / 8;
            }
            let content = PartContent::Rows(rows);
            let _ = self.sinks[sink].send(Part { header: header.leaving(), from: self.worker, content });
        }
        Ok(())
    }

    /// Sends a barrier to the receivers of the stage.
    pub(crate) fn barrier(&self, stage: &Stage, header: &Header) {
        for &receiver in &stage.stages {
            for peer in &self.peers {
                let part = Part { header: header.clone(), from: self.worker, content: PartContent::Barrier };
                let _ = peer.send(ToWorker::Part { stage: receiver as u16, part });
            }
        }
        for &hub in &stage.hubs {
            let part = Part { header: header.clone(), from: self.worker, content: PartContent::Barrier };
            let _ = self.hubs[hub].send(part);
        }
        for &sink in &stage.sinks {
            let part = Part { header: header.clone(), from: self.worker, content: PartContent::Barrier };
            let _ = self.sinks[sink].send(part);
        }
    }

    fn encode_letters(&mut self, header: &Header) -> Result<(), Failure> {
        if self.gathered.letters.is_empty() {
            return Ok(());
        }
        self.stats.rejected(self.gathered.letters.len() as u64);
        let Some(sink) = self.graph.dead_letters else {
            let first = &self.gathered.letters[0];
            let by = if first.operator.is_empty() { "decoding".into() } else { format!("`{}`", first.operator) };
            let message = format!(
                "{by} rejected the row at {}:{}: {}; to keep such rows and go on, name a sink in `[pipeline] dead_letters`",
                first.partition, first.offset, first.reason
            );
            return Err(Failure::new(format!("source `{}`", first.source), message));
        };
        let mut letters = std::mem::take(&mut self.gathered.letters);
        if let Some(limit) = self.graph.sinks[sink].max_record_bytes {
            letters.iter_mut().for_each(|letter| letter.shorten(limit));
        }
        let columns = dead_letter_batch(&letters);
        let offsets = letters.iter().map(|l| l.offset).collect();
        let batch = Batch { columns, offsets, event_times: Default::default() };
        self.encode(sink, header, &batch)?;
        // Of a letter that is itself too long, its sink keeps nothing: the log does.
        for lost in self.gathered.letters.drain(..) {
            tracing::error!(
                source = %lost.source, partition = %lost.partition, offset = lost.offset, reason = %lost.reason,
                "a dead letter is longer than its sink takes, and is dropped"
            );
        }
        Ok(())
    }
}
