//! The dataflow's operators, made of plugins and models.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::dataflow::{AsyncFactory, AsyncOperator, Completions, Emitted, Operator, Submission, Times};
use crate::inference;
use crate::inference::external::{ExternalBinding, ExternalOperator, ExternalStats};
use crate::operator::{Increment, Keyed, NoSlots, Outcome, Runner, Slots};
use crate::record::{Batch, KeyHash, hash_keys};
use crate::rollout::{Generation, Generations};
use crate::state::{DirtySlots, KeyColumn, Keys, SlotCache};

/// A plugin operator on one worker.
pub(super) struct PluginNode {
    pub runner: Runner,
    pub keyed: Option<KeyedState>,
    pub generations: Arc<Generations>,
    /// Index in `generations`.
    pub index: usize,
    pub current: Arc<Generation>,
    /// Name of the column that takes the generation's number, and the output schemas with it.
    pub stamp: Option<Vec<SchemaRef>>,
    pub outcome: Outcome,
    /// Why the generation of this epoch could not take over here. Other workers run it already, so
    /// the pipeline must not go on with two.
    pub broken: Option<String>,
}

/// The keyed state of an operator on one worker.
pub(super) struct KeyedState {
    /// Column of the key in the operator's input.
    pub column: usize,
    pub cache: SlotCache,
    pub hashes: Vec<KeyHash>,
    pub rows: Vec<u32>,
}

/// The keys of a batch as the plugin host sees them: neither `state` nor `operator` knows the other.
impl Slots for Keys<'_> {
    fn get(&self, key_index: u32) -> Option<(u32, &[u8])> {
        Keys::get(self, key_index as usize)
    }

    fn key(&self, key_index: u32) -> &[u8] {
        Keys::key(self, key_index as usize)
    }

    fn put(&mut self, key_index: u32, version: u32, slot: &[u8]) {
        Keys::put(self, key_index as usize, version, slot);
    }

    fn delete(&mut self, key_index: u32) {
        Keys::delete(self, key_index as usize);
    }
}

impl Operator for PluginNode {
    fn process(&mut self, batch: &Batch, times: Times, emitted: &mut Emitted) -> Result<(), String> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        let outcome = &mut self.outcome;
        match &mut self.keyed {
            None => {
                let unkeyed: Option<Keyed<'_, NoSlots>> = None;
                self.runner.process(batch, unkeyed, times.watermark, times.processing, outcome)
            }
            Some(state) => {
                let column = batch.columns.column(state.column);
                state.hashes.clear();
                let keys = KeyColumn::new(column.as_ref()).filter(|_| hash_keys(column, &mut state.hashes));
                let keys = keys.ok_or_else(|| format!("a column of type {} cannot be a key", column.data_type()))?;
                let newest = batch.event_times.iter().copied().max().unwrap_or(times.watermark);
                let mut slots =
                    state.cache.begin(&state.hashes, &keys, times.watermark, newest).map_err(|e| e.to_string())?;
                state.rows.clear();
                state.rows.extend_from_slice(slots.row_index());
                let keyed = Keyed { rows: &state.rows, keys: slots.len() as u32, slots: &mut slots };
                self.runner.process(batch, Some(keyed), times.watermark, times.processing, outcome)
            }
        }
        .map_err(|fatal| fatal.to_string())?;
        self.current.add_rows(batch.rows() as u64);
        let counted = |c: &Increment| c.whole > 0 || c.fraction != 0.0;
        if outcome.counters.iter().any(counted) {
            self.current.add_counters(outcome.counters.iter().map(|c| c.whole as f64 + c.fraction));
        }
        emitted.rejected.extend(outcome.rejected.drain(..).map(|r| (r.row, r.reason)));
        for (port, rows) in outcome.ports.drain(..).enumerate() {
            let rows = match &self.stamp {
                Some(schemas) => stamp(rows, &schemas[port], self.current.number)?,
                None => rows,
            };
            emitted.outputs.push((port, rows));
        }
        Ok(())
    }

    fn hand_over(&mut self, epoch: u64) -> Option<DirtySlots> {
        self.keyed.as_mut().map(|k| k.cache.hand_over(epoch))
    }

    fn applied(&mut self, epoch: u64) {
        if let Some(keyed) = &mut self.keyed {
            keyed.cache.applied(epoch);
        }
    }

    fn begin_epoch(&mut self, epoch: u64) {
        let Some(next) = self.generations.at(self.index, epoch) else { return };
        if next.number == self.current.number {
            return;
        }
        // The generation was opened with this configuration before it was proposed, so this fails
        // only when the machine does.
        match self.runner.replace(Arc::clone(&next.plugin)) {
            Ok(()) => {
                if let (Some(keyed), Some(state)) = (&mut self.keyed, next.plugin.description().state) {
                    keyed.cache.set_ttl(state.ttl_ms);
                }
                self.current = next;
            }
            Err(error) => self.broken = Some(format!("generation {} cannot take over: {error}", next.number)),
        }
    }

    fn needs_barrier(&self) -> bool {
        self.keyed.as_ref().is_some_and(|k| k.cache.needs_barrier())
    }
}

/// The schema with the column of the generation's number.
pub(super) fn stamped(schema: &Schema, column: &str) -> SchemaRef {
    let own = Arc::new(Field::new(column, DataType::UInt32, false));
    Arc::new(Schema::new(schema.fields().iter().cloned().chain([own]).collect::<Vec<_>>()))
}

fn stamp(mut rows: Batch, schema: &SchemaRef, number: u32) -> Result<Batch, String> {
    let mut columns = rows.columns.columns().to_vec();
    columns.push(Arc::new(UInt32Array::from_value(number, rows.rows())) as ArrayRef);
    rows.columns = RecordBatch::try_new(Arc::clone(schema), columns).map_err(|e| e.to_string())?;
    Ok(rows)
}

/// An inference operator on one worker.
pub(super) struct InferenceNode(pub inference::Operator);

impl Operator for InferenceNode {
    fn process(&mut self, batch: &Batch, _: Times, emitted: &mut Emitted) -> Result<(), String> {
        let outcome = self.0.process(batch).map_err(|e| e.to_string())?;
        emitted.rejected.extend(outcome.rejected);
        emitted.outputs.push((0, outcome.batch));
        Ok(())
    }
}

/// An inference operator that answers later.
struct ExternalNode(ExternalOperator);

impl AsyncOperator for ExternalNode {
    fn room(&self) -> usize {
        self.0.room()
    }

    fn submit(&mut self, Submission { rows, first, source, partition }: Submission) {
        self.0.submit(&rows, first, &source, &partition);
    }

    fn emit(&mut self, ids: &[u64], rows: &Batch, emitted: &mut Emitted) -> Result<(), String> {
        let done = self.0.emit(ids, rows)?;
        emitted.rejected.extend(done.rejected);
        emitted.outputs.push((0, done.rows));
        Ok(())
    }
}

/// Makes it on the thread of its hub.
pub(super) fn external(binding: &Arc<ExternalBinding>, stats: &Arc<ExternalStats>) -> AsyncFactory {
    let (binding, stats) = (Arc::clone(binding), Arc::clone(stats));
    Box::new(move |completions: Completions| {
        let nudged = completions.clone();
        let done = move |ids: &mut dyn Iterator<Item = u64>| completions.complete(ids);
        let opened = binding.open(stats, done, move || nudged.nudge())?;
        Ok(Box::new(ExternalNode(opened)) as Box<dyn AsyncOperator>)
    })
}
