//! Embeddings in the manner of OpenAI (vLLM, TEI, SGLang):
//!
//! ```text
//! POST /v1/embeddings
//! {"model":"m","input":["a","b"],"encoding_format":"float"}
//! {"object":"list","model":"m","data":[{"object":"embedding","index":0,"embedding":[0.1,…]},…],
//!  "usage":{…}}
//! ```
//!
//! Vectors are put in order by their `index`, whatever their order in the reply.

use serde::de::MapAccess;

use super::object::{Fields, Object, Objects, Version, read};
use super::protocol::{Encoded, Head, Inputs, Outputs, Protocol, Reply, ReplyError, Unsendable, Wants};
use super::tensor::{Collect, Tensor};
use super::text::write_string;
use super::{lenient, openai};
use crate::inference::external::PredictionType;

/// `openai-embeddings`.
#[derive(Debug)]
pub struct OpenAiEmbeddings {
    /// Up to the texts.
    before: Vec<u8>,
    width: usize,
}

impl OpenAiEmbeddings {
    /// Asks `model` for vectors as long as `prediction` says.
    pub fn new(model: &str, version: Option<&str>, prediction: PredictionType) -> Result<Self, String> {
        openai::no_version(version)?;
        let PredictionType::Numbers(width) = prediction else {
            return Err("an embedding is a vector of numbers, not text".to_owned());
        };
        let mut before = b"{\"model\":".to_vec();
        write_string(model, &mut before);
        before.extend_from_slice(b",\"input\":[");
        Ok(Self { before, width })
    }
}

/// One of `data`.
struct Embedding {
    index: Option<usize>,
    vector: Tensor,
    width: usize,
}

impl Fields for Embedding {
    fn field<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "index" => self.index = Some(map.next_value()?),
            "embedding" => {
                map.next_value_seed(Collect::into(&mut self.vector, PredictionType::Numbers(self.width)))?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

#[derive(Default)]
struct Parsed {
    model: Version,
    data: Vec<Embedding>,
    width: usize,
    rows: usize,
}

impl Fields for Parsed {
    fn field<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "model" => self.model = map.next_value()?,
            "data" => {
                let width = self.width;
                let reader = || Embedding { index: None, vector: Tensor::default(), width };
                map.next_value_seed(Objects { into: &mut self.data, max: self.rows, reader })?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Protocol for OpenAiEmbeddings {
    fn wants(&self) -> Wants {
        Wants::Texts
    }

    fn path(&self) -> &str {
        "/v1/embeddings"
    }

    fn encode(&self, inputs: Inputs<'_>, _: &str, out: &mut Vec<u8>) -> Result<Encoded, Unsendable> {
        let Inputs::Texts(texts) = inputs else { return Err(inputs.foreign("text")) };
        out.extend_from_slice(&self.before);
        for (row, text) in texts.iter().enumerate() {
            if row > 0 {
                out.push(b',');
            }
            write_string(text, out);
        }
        out.extend_from_slice(b"],\"encoding_format\":\"float\"}");
        Ok(Encoded::default())
    }

    fn decode(&self, _: &Head, body: &[u8], rows: usize) -> Result<Reply, ReplyError> {
        let width = self.width;
        let parsed = lenient::parse(body, |body| {
            let mut parsed = Parsed { width, rows, ..Parsed::default() };
            read(body, Object(&mut parsed)).map(|()| parsed)
        })
        .map_err(|error| ReplyError::json(&error))?;
        let mut data = parsed.data;
        if data.len() != rows {
            return Err(ReplyError::bad(format!("{} embeddings for {rows} texts", data.len())));
        }
        data.sort_by_key(|embedding| embedding.index);
        let mut values = Vec::with_capacity(data.iter().map(|embedding| embedding.vector.numbers.len()).sum());
        for (row, Embedding { index, vector, .. }) in data.iter().enumerate() {
            if *index != Some(row) {
                return Err(ReplyError::bad(format!("no embedding with index {row}, or one twice")));
            }
            let length = vector.numbers.len();
            if length != width {
                return Err(ReplyError::bad(format!("embedding {row} has {length} numbers instead of {width}")));
            }
            values.extend_from_slice(&vector.numbers);
        }
        Ok(Reply { outputs: Outputs::Numbers { values, width }, model_version: parsed.model.0 })
    }

    fn is_permanent(&self, _: u16, body: &[u8]) -> bool {
        openai::quota_is_spent(body)
    }
}

#[cfg(test)]
mod tests;
