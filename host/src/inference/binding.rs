//! A binding: a model and the columns of one operator's input, checked against each other before any
//! row is read.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::features::Features;
use super::{Error, Model, Operator, OperatorConfig};
use crate::record::{format_type, parse_type};

/// Columns that provenance adds.
pub(super) const PROVENANCE: [&str; 3] = ["model_name", "model_version", "model_sha256"];

/// A model that fits an operator.
#[derive(Debug)]
pub struct Binding {
    /// Index of the prediction among the output's columns.
    pub(super) prediction: usize,
    pub(super) model: Arc<Model>,
    pub(super) features: Features,
    pub(super) schema: SchemaRef,
    pub(super) max_batch: usize,
    pub(super) provenance: bool,
}

impl Model {
    /// Checks that the operator's input can be scored by this model.
    ///
    /// # Errors
    /// [`Error::Mismatch`] with both sides and the fix.
    pub fn bind(self: &Arc<Self>, input: &Schema, config: &OperatorConfig) -> Result<Binding, Error> {
        let fail = |reason| Error::Mismatch { operator: config.name.clone(), reason };
        let features = self.match_features(input, config).map_err(fail)?;
        let prediction =
            if self.outputs() == 1 { Some(DataType::Float32) } else { parse_type(&format!("f32[{}]", self.outputs())) };
        let prediction =
            prediction.ok_or_else(|| fail(format!("{} predictions a row are too many", self.outputs())))?;
        let mut fields: Vec<Arc<Field>> = input.fields().iter().cloned().collect();
        let mut add = |name: &str, data_type, fix: &str| {
            if fields.iter().any(|field| field.name() == name) {
                return Err(fail(format!("its input has a column `{name}` already; {fix}")));
            }
            fields.push(Arc::new(Field::new(name, data_type, false)));
            Ok(())
        };
        add(&config.output, prediction, "choose another name with `output`")?;
        if config.provenance {
            for name in PROVENANCE {
                add(name, DataType::Utf8, "set `provenance = false` here or in the operator before")?;
            }
        }
        Ok(Binding {
            prediction: input.fields().len(),
            model: self.clone(),
            features,
            schema: Arc::new(Schema::new(fields)),
            max_batch: config.max_batch.max(1),
            provenance: config.provenance,
        })
    }

    fn match_features(&self, input: &Schema, config: &OperatorConfig) -> Result<Features, String> {
        let columns: Vec<(usize, &Field)> = config
            .features
            .iter()
            .map(|name| {
                input.column_with_name(name).ok_or_else(|| {
                    let names: Vec<&str> = input.fields().iter().map(|f| f.name().as_str()).collect();
                    format!("its input has no column `{name}`; it has {}", names.join(", "))
                })
            })
            .collect::<Result<_, _>>()?;
        if let [(index, field)] = columns[..] {
            match field.data_type() {
                DataType::FixedSizeList(item, n) if *item.data_type() == DataType::Float32 => {
                    return if usize::try_from(*n).is_ok_and(|n| n == self.width()) {
                        Ok(Features::Vector(index))
                    } else {
                        Err(format!(
                            "column `{}` is {}, but model `{}` takes f32[{}]; {}",
                            field.name(),
                            format_type(field.data_type()),
                            self.name(),
                            self.width(),
                            self.advice()
                        ))
                    };
                }
                // The length of such a list is known row by row; a row of another length is rejected.
                DataType::List(item) if *item.data_type() == DataType::Float32 => return Ok(Features::List(index)),
                _ => {}
            }
        }
        if let Some((_, field)) =
            columns.iter().find(|(_, f)| !matches!(f.data_type(), DataType::Float32 | DataType::Float64))
        {
            return Err(format!(
                "column `{}` is {}; `features` wants one column of type f32[{}] or list<f32>, or {} columns of type \
                 f32 or f64",
                field.name(),
                format_type(field.data_type()),
                self.width(),
                self.width()
            ));
        }
        if columns.len() != self.width() {
            return Err(format!(
                "`features` names {} columns, but model `{}` takes f32[{}]; {}",
                columns.len(),
                self.name(),
                self.width(),
                self.advice()
            ));
        }
        // Names are known on both sides only here: a vector column carries none.
        let named = self.features().unwrap_or_default().iter().zip(&config.features).enumerate();
        if let Some((place, (model, column))) = named.into_iter().find(|(_, (model, column))| model != column) {
            return Err(format!(
                "feature {} of model `{}` is `{model}`, but `features` has column `{column}` there; {}",
                place + 1,
                self.name(),
                self.advice()
            ));
        }
        Ok(Features::Columns(columns.into_iter().map(|(index, _)| index).collect()))
    }

    fn advice(&self) -> String {
        match self.features() {
            Some(names) => format!("it was trained on {}, in this order", names.join(", ")),
            None => "give it the features that it was trained on, or train it on these".into(),
        }
    }
}

impl Binding {
    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Columns of the operator's output: those of its input, the prediction (`f32`, or `f32[K]` for K
    /// predictions a row), and with provenance `model_name`, `model_version` and `model_sha256`.
    pub fn output_schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The operator, for one worker.
    ///
    /// # Errors
    /// [`Error::Model`] when ONNX Runtime cannot make a session.
    pub fn open(self: &Arc<Self>) -> Result<Operator, Error> {
        Operator::open(self)
    }
}
