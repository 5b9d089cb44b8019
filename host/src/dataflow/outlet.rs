//! What leaves a stage: rows for keyed stages, routed by key; rows for sinks, encoded; dead
//! letters. It is gathered while a block is worked on and sent when the block is done, one part to
//! each receiver, so that a receiver can tell when it has everything.

use std::sync::Arc;

use crossbeam_channel::Sender;

use super::endpoint::Failure;
use super::exchange::Router;
use super::graph::{Graph, Stage};
use super::message::{Header, Letters, Part, PartContent, SinkRows, ToWorker};
use super::stats::Stats;
use crate::codec::Encoder;
use crate::record::{Batch, dead_letter_batch};

pub(crate) struct Outlet {
    pub worker: u16,
    pub graph: Arc<Graph>,
    pub router: Router,
    /// One a sink; none for a sink that does not look at bytes.
    pub encoders: Vec<Option<Encoder>>,
    pub peers: Vec<Sender<ToWorker>>,
    pub sinks: Vec<Sender<Part<SinkRows>>>,
    pub stats: Arc<Stats>,
    pub gathered: Gathered,
}

/// What came of the block in hand so far.
pub(crate) struct Gathered {
    /// By keyed stage and worker.
    routed: Vec<Vec<Vec<Batch>>>,
    /// By sink.
    encoded: Vec<SinkRows>,
    /// Bytes that the last block came to, by sink: what the next is given room for at once.
    usual: Vec<usize>,
    letters: Letters,
}

impl Gathered {
    pub(crate) fn new(stages: usize, workers: usize, sinks: usize) -> Self {
        Self {
            routed: vec![vec![Vec::new(); workers]; stages],
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

    /// Rows for a sink.
    pub(crate) fn encode(&mut self, sink: usize, batch: &Batch) -> Result<(), Failure> {
        let out = &mut self.gathered.encoded[sink];
        out.rows += batch.rows() as u64;
        if let Some(encoder) = &mut self.encoders[sink] {
            if out.bytes.is_empty() {
                out.bytes.reserve(self.gathered.usual[sink]);
            }
            let failed = |e| Failure::new(format!("sink `{}`", self.graph.sinks[sink].name), e);
            encoder.encode(&batch.columns, &mut out.bytes).map_err(failed)?;
        }
        Ok(())
    }

    /// Rows that could not be processed.
    pub(crate) fn reject(&mut self) -> &mut Letters {
        &mut self.gathered.letters
    }

    /// Sends what was gathered from a block to the receivers of the stage.
    pub(crate) fn flush(&mut self, stage: &Stage, header: &Header) -> Result<(), Failure> {
        self.encode_letters()?;
        for &receiver in &stage.stages {
            for (worker, rows) in self.gathered.routed[receiver].iter_mut().enumerate() {
                let content = PartContent::Rows(std::mem::take(rows));
                let part = Part { header: header.clone(), from: self.worker, content };
                // A peer that is gone has failed, and its failure is on the way.
                let _ = self.peers[worker].send(ToWorker::Part { stage: receiver as u16, part });
            }
        }
        for &sink in &stage.sinks {
            let rows = std::mem::take(&mut self.gathered.encoded[sink]);
            if !rows.is_empty() {
                self.gathered.usual[sink] = rows.bytes.len() + rows.bytes.len() / 8;
            }
            let content = PartContent::Rows(rows);
            let _ = self.sinks[sink].send(Part { header: header.clone(), from: self.worker, content });
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
        for &sink in &stage.sinks {
            let part = Part { header: header.clone(), from: self.worker, content: PartContent::Barrier };
            let _ = self.sinks[sink].send(part);
        }
    }

    fn encode_letters(&mut self) -> Result<(), Failure> {
        if self.gathered.letters.is_empty() {
            return Ok(());
        }
        self.stats.rejected(self.gathered.letters.len() as u64);
        let Some(sink) = self.graph.dead_letters else {
            let first = &self.gathered.letters[0];
            let by =
                if first.operator.is_empty() { "decoding".into() } else { format!("operator `{}`", first.operator) };
            let message = format!(
                "{by} rejected the row at {}:{}: {}; to keep such rows and go on, name a sink in `[pipeline] dead_letters`",
                first.partition, first.offset, first.reason
            );
            return Err(Failure::new(format!("source `{}`", first.source), message));
        };
        let rows = self.gathered.letters.len() as u64;
        let columns = dead_letter_batch(&self.gathered.letters);
        self.gathered.letters.clear();
        let out = &mut self.gathered.encoded[sink];
        out.rows += rows;
        if let Some(encoder) = &mut self.encoders[sink] {
            let failed = |e| Failure::new(format!("sink `{}`", self.graph.sinks[sink].name), e);
            encoder.encode(&columns, &mut out.bytes).map_err(failed)?;
        }
        Ok(())
    }
}
