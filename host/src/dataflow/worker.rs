//! A worker: an operating-system thread that owns a range of key groups and runs every stage for
//! them to completion. It waits for nothing but work: later stages first, so that what is in
//! flight drains before more is taken in.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arrow::array::{Array, UInt32Array};
use crossbeam_channel::{Receiver, Sender, TryRecvError, select};

use super::clock::Clock;
use super::endpoint::{Chunk, Records};
use super::events::Event;
use super::failure::Failure;
use super::graph::{Graph, Layout, Origin, Root, Target};
use super::letters::Rejected;
use super::message::{Block, BlockContent, Header, ToWorker};
use super::node::{Emitted, Operator, Times};
use super::outlet::Outlet;
use super::partitions::Partitions;
use super::sequencer::{Next, Sequencer};
use crate::codec::Decoder;
use crate::record::{Batch, DeadLetter};

/// Names that dead letters carry.
#[derive(Debug)]
pub(crate) struct Names {
    pub source: Arc<str>,
    pub partitions: Arc<Partitions>,
}

impl Names {
    /// No records yet, of the block with this header.
    pub(crate) fn records(&self, header: &Header) -> Records {
        let partition = self.partitions.name(header.partition);
        Records { source: Arc::clone(&self.source), partition, ..Records::default() }
    }
}

/// How long a worker looks for work before it sleeps: about what a wake-up costs.
const LINGER: Duration = Duration::from_micros(50);

/// Rows of a small block: far below what a block holds when the pipeline is busy.
const SMALL: usize = 64;

pub(crate) struct Worker {
    pub graph: Arc<Graph>,
    pub layout: Arc<Layout>,
    pub names: Arc<Vec<Names>>,
    /// One a source; none where the source hands over rows. Asynchronous operators have none.
    pub decoders: Vec<Option<Decoder>>,
    pub stages: Vec<StageState>,
    pub outlet: Outlet,
    pub intake: Receiver<Block>,
    /// What asynchronous operators are done with; comes before what sources have.
    pub answers: Receiver<Block>,
    pub inbox: Receiver<ToWorker>,
    pub events: Sender<Event>,
    pub scratch: Scratch,
}

/// Memory that is used again for each block.
#[derive(Default)]
pub(crate) struct Scratch {
    emitted: Emitted,
    pending: Vec<(Target, Batch)>,
    /// Whether the last block was small: the rate is low, and latency counts more than processor
    /// time.
    small: bool,
}

/// A stage on one worker.
pub(crate) struct StageState {
    pub sequencer: Sequencer<Vec<Batch>>,
    /// The stage's operators by index in the graph.
    pub operators: Vec<(usize, Box<dyn Operator>)>,
    pub epoch: u64,
    pub clock: Clock,
    /// Whether an early barrier was asked for in this epoch.
    pub asked: bool,
}

impl Worker {
    /// Runs until told to stop.
    pub(crate) fn run(mut self) -> Result<(), Failure> {
        let mut idle: Option<Instant> = None;
        loop {
            loop {
                match self.inbox.try_recv() {
                    Ok(ToWorker::Stop) | Err(TryRecvError::Disconnected) => return Ok(()),
                    Ok(message) => self.accept(message),
                    Err(TryRecvError::Empty) => break,
                }
            }
            if self.advance()? {
                idle = None;
                continue;
            }
            if let Ok(block) = self.answers.try_recv().or_else(|_| self.intake.try_recv()) {
                self.take_in(block)?;
                idle = None;
                continue;
            }
            // What another worker has of a small block that this one waits for is a few microseconds
            // away; going to sleep and being woken takes longer.
            if self.scratch.small && idle.get_or_insert_with(Instant::now).elapsed() < LINGER {
                std::thread::yield_now();
                continue;
            }
            idle = None;
            select! {
                recv(self.inbox) -> message => match message {
                    Ok(ToWorker::Stop) | Err(_) => return Ok(()),
                    Ok(message) => self.accept(message),
                },
                recv(self.answers) -> block => match block {
                    Ok(block) => self.take_in(block)?,
                    // There is no asynchronous operator, or it has failed, and its failure is on the way.
                    Err(_) => self.answers = crossbeam_channel::never(),
                },
                recv(self.intake) -> block => match block {
                    Ok(block) => self.take_in(block)?,
                    Err(_) => return Ok(()),
                },
            }
        }
    }

    fn accept(&mut self, message: ToWorker) {
        match message {
            ToWorker::Part { stage, part } => self.stages[usize::from(stage)].sequencer.accept(part),
            ToWorker::Applied(epoch) => {
                self.stages.iter_mut().flat_map(|s| &mut s.operators).for_each(|(_, o)| o.applied(epoch));
            }
            ToWorker::Stop => {}
        }
    }

    /// Does the next thing of the latest stage that has one; false when none has.
    fn advance(&mut self) -> Result<bool, Failure> {
        for index in (self.layout.lanes..self.stages.len()).rev() {
            match self.stages[index].sequencer.pop() {
                None => {}
                Some(Next::Rows(header, parts)) => {
                    let batch = super::exchange::merge(parts).map_err(|e| self.failure(index, e))?;
                    self.work(index, &header, batch)?;
                    return Ok(true);
                }
                Some(Next::Barrier(headers)) => {
                    self.barrier(index, &headers);
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Begins the way of a block.
    fn take_in(&mut self, block: Block) -> Result<(), Failure> {
        let Block { mut header, content } = block;
        let stage = usize::from(header.lane);
        if header.epoch > self.stages[stage].epoch {
            // Barriers of a lane pass one worker only; the others learn of them by the epoch.
            self.begin_epoch(stage, header.epoch);
        }
        let batch = match content {
            BlockContent::Barrier => {
                self.outlet.barrier(&self.layout.stages[stage], &header);
                return Ok(());
            }
            BlockContent::Answers(batch, mut letters) => {
                self.outlet.reject().append(&mut letters);
                return self.work(stage, &header, batch);
            }
            BlockContent::Chunk(Chunk::Rows(batch)) => batch,
            BlockContent::Chunk(Chunk::Raw(block)) => {
                let names = &self.names[stage];
                let failed = |e: String| Failure::new(format!("source `{}`", names.source), e);
                let Some(Some(decoder)) = self.decoders.get_mut(stage) else {
                    return Err(failed("handed over bytes but has no format".into()));
                };
                let decoded = decoder.decode(&block).map_err(|e| failed(e.to_string()))?;
                let partition = match decoded.rejected.is_empty() {
                    true => Arc::default(),
                    false => names.partitions.name(header.partition),
                };
                for rejected in decoded.rejected {
                    self.outlet.reject().push(DeadLetter {
                        source: Arc::clone(&names.source),
                        partition: Arc::clone(&partition),
                        offset: rejected.offset,
                        operator: Arc::default(),
                        reason: rejected.reason,
                        raw: rejected.raw,
                    });
                }
                decoded.batch
            }
        };
        for &time in &batch.event_times[..] {
            header.min_event_time = header.min_event_time.min(time);
            header.max_event_time = header.max_event_time.max(time);
        }
        self.work(stage, &header, Some(batch))
    }

    /// Runs a stage over the rows of a block and sends what came of them.
    fn work(&mut self, index: usize, header: &Header, batch: Option<Batch>) -> Result<(), Failure> {
        let stage = &self.layout.stages[index];
        // A block runs under the watermark of the blocks before it: one that counted the block's own
        // newest row would call its other rows late, and expire what they are about to read.
        self.stages[index].clock.begin(header);
        if let Some(batch) = batch.filter(|b| !b.is_empty()) {
            self.scratch.small = batch.rows() <= SMALL;
            let mut pending = std::mem::take(&mut self.scratch.pending);
            match stage.root {
                Root::Source(source) => self.fan_out(Origin::Source(source), batch, &mut pending),
                Root::Hub(index) => self.fan_out(Origin::Operator { index, port: 0 }, batch, &mut pending),
                Root::Operator(operator) => {
                    let batch = self.refuse_null_keys(operator, header, batch)?;
                    pending.push((Target::Operator(operator), batch));
                }
            }
            let times = Times { watermark: self.stages[index].clock.watermark(), processing: processing_time() };
            while let Some((target, batch)) = pending.pop() {
                match target {
                    Target::Sink(sink) => self.outlet.encode(sink, header, &batch)?,
                    Target::Stage(stage) => self.route(stage, batch)?,
                    Target::Hub(hub) => self.outlet.hand(hub, batch),
                    Target::Operator(operator) => self.operate(index, operator, header, &batch, times, &mut pending)?,
                }
            }
            self.scratch.pending = pending;
        }
        self.outlet.flush(&self.layout.stages[index], header)?;
        self.stages[index].clock.pass(header);
        self.ask_for_barrier(index);
        Ok(())
    }

    fn operate(
        &mut self,
        stage: usize,
        operator: usize,
        header: &Header,
        batch: &Batch,
        times: Times,
        pending: &mut Vec<(Target, Batch)>,
    ) -> Result<(), Failure> {
        let mut emitted = std::mem::take(&mut self.scratch.emitted);
        let state = &mut self.stages[stage];
        if let Some((_, node)) = state.operators.iter_mut().find(|(o, _)| *o == operator) {
            let name = &self.graph.operators[operator].name;
            node.process(batch, times, &mut emitted).map_err(|e| Failure::new(format!("operator `{name}`"), e))?;
        }
        if !emitted.rejected.is_empty() {
            self.reject(operator, header, batch, emitted.rejected.drain(..))?;
        }
        for (port, rows) in emitted.outputs.drain(..) {
            if !rows.is_empty() {
                self.fan_out(Origin::Operator { index: operator, port }, rows, pending);
            }
        }
        self.scratch.emitted = emitted;
        Ok(())
    }

    fn fan_out(&self, origin: Origin, batch: Batch, pending: &mut Vec<(Target, Batch)>) {
        let targets = self.layout.targets(origin);
        // Last in, first out: pushed in reverse so that targets are served in file order.
        if let Some((first, rest)) = targets.split_first() {
            pending.extend(rest.iter().rev().map(|&t| (t, batch.clone())));
            pending.push((*first, batch));
        }
    }

    fn route(&mut self, stage: usize, batch: Batch) -> Result<(), Failure> {
        let Root::Operator(operator) = self.layout.stages[stage].root else { return Ok(()) };
        let Some(key) = self.graph.operators[operator].key else { return Ok(()) };
        self.outlet.route(stage, key, batch).map_err(|e| self.failure(stage, e))
    }

    /// A row without a key belongs to no worker's state.
    fn refuse_null_keys(&mut self, operator: usize, header: &Header, batch: Batch) -> Result<Batch, Failure> {
        let Some(key) = self.graph.operators[operator].key else { return Ok(batch) };
        let column = batch.columns.column(key);
        if column.null_count() == 0 {
            return Ok(batch);
        }
        let (nulls, kept): (Vec<u32>, Vec<u32>) =
            (0..batch.rows() as u32).partition(|&row| column.is_null(row as usize));
        let reason = format!("key `{}` is null", batch.columns.schema_ref().field(key).name());
        self.reject(operator, header, &batch, nulls.into_iter().map(|row| (row, reason.clone())))?;
        batch.take(&UInt32Array::from(kept)).map_err(|e| Failure::new("exchange", e))
    }

    fn reject(
        &mut self,
        operator: usize,
        header: &Header,
        batch: &Batch,
        rows: impl Iterator<Item = (u32, String)>,
    ) -> Result<(), Failure> {
        let names = &self.names[usize::from(header.source)];
        let operator = &self.graph.operators[operator].name;
        let partition = names.partitions.name(header.partition);
        Rejected { operator, source: &names.source, partition }.write(batch, rows, self.outlet.reject())
    }

    /// The epoch ends at a keyed stage: state goes to the store, and the next epoch begins at once.
    fn barrier(&mut self, index: usize, headers: &[Header]) {
        let Some(epoch) = headers.first().map(|h| h.epoch) else { return };
        let stage = &mut self.stages[index];
        let (watermark, newest) = (stage.clock.watermark(), stage.clock.newest());
        let dirty = stage.operators.iter_mut().filter_map(|(_, o)| o.hand_over(epoch)).collect();
        // The coordinator that is gone has no use for it.
        let _ = self.events.send(Event::HandedOver { epoch, dirty, watermark, newest });
        // The receivers downstream count each source's sequence on its own.
        headers.iter().for_each(|header| self.outlet.barrier(&self.layout.stages[index], header));
        self.begin_epoch(index, epoch + 1);
    }

    fn begin_epoch(&mut self, stage: usize, epoch: u64) {
        let stage = &mut self.stages[stage];
        stage.epoch = epoch;
        stage.asked = false;
        stage.operators.iter_mut().for_each(|(_, o)| o.begin_epoch(epoch));
    }

    fn ask_for_barrier(&mut self, stage: usize) {
        let stage = &mut self.stages[stage];
        if !stage.asked && stage.operators.iter().any(|(_, o)| o.needs_barrier()) {
            stage.asked = true;
            let _ = self.events.send(Event::NeedsBarrier);
        }
    }

    fn failure(&self, stage: usize, message: impl ToString) -> Failure {
        match self.layout.stages[stage].root {
            Root::Source(s) => Failure::new(format!("source `{}`", self.graph.sources[s].name), message),
            Root::Hub(o) | Root::Operator(o) => {
                Failure::new(format!("operator `{}`", self.graph.operators[o].name), message)
            }
        }
    }
}

fn processing_time() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}
