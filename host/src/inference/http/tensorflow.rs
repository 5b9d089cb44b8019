//! TensorFlow Serving's REST, by rows (also KServe v1):
//!
//! ```text
//! POST /v1/models/{model}[/versions/{number} | /labels/{label}]:predict
//! {"signature_name":"serving_default","instances":[[1.0,2.0,3.0],[4.0,5.0,6.0]]}
//! {"predictions":[[0.1],[0.9]]}
//! ```
//!
//! A reply may hold the tokens NaN and Infinity, which are taken as such. A row with them is not
//! sent: KServe's servers refuse the whole request for it.

use serde::de::MapAccess;

use super::lenient;
use super::object::{Fields, Object, read};
use super::oip::not_finite;
use super::protocol::{Encoded, Head, Inputs, Protocol, Reply, ReplyError, Unsendable, Wants};
use super::tensor::{Collect, Tensor, outputs};
use super::text::{segment, write_numbers, write_string};
use crate::inference::external::PredictionType;

/// `tensorflow`.
#[derive(Debug)]
pub struct TensorFlow {
    path: String,
    /// Up to the rows.
    before: Vec<u8>,
    prediction: PredictionType,
}

impl TensorFlow {
    /// Asks `version` of `model`, a number or a label, or the newest.
    pub fn new(model: &str, version: Option<&str>, signature: Option<&str>, prediction: PredictionType) -> Self {
        let base = match version {
            Some(number) if number.bytes().all(|b| b.is_ascii_digit()) => {
                format!("/v1/models/{}/versions/{number}", segment(model))
            }
            Some(label) => format!("/v1/models/{}/labels/{}", segment(model), segment(label)),
            None => format!("/v1/models/{}", segment(model)),
        };
        let mut before = b"{".to_vec();
        if let Some(signature) = signature {
            before.extend_from_slice(b"\"signature_name\":");
            write_string(signature, &mut before);
            before.push(b',');
        }
        before.extend_from_slice(b"\"instances\":");
        Self { path: format!("{base}:predict"), before, prediction }
    }
}

/// Appends `values` as an array of rows.
pub(super) fn write_rows(values: &[f32], width: usize, out: &mut Vec<u8>) -> Result<(), Unsendable> {
    out.push(b'[');
    for (row, numbers) in values.chunks(width.max(1)).enumerate() {
        out.extend_from_slice(if row == 0 { b"[" } else { b",[" });
        write_numbers(numbers, out).map_err(|_| not_finite(values, width, ""))?;
        out.push(b']');
    }
    out.push(b']');
    Ok(())
}

struct Parsed {
    predictions: Option<Tensor>,
    prediction: PredictionType,
}

impl Fields for Parsed {
    fn field<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        if name == "predictions" {
            map.next_value_seed(Collect::into(self.predictions.insert(Tensor::default()), self.prediction))?;
        }
        Ok(name == "predictions")
    }
}

impl Protocol for TensorFlow {
    fn wants(&self) -> Wants {
        Wants::Tensor
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn encode(&self, inputs: Inputs<'_>, _: &str, out: &mut Vec<u8>) -> Result<Encoded, Unsendable> {
        let Inputs::Tensor { values, width, .. } = inputs else { return Err(inputs.foreign("numbers")) };
        out.extend_from_slice(&self.before);
        write_rows(values, width, out)?;
        out.push(b'}');
        Ok(Encoded::default())
    }

    fn decode(&self, _: &Head, body: &[u8], rows: usize) -> Result<Reply, ReplyError> {
        let parsed = lenient::parse(body, |body| {
            let mut parsed = Parsed { predictions: None, prediction: self.prediction };
            read(body, Object(&mut parsed)).map(|()| parsed)
        })
        .map_err(|error| ReplyError::json(&error))?;
        let tensor = parsed.predictions.ok_or_else(|| ReplyError::bad("no `predictions` in the reply"))?;
        let shape: Vec<usize> = tensor.shape().collect();
        Ok(Reply { outputs: outputs(tensor, shape, rows, self.prediction)?, model_version: None })
    }
}

#[cfg(test)]
mod tests;
