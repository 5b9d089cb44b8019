//! An operator and its input, checked against each other before any row is read.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};

use super::columns::Columns;
use super::dispatch::Done;
use super::http::Http;
use super::inputs::Inputs;
use super::operator::ExternalOperator;
use super::stats::ExternalStats;
use super::thread::Thread;
use super::{ExternalConfig, Order, Place, PredictionType};
use crate::inference::http::Wants;
use crate::inference::{Error, Model};
use crate::record::format_type;

/// An operator that fits its input.
#[derive(Debug)]
pub struct ExternalBinding {
    pub(super) config: ExternalConfig,
    pub(super) inputs: Inputs,
    pub(super) columns: Columns,
    pub(super) prediction: PredictionType,
    /// Embedded models that it uses, by name.
    pub(super) models: Vec<(String, Arc<Model>)>,
    pub(super) when: Option<usize>,
    pub(super) key: Option<usize>,
}

impl ExternalBinding {
    /// Checks that the operator's input can be sent. `models` are the embedded models of the pipeline.
    ///
    /// # Errors
    /// [`Error::Mismatch`] with both sides and the fix.
    pub fn bind(
        config: &ExternalConfig,
        input: &Schema,
        models: impl Fn(&str) -> Option<Arc<Model>>,
    ) -> Result<Self, Error> {
        let fail = |reason: String| Error::Mismatch { operator: config.name.clone(), reason };
        let (wants, prediction) = match &config.place {
            Place::Endpoint(e) => {
                // As it will be opened: what is wrong with it is found here.
                (Http::open(config, e).map_err(fail)?.wants(), e.prediction)
            }
            Place::Thread(_) => {
                let model =
                    models(&config.model).ok_or_else(|| fail(format!("there is no model `{}`", config.model)))?;
                (Wants::Tensor, PredictionType::Numbers(model.outputs()))
            }
        };
        let mut inputs = Inputs::of(input, &config.features, wants).map_err(fail)?;
        let mut used = Vec::new();
        for name in config.embedded_models() {
            let model = models(name).ok_or_else(|| fail(format!("there is no model `{name}`")))?;
            fits(&model, &inputs, prediction).map_err(fail)?;
            inputs.know_width(model.width());
            used.push((name.to_owned(), model));
        }
        let column = |name: &Option<String>, what: &str, fits: fn(&DataType) -> bool, wanted: &str| {
            let Some(name) = name else { return Ok(None) };
            match input.column_with_name(name) {
                Some((index, field)) if fits(field.data_type()) => Ok(Some(index)),
                Some((_, field)) => Err(fail(format!(
                    "`{what}` names column `{name}`, which is {}; it must be {wanted}",
                    format_type(field.data_type())
                ))),
                None => Err(fail(format!("`{what}` names column `{name}`, which its input does not have"))),
            }
        };
        let is_key = |t: &DataType| {
            matches!(
                t,
                DataType::Utf8
                    | DataType::Binary
                    | DataType::Int32
                    | DataType::Int64
                    | DataType::UInt32
                    | DataType::UInt64
                    | DataType::Timestamp(_, _)
            )
        };
        let when = column(&config.when, "when", |t| *t == DataType::Boolean, "bool")?;
        let key = column(&config.key, "key", is_key, "text, binary, an integer or a timestamp")?;
        if key.is_none() && config.order == Order::Key {
            return Err(fail("`order = \"key\"` needs the column in `key`".into()));
        }
        let columns = Columns::new(input, config, prediction).map_err(fail)?;
        Ok(Self { config: config.clone(), inputs, columns, prediction, models: used, when, key })
    }

    /// The settings.
    pub fn config(&self) -> &ExternalConfig {
        &self.config
    }

    /// Index of the key among the columns of the input.
    pub fn key(&self) -> Option<usize> {
        self.key
    }

    /// Columns of the output: those of its input, the prediction, and with provenance where it came
    /// from. The prediction is null where the row was not to be sent.
    pub fn output_schema(&self) -> &SchemaRef {
        &self.columns.schema
    }

    /// Counters for it.
    pub fn stats(&self) -> ExternalStats {
        ExternalStats::new(match &self.config.place {
            Place::Endpoint(e) => e.urls.clone(),
            Place::Thread(_) => vec![String::new()],
        })
    }

    /// Opens it on the thread that will use it, on which tokio runs local tasks. `done` is called with
    /// the numbers of rows that are answered, `nudge` when there may be room for more.
    ///
    /// # Errors
    /// When the model or the way to it cannot be opened.
    pub fn open(
        self: &Arc<Self>,
        stats: Arc<ExternalStats>,
        done: impl Fn(&mut dyn Iterator<Item = u64>) + 'static,
        nudge: impl Fn() + 'static,
    ) -> Result<ExternalOperator, String> {
        let (done, nudge): (Done, Box<dyn Fn()>) = (Box::new(done), Box::new(nudge));
        match &self.config.place {
            Place::Endpoint(endpoint) => {
                let http = Http::open(&self.config, endpoint)?;
                ExternalOperator::open(self, http, stats, done, nudge)
            }
            Place::Thread(thread) => {
                let (_, model) = self.models.first().ok_or("there is no model")?;
                let thread = Thread::open(model, thread)?;
                stats.endpoints.iter().for_each(|e| e.call_it(thread.provider()));
                ExternalOperator::open(self, thread, stats, done, nudge)
            }
        }
    }
}

/// Whether an embedded model takes what is sent and answers what is promised.
fn fits(model: &Model, inputs: &Inputs, prediction: PredictionType) -> Result<(), String> {
    let Inputs::Tensor(_, width) = inputs else {
        return Err(format!("model `{}` takes numbers, and `features` are none", model.name()));
    };
    if width.is_some_and(|width| width != model.width()) {
        let has = width.unwrap_or_default();
        return Err(format!("`features` has {has} values, but model `{}` takes f32[{}]", model.name(), model.width()));
    }
    match prediction {
        PredictionType::Numbers(n) if n == model.outputs() => Ok(()),
        PredictionType::Numbers(n) => {
            Err(format!("model `{}` gives {} predictions a row, and not {n}", model.name(), model.outputs()))
        }
        PredictionType::Text => Err(format!("model `{}` gives numbers, and the prediction is text", model.name())),
    }
}
