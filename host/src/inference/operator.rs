//! The inference operator of one worker: a batch in, the same rows with a prediction out.
//!
//! A row is rejected, with its reason, when one of its features is null or when its prediction is
//! not a finite number. A NaN or an infinity among the features is handed to the model, as some
//! models read NaN as "unknown". Everything else goes on, in order.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;

use super::features::{Changed, Rows};
use super::provenance::Provenance;
use super::{Binding, Error, Session};
use crate::record::Batch;

/// What became of a batch.
#[derive(Debug)]
pub struct Outcome {
    /// The rows that have a prediction, in the order of the input.
    pub batch: Batch,
    /// The other rows: index in the input batch, ascending, and the reason.
    pub rejected: Vec<(u32, String)>,
}

/// The operator.
pub struct Operator {
    binding: Arc<Binding>,
    session: Session,
    provenance: Option<Provenance>,
    /// Features of the batch in hand, where they had to be gathered.
    gathered: Vec<f32>,
}

impl Operator {
    pub(super) fn open(binding: &Arc<Binding>) -> Result<Self, Error> {
        Ok(Self {
            session: Session::open(&binding.model)?,
            provenance: binding.provenance.then(|| Provenance::new(&binding.model)),
            binding: binding.clone(),
            gathered: Vec::new(),
        })
    }

    /// Columns of the output; see [`Binding::output_schema`].
    pub fn output_schema(&self) -> &SchemaRef {
        &self.binding.schema
    }

    /// Scores a batch, in calls of at most `max_batch` rows.
    ///
    /// # Errors
    /// [`Error::Run`] when the model fails, or when the batch is not of the schema that was bound.
    pub fn process(&mut self, batch: &Batch) -> Result<Outcome, Error> {
        if batch.is_empty() {
            return Ok(Outcome { batch: Batch::empty(self.binding.schema.clone()), rejected: Vec::new() });
        }
        let binding = &*self.binding;
        let (width, outputs) = (binding.model.width(), binding.model.outputs());
        let fail = |reason: String| Error::Run { model: binding.model.name().to_owned(), rows: batch.rows(), reason };
        let rows = binding
            .features
            .read(&batch.columns, width, &mut self.gathered)
            .map_err(|Changed| fail("the batch is not of the schema that was checked".into()))?;
        let (features, kept, mut rejected) = match rows {
            Rows::Borrowed(features) => (features, None, Vec::new()),
            Rows::Gathered => (self.gathered.as_slice(), None, Vec::new()),
            Rows::Some { kept, rejected } => (self.gathered.as_slice(), Some(kept), rejected),
        };

        let mut scores = Vec::with_capacity(features.len() / width * outputs);
        for chunk in features.chunks(binding.max_batch * width) {
            self.session.predict(chunk, chunk.len() / width, &mut scores)?;
        }

        let kept = keep_finite(&mut scores, outputs, kept, &mut rejected);
        let kept = match kept {
            None => batch.clone(),
            Some(kept) => batch.take(&UInt32Array::from(kept)).map_err(|e| fail(e.to_string()))?,
        };
        let mut columns = kept.columns.columns().to_vec();
        columns.push(prediction(scores, binding).map_err(|e| fail(e.to_string()))?);
        if let Some(provenance) = &mut self.provenance {
            columns.extend(provenance.columns(kept.rows()));
        }
        let columns = RecordBatch::try_new(binding.schema.clone(), columns).map_err(|e| fail(e.to_string()))?;
        Ok(Outcome { batch: Batch { columns, ..kept }, rejected })
    }
}

/// Moves rows whose prediction is not finite from `kept` (all rows, when `None`) to `rejected`.
fn keep_finite(
    scores: &mut Vec<f32>,
    outputs: usize,
    kept: Option<Vec<u32>>,
    rejected: &mut Vec<(u32, String)>,
) -> Option<Vec<u32>> {
    if scores.iter().all(|score| score.is_finite()) {
        return kept;
    }
    let scored = kept.unwrap_or_else(|| (0..(scores.len() / outputs) as u32).collect());
    let (mut finite, mut still) = (Vec::with_capacity(scores.len()), Vec::with_capacity(scored.len()));
    for (prediction, row) in scores.chunks_exact(outputs).zip(scored) {
        match prediction.iter().find(|score| !score.is_finite()) {
            None => {
                finite.extend_from_slice(prediction);
                still.push(row);
            }
            Some(score) => rejected.push((row, format!("the model's prediction is {score}, not a finite number"))),
        }
    }
    rejected.sort_unstable_by_key(|(row, _)| *row);
    *scores = finite;
    Some(still)
}

/// Predictions as a column: `f32`, or `f32[K]`.
fn prediction(scores: Vec<f32>, binding: &Binding) -> Result<ArrayRef, ArrowError> {
    let values = Float32Array::from(scores);
    let at = binding.prediction;
    match binding.schema.fields().get(at).map(|field| field.data_type()) {
        Some(DataType::FixedSizeList(item, size)) => {
            Ok(Arc::new(FixedSizeListArray::try_new(item.clone(), *size, Arc::new(values), None)?))
        }
        _ => Ok(Arc::new(values)),
    }
}
