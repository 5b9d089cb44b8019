//! TorchServe. What a request and a reply hold is up to the model's handler; spoken is what most
//! handlers take and give:
//!
//! ```text
//! POST /predictions/{model}[/{version}]
//! [1.0,2.0,3.0]                one row a request, which the server batches itself, or
//! [[1.0,2.0,3.0],[…]]          a list of rows (`rows = true`)
//! 0.1  |  [0.1]  |  [0.1,0.9]  the prediction of the row, or a list of predictions
//! ```
//!
//! A text may come as JSON or as it is. A row with NaN or infinity is not sent.

use serde::de::IgnoredAny;

use super::lenient;
use super::object::read;
use super::oip::not_finite;
use super::protocol::{Encoded, Head, Inputs, Protocol, Reply, ReplyError, Unsendable, Wants};
use super::tensor::{Collect, Tensor, outputs};
use super::tensorflow::write_rows;
use super::text::{segment, write_numbers};
use crate::inference::external::PredictionType;

/// `torchserve`.
#[derive(Debug)]
pub struct TorchServe {
    path: String,
    /// Whether a request is a list of rows.
    rows: bool,
    prediction: PredictionType,
}

impl TorchServe {
    /// Asks `version` of `model`, or its default.
    pub fn new(model: &str, version: Option<&str>, rows: bool, prediction: PredictionType) -> Self {
        let mut path = format!("/predictions/{}", segment(model));
        if let Some(version) = version {
            path.push('/');
            path.push_str(&segment(version));
        }
        Self { path, rows, prediction }
    }
}

impl Protocol for TorchServe {
    fn wants(&self) -> Wants {
        Wants::Tensor
    }

    fn max_rows(&self) -> usize {
        if self.rows { usize::MAX } else { 1 }
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn encode(&self, inputs: Inputs<'_>, _: &str, out: &mut Vec<u8>) -> Result<Encoded, Unsendable> {
        let Inputs::Tensor { values, rows, width } = inputs else { return Err(inputs.foreign("numbers")) };
        if self.rows {
            write_rows(values, width, out)?;
            return Ok(Encoded::default());
        }
        if rows != 1 {
            return Err(inputs.foreign("one row a request"));
        }
        out.push(b'[');
        write_numbers(values, out).map_err(|_| not_finite(values, width, ""))?;
        out.push(b']');
        Ok(Encoded::default())
    }

    fn decode(&self, _: &Head, body: &[u8], rows: usize) -> Result<Reply, ReplyError> {
        let parsed = lenient::parse(body, |body| {
            let mut tensor = Tensor::default();
            read(body, Collect::into(&mut tensor, self.prediction)).map(|()| tensor)
        });
        let tensor = match (parsed, self.prediction) {
            (Ok(tensor), _) => tensor,
            // Such as `3 cats`, whose beginning is JSON.
            (Err(_), PredictionType::Text) if rows == 1 && serde_json::from_slice::<IgnoredAny>(body).is_err() => {
                let text = std::str::from_utf8(body).map_err(|_| ReplyError::bad("a text that is not UTF-8"))?;
                Tensor::text(text.to_owned())
            }
            (Err(error), _) => return Err(ReplyError::json(&error)),
        };
        let shape: Vec<usize> = tensor.shape().collect();
        Ok(Reply { outputs: outputs(tensor, shape, rows, self.prediction)?, model_version: None })
    }
}

#[cfg(test)]
mod tests;
