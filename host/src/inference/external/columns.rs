//! The columns that the operator adds.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeListBuilder, Float32Builder, Float64Builder, RecordBatch, StringBuilder, UInt32Array,
    UInt32Builder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;

use super::answer::{Answer, PredictionSource};
use super::{ExternalConfig, PredictionType};
use crate::record::{Batch, parse_type};

/// Names of the columns that provenance adds.
const PROVENANCE: [(&str, DataType, bool); 6] = [
    ("prediction_source", DataType::Utf8, false),
    ("error_class", DataType::Utf8, true),
    ("model_name", DataType::Utf8, true),
    ("model_version", DataType::Utf8, true),
    ("attempts", DataType::UInt32, false),
    ("latency_ms", DataType::Float64, false),
];

/// What the operator adds to its rows.
#[derive(Debug)]
pub(super) struct Columns {
    pub schema: SchemaRef,
    prediction: PredictionType,
    item: Option<Arc<Field>>,
    provenance: bool,
    model: String,
    version: Option<String>,
}

impl Columns {
    /// Behind those of the input: the prediction, and with provenance where it came from.
    pub(super) fn new(input: &Schema, config: &ExternalConfig, prediction: PredictionType) -> Result<Self, String> {
        let data_type = match prediction {
            PredictionType::Text => DataType::Utf8,
            PredictionType::Numbers(1) => DataType::Float32,
            PredictionType::Numbers(n) => {
                parse_type(&format!("f32[{n}]")).ok_or_else(|| format!("{n} predictions a row are too many"))?
            }
        };
        let item = match &data_type {
            DataType::FixedSizeList(item, _) => Some(Arc::clone(item)),
            _ => None,
        };
        let mut fields: Vec<Arc<Field>> = input.fields().iter().cloned().collect();
        let mut add = |name: &str, data_type, nullable, fix: &str| {
            if fields.iter().any(|field| field.name() == name) {
                return Err(format!("its input has a column `{name}` already; {fix}"));
            }
            fields.push(Arc::new(Field::new(name, data_type, nullable)));
            Ok(())
        };
        add(&config.output, data_type, true, "choose another name with `output`")?;
        if config.provenance {
            for (name, data_type, nullable) in PROVENANCE {
                let fix = "set `prefix`, which stands before the names of these columns, or `provenance = false`";
                add(&format!("{}{name}", config.prefix), data_type, nullable, fix)?;
            }
        }
        Ok(Self {
            schema: Arc::new(Schema::new(fields)),
            prediction,
            item,
            provenance: config.provenance,
            model: config.model.clone(),
            version: config.version.clone(),
        })
    }

    /// The rows with what was answered, and those that were rejected.
    pub(super) fn add(&self, rows: &Batch, answers: &[Answer]) -> Result<(Batch, Vec<(u32, String)>), ArrowError> {
        let failed = |(row, answer): (usize, &Answer)| {
            answer.source.as_ref().err().map(|reason| (row as u32, reason.to_string()))
        };
        let rejected: Vec<(u32, String)> = answers.iter().enumerate().filter_map(failed).collect();
        let rows = match rejected.is_empty() {
            true => rows.clone(),
            false => {
                let kept = (0..answers.len() as u32).filter(|&row| answers[row as usize].source.is_ok());
                rows.take(&UInt32Array::from_iter_values(kept))?
            }
        };
        let kept = || answers.iter().filter(|a| a.source.is_ok());
        let mut columns = rows.columns.columns().to_vec();
        columns.push(self.predictions(kept()));
        if self.provenance {
            columns.extend(self.provenance(kept()));
        }
        let columns = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        Ok((Batch { columns, ..rows }, rejected))
    }

    fn predictions<'a>(&self, answers: impl Iterator<Item = &'a Answer>) -> ArrayRef {
        match self.prediction {
            PredictionType::Text => {
                let mut column = StringBuilder::new();
                answers.for_each(|a| column.append_option(a.prediction.text()));
                Arc::new(column.finish())
            }
            PredictionType::Numbers(1) => {
                let mut column = Float32Builder::new();
                answers.for_each(|a| column.append_option(a.prediction.numbers().and_then(|n| n.first().copied())));
                Arc::new(column.finish())
            }
            PredictionType::Numbers(width) => {
                let mut column = FixedSizeListBuilder::new(Float32Builder::new(), width as i32);
                if let Some(item) = &self.item {
                    column = column.with_field(Arc::clone(item));
                }
                for answer in answers {
                    let numbers = answer.prediction.numbers().filter(|n| n.len() == width);
                    match numbers {
                        Some(numbers) => column.values().append_slice(numbers),
                        None => column.values().append_slice(&vec![0.0; width]),
                    }
                    column.append(numbers.is_some());
                }
                Arc::new(column.finish())
            }
        }
    }

    fn provenance<'a>(&self, answers: impl Iterator<Item = &'a Answer>) -> [ArrayRef; 6] {
        let (mut sources, mut errors) = (StringBuilder::new(), StringBuilder::new());
        let (mut names, mut versions) = (StringBuilder::new(), StringBuilder::new());
        let (mut attempts, mut latencies) = (UInt32Builder::new(), Float64Builder::new());
        for answer in answers {
            let source = answer.source.as_ref().copied().unwrap_or(PredictionSource::Skipped);
            sources.append_value(source.as_str());
            errors.append_option(answer.error.map(|e| e.as_str()));
            let none = matches!(source, PredictionSource::Skipped | PredictionSource::Constant);
            names.append_option((!none).then(|| answer.model.as_deref().unwrap_or(&self.model)));
            let version = answer.version.as_deref().or(self.version.as_deref().filter(|_| answer.model.is_none()));
            versions.append_option(version.filter(|_| !none));
            attempts.append_value(answer.attempts);
            latencies.append_value(answer.latency.as_secs_f64() * 1e3);
        }
        [
            Arc::new(sources.finish()),
            Arc::new(errors.finish()),
            Arc::new(names.finish()),
            Arc::new(versions.finish()),
            Arc::new(attempts.finish()),
            Arc::new(latencies.finish()),
        ]
    }
}
