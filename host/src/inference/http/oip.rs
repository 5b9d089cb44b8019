//! The Open Inference Protocol v2 over REST, tensors as JSON (KServe, Triton, MLServer, OpenVINO):
//!
//! ```text
//! POST /v2/models/{model}[/versions/{version}]/infer
//! {"id":"42","inputs":[{"name":"features","shape":[2,3],"datatype":"FP32","data":[1.0,…]}],
//!  "outputs":[{"name":"score"}]}
//! {"model_name":"m","model_version":"3","id":"42",
//!  "outputs":[{"name":"score","shape":[2,1],"datatype":"FP32","data":[0.1,0.9]}]}
//! ```
//!
//! A row with NaN or infinity is not sent: servers differ in what they make of it, and most refuse
//! the request. The binary form sends them.

use serde::de::MapAccess;

use super::object::{Fields, Object, Objects, Version, read};
use super::protocol::{BadRow, Encoded, Head, Inputs, Protocol, Reply, ReplyError, Unsendable, Wants};
use super::tensor::{Collect, Tensor, outputs};
use super::text::{segment, write_count, write_numbers, write_string};
use super::{lenient, text};
use crate::inference::external::PredictionType;

/// Outputs of a model at most: none has more than a few.
const MAX_OUTPUTS: usize = 256;

/// `oip-v2`, JSON.
#[derive(Debug)]
pub struct OpenInference {
    path: String,
    /// From behind the id to the shape.
    before_shape: Vec<u8>,
    /// From behind the data to the end.
    after_data: Vec<u8>,
    /// Name of the output that is taken; none takes the first.
    output: Option<String>,
    prediction: PredictionType,
}

impl OpenInference {
    /// Asks `version` of `model`, or the one that the server chooses.
    pub fn new(
        model: &str,
        version: Option<&str>,
        input: &str,
        output: Option<&str>,
        prediction: PredictionType,
    ) -> Self {
        let base = match version {
            Some(version) => format!("/v2/models/{}/versions/{}", segment(model), segment(version)),
            None => format!("/v2/models/{}", segment(model)),
        };
        let mut before_shape = b",\"inputs\":[{\"name\":".to_vec();
        write_string(input, &mut before_shape);
        before_shape.extend_from_slice(b",\"shape\":[");
        let mut after_data = b"]}]".to_vec();
        if let Some(output) = output {
            after_data.extend_from_slice(b",\"outputs\":[{\"name\":");
            write_string(output, &mut after_data);
            after_data.extend_from_slice(b"}]");
        }
        after_data.push(b'}');
        Self { path: format!("{base}/infer"), before_shape, after_data, output: output.map(str::to_owned), prediction }
    }

    /// What is promised of a prediction.
    pub(super) fn prediction(&self) -> PredictionType {
        self.prediction
    }

    /// The request up to its shape, closed.
    pub(super) fn write_head(&self, id: &str, rows: usize, width: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        write_string(id, out);
        out.extend_from_slice(&self.before_shape);
        write_count(rows, out);
        out.push(b',');
        write_count(width, out);
        out.extend_from_slice(b"],\"datatype\":\"FP32\"");
    }

    /// Place of the output that is taken of those of a reply.
    pub(super) fn choose(&self, found: &[Output]) -> Result<usize, ReplyError> {
        if found.is_empty() {
            return Err(ReplyError::bad("no outputs in the reply"));
        }
        let Some(name) = &self.output else { return Ok(0) };
        found.iter().position(|output| output.name == *name).ok_or_else(|| {
            let names = found.iter().map(|output| output.name.as_str()).collect::<Vec<_>>().join("`, `");
            ReplyError::bad(text::one_line(&format!("no output `{name}` in the reply, which has `{names}`")))
        })
    }
}

/// One tensor of a reply.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub name: String,
    pub datatype: String,
    pub shape: Option<Vec<usize>>,
    /// What stands in the JSON.
    pub data: Option<Tensor>,
    /// Bytes of it behind the JSON, in the binary form.
    pub binary_size: Option<usize>,
    prediction: Option<PredictionType>,
}

impl Output {
    pub fn of(prediction: PredictionType) -> Self {
        Self { prediction: Some(prediction), ..Self::default() }
    }
}

impl Fields for Output {
    fn field<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "name" => self.name = map.next_value()?,
            "datatype" => self.datatype = map.next_value()?,
            "shape" => self.shape = Some(map.next_value()?),
            "data" => {
                let prediction = self.prediction.unwrap_or(PredictionType::Text);
                map.next_value_seed(Collect::into(self.data.insert(Tensor::default()), prediction))?;
            }
            "parameters" => {
                let mut parameters = Parameters::default();
                map.next_value_seed(Object(&mut parameters))?;
                self.binary_size = parameters.binary_data_size;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// `parameters` of an output.
#[derive(Default)]
struct Parameters {
    binary_data_size: Option<usize>,
}

impl Fields for Parameters {
    fn field<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        if name == "binary_data_size" {
            self.binary_data_size = Some(map.next_value()?);
        }
        Ok(name == "binary_data_size")
    }
}

/// The JSON of a reply.
#[derive(Debug)]
pub(super) struct Parsed {
    pub version: Version,
    pub outputs: Vec<Output>,
    prediction: PredictionType,
}

impl Parsed {
    /// Reads `json`.
    pub fn of(json: &[u8], prediction: PredictionType) -> Result<Self, ReplyError> {
        lenient::parse(json, |json| {
            let mut parsed = Self { version: Version::default(), outputs: Vec::new(), prediction };
            read(json, Object(&mut parsed)).map(|()| parsed)
        })
        .map_err(|error| ReplyError::json(&error))
    }
}

impl Fields for Parsed {
    fn field<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "model_version" => self.version = map.next_value()?,
            "outputs" => {
                let prediction = self.prediction;
                let reader = || Output::of(prediction);
                map.next_value_seed(Objects { into: &mut self.outputs, max: MAX_OUTPUTS, reader })?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// The rows of `values` that hold what JSON cannot say, after one was found.
#[cold]
pub(super) fn not_finite(values: &[f32], width: usize, advice: &str) -> Unsendable {
    let rows = values.chunks(width.max(1)).enumerate().filter_map(|(row, numbers)| {
        let at = numbers.iter().position(|number| !number.is_finite())?;
        let reason = format!("number {} of its features is {}, which JSON cannot say{advice}", at + 1, numbers[at]);
        Some(BadRow { row, reason })
    });
    Unsendable { rows: rows.collect() }
}

impl Protocol for OpenInference {
    fn wants(&self) -> Wants {
        Wants::Tensor
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn encode(&self, inputs: Inputs<'_>, id: &str, out: &mut Vec<u8>) -> Result<Encoded, Unsendable> {
        let Inputs::Tensor { values, rows, width } = inputs else { return Err(inputs.foreign("numbers")) };
        self.write_head(id, rows, width, out);
        out.extend_from_slice(b",\"data\":[");
        write_numbers(values, out).map_err(|_| not_finite(values, width, "; `binary = true` can"))?;
        out.extend_from_slice(&self.after_data);
        Ok(Encoded::default())
    }

    fn decode(&self, _: &Head, body: &[u8], rows: usize) -> Result<Reply, ReplyError> {
        let mut parsed = Parsed::of(body, self.prediction)?;
        let at = self.choose(&parsed.outputs)?;
        let output = std::mem::take(&mut parsed.outputs[at]);
        let tensor = output.data.ok_or_else(|| ReplyError::bad("an output without `data`"))?;
        let shape = output.shape.ok_or_else(|| ReplyError::bad("an output without `shape`"))?;
        let outputs = outputs(tensor, shape, rows, self.prediction)?;
        Ok(Reply { outputs, model_version: parsed.version.0 })
    }
}

#[cfg(test)]
mod tests;
