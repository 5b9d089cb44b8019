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
    worker: u16,
    graph: Arc<Graph>,
    router: Router,
    /// One a sink; none for a sink that does not look at bytes.
    encoders: Vec<Option<Encoder>>,
    peers: Vec<Sender<ToWorker>>,
    sinks: Vec<Sender<Part<SinkRows>>>,
    stats: Arc<Stats>,
    /// Rows gathered, by keyed stage and worker.
    routed: Vec<Vec<Vec<Batch>>>,
    /// Rows gathered, by sink.
    encoded: Vec<SinkRows>,
    letters: Letters,
}

impl Outlet {
    pub(crate) fn new(
        worker: u16,
        graph: Arc<Graph>,
        stages: usize,
        router: Router,
        encoders: Vec<Option<Encoder>>,
        peers: Vec<Sender<ToWorker>>,
        sinks: Vec<Sender<Part<SinkRows>>>,
        stats: Arc<Stats>,
    ) -> Self {
        let routed = vec![vec![Vec::new(); peers.len()]; stages];
        let encoded = sinks.iter().map(|_| SinkRows::default()).collect();
        Self { worker, graph, router, encoders, peers, sinks, stats, routed, encoded, letters: Vec::new() }
    }

    /// Rows for a keyed stage.
    pub(crate) fn route(&mut self, stage: usize, key: usize, batch: Batch) -> Result<(), String> {
        let routed = &mut self.routed[stage];
        self.router.route(batch, key, |worker, rows| routed[worker].push(rows)).map_err(|e| e.to_string())
    }

    /// Rows for a sink.
    pub(crate) fn encode(&mut self, sink: usize, batch: &Batch) -> Result<(), Failure> {
        let out = &mut self.encoded[sink];
        out.rows += batch.rows() as u64;
        if let Some(encoder) = &mut self.encoders[sink] {
            let failed = |e| Failure::new(format!("sink `{}`", self.graph.sinks[sink].name), e);
            encoder.encode(&batch.columns, &mut out.bytes).map_err(failed)?;
        }
        Ok(())
    }

    /// Rows that could not be processed.
    pub(crate) fn reject(&mut self) -> &mut Letters {
        &mut self.letters
    }

    /// Sends what was gathered from a block to the receivers of the stage.
    pub(crate) fn flush(&mut self, stage: &Stage, header: &Header) -> Result<(), Failure> {
        self.encode_letters()?;
        for &receiver in &stage.stages {
            for (worker, rows) in self.routed[receiver].iter_mut().enumerate() {
                let content = PartContent::Rows(std::mem::take(rows));
                let part = Part { header: header.clone(), from: self.worker, content };
                // A peer that is gone has failed, and its failure is on the way.
                let _ = self.peers[worker].send(ToWorker::Part { stage: receiver as u16, part });
            }
        }
        for &sink in &stage.sinks {
            let content = PartContent::Rows(std::mem::take(&mut self.encoded[sink]));
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
        if self.letters.is_empty() {
            return Ok(());
        }
        self.stats.rejected(self.letters.len() as u64);
        let Some(sink) = self.graph.dead_letters else {
            let first = &self.letters[0];
            let by = if first.operator.is_empty() { "decoding".into() } else { format!("operator `{}`", first.operator) };
            let message = format!(
                "{by} rejected the row at {}:{}: {}; to keep such rows and go on, name a sink in `[pipeline] dead_letters`",
                first.partition, first.offset, first.reason
            );
            return Err(Failure::new(format!("source `{}`", first.source), message));
        };
        let rows = self.letters.len() as u64;
        let columns = dead_letter_batch(&self.letters);
        self.letters.clear();
        let out = &mut self.encoded[sink];
        out.rows += rows;
        if let Some(encoder) = &mut self.encoders[sink] {
            let failed = |e| Failure::new(format!("sink `{}`", self.graph.sinks[sink].name), e);
            encoder.encode(&columns, &mut out.bytes).map_err(failed)?;
        }
        Ok(())
    }
}
