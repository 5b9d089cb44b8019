//! The log of requests, a share of them: what was asked and what was answered, as one structured line
//! under the target `millstream::inference`.

use std::time::Duration;

use super::answer::{Prediction, PredictionSource};
use super::rows::Row;
use crate::inference::resilience::Sample;

/// Longest text of features or prediction that is logged, in bytes.
const MAX_TEXT: usize = 4 << 10;

pub(super) struct RequestLog {
    sample: Sample,
    operator: String,
    model: String,
    version: Option<String>,
}

impl RequestLog {
    /// Logs this share of rows, chosen by where they came from, and not as those that are sent.
    pub(super) fn new(share: f64, operator: &str, model: &str, version: Option<&str>) -> Self {
        let (operator, model) = (operator.to_owned(), model.to_owned());
        Self { sample: Sample::new(share).apart(), operator, model, version: version.map(str::to_owned) }
    }

    pub(super) fn request(
        &self,
        row: &Row,
        prediction: &Prediction,
        version: Option<&str>,
        source: PredictionSource,
        latency: Duration,
        endpoint: usize,
    ) {
        if !self.sample.has_place(row.of.partition, row.place()) {
            return;
        }
        let output = match (prediction.numbers(), prediction.text()) {
            (Some(numbers), _) => format!("{numbers:?}"),
            (None, Some(text)) => text.to_owned(),
            (None, None) => String::new(),
        };
        tracing::info!(
            target: "millstream::inference",
            operator = self.operator,
            model = self.model,
            version = version.or(self.version.as_deref()).unwrap_or_default(),
            // The same for a row whenever it is read again.
            trace_id = format_args!("{:016x}{:016x}", row.of.partition, row.place()),
            features = cut(&row.features_json()),
            output = cut(&output),
            source = source.as_str(),
            latency_us = super::stats::micros(latency),
            endpoint,
            "request"
        );
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}
