//! One operator on one worker: what the dataflow calls for every batch.
//!
//! A batch is a transaction. Slots and outputs are taken over only from a call that went well; one
//! that traps, runs out of time or memory, or answers nonsense leaves no trace, its instance is
//! thrown away, and its rows are tried again by halves, in order (so rows of one key never change
//! places), down to the single row, which is rejected with what happened.

use std::sync::Arc;

use arrow::array::UInt32Array;
use arrow::datatypes::SchemaRef;

use super::compatible::may_replace;
use super::engine::Engine;
use super::error::Failure;
use super::generation::{Generation, failure};
use super::instance::Instance;
use super::outcome::{Outcome, RowRejected};
use super::pack::Packer;
use super::plugin::Plugin;
use super::slots::{Keyed, Slots};
use super::{Limits, OperatorConfig, emit};
use crate::record::Batch;

/// One operator on one worker.
pub struct Runner {
    pub(super) engine: Engine,
    pub(super) config: OperatorConfig,
    pub(super) limits: Limits,
    input: SchemaRef,
    pub(super) generation: Generation,
    /// `None` after a failure or a recycling; the next call starts a fresh one.
    pub(super) instance: Option<Instance>,
    /// Whether a call of this instance went well before.
    pub(super) used: bool,
    /// Whether the instance was lost to a failure.
    pub(super) failed: bool,
    /// Rows that failed alone since a call last went well.
    pub(super) consecutive: u32,
    /// Rows of the batch in hand that ran past the deadline alone.
    pub(super) late: u32,
    pub(super) packer: Packer,
}

/// The rows that calls are about.
pub(super) struct Rows<'a> {
    pub(super) batch: &'a Batch,
    /// Where each row is in the batch that came in, when some were left out before.
    places: Option<&'a [u32]>,
    pub(super) watermark: i64,
    pub(super) processing_time: i64,
}

impl Rows<'_> {
    /// Index in the batch that came in.
    pub(super) fn place(&self, row: usize) -> u32 {
        self.places.and_then(|places| places.get(row).copied()).unwrap_or(row as u32)
    }
}

impl Runner {
    /// Prepares an operator for rows of the schema `input` and opens its first instance.
    ///
    /// # Errors
    /// When the plugin does not fit the input or the operator's configuration, or refuses to open.
    pub fn new(
        engine: &Engine,
        plugin: Arc<Plugin>,
        config: &OperatorConfig,
        limits: &Limits,
        input: &SchemaRef,
    ) -> Result<Self, Failure> {
        let generation = Generation::bind(plugin.clone(), config, input).map_err(|e| failure(config, &plugin, e))?;
        let instance = generation.start(engine, config, limits).map_err(|e| failure(config, &plugin, e))?;
        Ok(Self {
            engine: engine.clone(),
            config: config.clone(),
            limits: limits.clone(),
            input: input.clone(),
            generation,
            instance: Some(instance),
            used: false,
            failed: false,
            consecutive: 0,
            late: 0,
            packer: Packer::default(),
        })
    }

    /// Hands the operator over to another generation; to be called between two batches, at a
    /// barrier.
    ///
    /// # Errors
    /// When the new generation cannot take over; the old one goes on as if nothing had happened.
    pub fn replace(&mut self, plugin: Arc<Plugin>) -> Result<(), Failure> {
        let fail = |message: String| failure(&self.config, &plugin, message);
        may_replace(&self.generation.plugin, &plugin, &self.config, &self.input).map_err(fail)?;
        let generation = Generation::bind(plugin.clone(), &self.config, &self.input).map_err(fail)?;
        let instance = generation.start(&self.engine, &self.config, &self.limits).map_err(|e| fail(e.to_string()))?;
        self.generation = generation;
        self.instance = Some(instance);
        (self.used, self.failed, self.consecutive) = (false, false, 0);
        Ok(())
    }

    /// The generation at work.
    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.generation.plugin
    }

    /// Schema of the rows of an output port, by its index.
    pub fn output_schema(&self, port: usize) -> Option<&SchemaRef> {
        self.generation.columns.ports.get(port).map(|p| &p.schema)
    }

    /// Processes a batch. `keyed` is required when the plugin keeps state. Times are in
    /// milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// When the pipeline has to stop: the plugin says so, cannot be opened again, or fails on
    /// everything. Slots of the rows before may have been written by then.
    pub fn process<S: Slots>(
        &mut self,
        batch: &Batch,
        keyed: Option<Keyed<'_, S>>,
        watermark: i64,
        processing_time: i64,
        out: &mut Outcome,
    ) -> Result<(), Failure> {
        let said = self.generation.plugin.description();
        out.start(said.outputs.len(), said.counters.len());
        self.late = 0;
        if said.state.is_some() && keyed.is_none() {
            return Err(self.failure("it keeps state per key and was called without keys"));
        }
        let nulls = self.nulls(batch);
        if nulls.is_empty() {
            self.run(&Rows { batch, places: None, watermark, processing_time }, keyed, out)?;
        } else {
            let kept = kept(batch.rows(), &nulls);
            out.rejected.extend(nulls);
            let batch = &batch.take(&UInt32Array::from(kept.clone())).map_err(|e| self.failure(e))?;
            let keys: Vec<u32> = match &keyed {
                Some(keyed) => kept.iter().filter_map(|&row| keyed.rows.get(row as usize).copied()).collect(),
                None => Vec::new(),
            };
            let keyed = keyed.map(|keyed| Keyed { rows: &keys, ..keyed });
            self.run(&Rows { batch, places: Some(&kept), watermark, processing_time }, keyed, out)?;
        }
        if out.stats.restarts > 0 {
            tracing::warn!(operator = %self.config.name, plugin = %self.generation.plugin.label(),
                restarts = out.stats.restarts, rejected = out.rejected.len(),
                reason = out.rejected.first().map_or("", |r| &r.reason), "plugin failed; its rows were tried again");
        }
        out.finish(self.generation.columns.ports.iter().map(|p| &p.schema)).map_err(|e| self.failure(e))
    }

    fn run<S: Slots>(
        &mut self,
        rows: &Rows<'_>,
        mut keyed: Option<Keyed<'_, S>>,
        out: &mut Outcome,
    ) -> Result<(), Failure> {
        let all = 0..rows.batch.rows();
        if all.is_empty() {
            return Ok(());
        }
        match self.attempt(rows, &mut keyed, all.clone(), self.limits.deadline, out) {
            Ok(()) => Ok(()),
            Err(fault) => self.isolate(rows, &mut keyed, all, fault, out),
        }
    }

    /// Rows with a null where the plugin reads none: they cannot be given to it.
    fn nulls(&self, batch: &Batch) -> Vec<RowRejected> {
        let said = self.generation.plugin.description();
        let columns = said.inputs.fields().iter().zip(&self.generation.columns.inputs);
        let never_null = columns.filter(|(field, _)| !field.is_nullable());
        let arrays =
            never_null.filter_map(|(field, &at)| Some((field.name().as_str(), batch.columns.columns().get(at)?)));
        emit::nulls(arrays, self.generation.plugin.label())
    }

    pub(super) fn failure(&self, message: impl ToString) -> Failure {
        failure(&self.config, &self.generation.plugin, message)
    }
}

/// Rows that are not rejected.
fn kept(rows: usize, rejected: &[RowRejected]) -> Vec<u32> {
    let mut rejected = rejected.iter().map(|r| r.row).peekable();
    (0..rows as u32).filter(|row| rejected.next_if_eq(row).is_none()).collect()
}
