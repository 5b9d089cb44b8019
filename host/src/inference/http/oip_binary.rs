//! The Open Inference Protocol v2 with its binary extension: no number becomes text, so it is the
//! fastest of the protocols, and NaN and infinity go both ways.
//!
//! ```text
//! Content-Type: application/octet-stream
//! Inference-Header-Content-Length: N
//! N bytes of JSON, in which each tensor says {"binary_data_size": bytes} instead of its data,
//! then the tensors, one behind the other, row by row, little-endian; a text is its length as
//! u32 and its bytes
//! ```
//!
//! A server may answer in JSON though asked for bytes, or mix both; the reply says which.

use super::oip::{OpenInference, Output, Parsed};
use super::protocol::{Encoded, Head, Inputs, Protocol, Reply, ReplyError, Unsendable, Wants};
use super::tensor::{Tensor, outputs};
use super::text::{one_line, write_count, write_string};
use crate::inference::external::PredictionType;

/// `oip-v2` with `binary = true`.
#[derive(Debug)]
pub struct OpenInferenceBinary {
    json: OpenInference,
    /// From behind the size of the data to the end of the JSON.
    after_size: Vec<u8>,
}

impl OpenInferenceBinary {
    /// Asks as `json` does.
    pub fn new(json: OpenInference, output: Option<&str>) -> Self {
        let mut after_size = b"}}]".to_vec();
        match output {
            Some(output) => {
                after_size.extend_from_slice(b",\"outputs\":[{\"name\":");
                write_string(output, &mut after_size);
                after_size.extend_from_slice(b",\"parameters\":{\"binary_data\":true}}]}");
            }
            None => after_size.extend_from_slice(b",\"parameters\":{\"binary_data_output\":true}}"),
        }
        Self { json, after_size }
    }
}

impl Protocol for OpenInferenceBinary {
    fn wants(&self) -> Wants {
        Wants::Tensor
    }

    fn path(&self) -> &str {
        self.json.path()
    }

    fn content_type(&self) -> &'static str {
        "application/octet-stream"
    }

    fn encode(&self, inputs: Inputs<'_>, id: &str, out: &mut Vec<u8>) -> Result<Encoded, Unsendable> {
        let Inputs::Tensor { values, rows, width } = inputs else { return Err(inputs.foreign("numbers")) };
        let start = out.len();
        self.json.write_head(id, rows, width, out);
        out.extend_from_slice(b",\"parameters\":{\"binary_data_size\":");
        write_count(size_of_val(values), out);
        out.extend_from_slice(&self.after_size);
        let json_bytes = out.len() - start;
        let data = out.len();
        out.resize(data + size_of_val(values), 0);
        for (bytes, value) in out[data..].as_chunks_mut().0.iter_mut().zip(values) {
            *bytes = value.to_le_bytes();
        }
        Ok(Encoded { json_bytes: Some(json_bytes) })
    }

    fn decode(&self, head: &Head, body: &[u8], rows: usize) -> Result<Reply, ReplyError> {
        let Some(json_bytes) = head.json_bytes else { return self.json.decode(head, body, rows) };
        let (json, mut tensors) = body.split_at_checked(json_bytes).ok_or_else(|| {
            ReplyError::bad(format!("a reply of {} bytes whose JSON is said to be {json_bytes}", body.len()))
        })?;
        let prediction = self.json.prediction();
        let mut parsed = Parsed::of(json, prediction)?;
        // Where a tensor lies depends on all before it.
        let mut places: Vec<Option<&[u8]>> = Vec::with_capacity(parsed.outputs.len());
        for output in &parsed.outputs {
            let place = output.binary_size.map(|size| {
                tensors.split_at_checked(size).ok_or_else(|| {
                    ReplyError::bad(format!("a tensor of {size} bytes of which there are {}", tensors.len()))
                })
            });
            places.push(match place.transpose()? {
                None => None,
                Some((data, rest)) => {
                    tensors = rest;
                    Some(data)
                }
            });
        }
        if !tensors.is_empty() {
            return Err(ReplyError::bad(format!("{} bytes behind the last tensor", tensors.len())));
        }
        let at = self.json.choose(&parsed.outputs)?;
        let output = std::mem::take(&mut parsed.outputs[at]);
        let (tensor, shape) = match places[at] {
            Some(bytes) => (tensor(bytes, &output, prediction)?, output.shape),
            None => (output.data.ok_or_else(|| ReplyError::bad("an output without data"))?, output.shape),
        };
        let shape = shape.ok_or_else(|| ReplyError::bad("an output without `shape`"))?;
        Ok(Reply { outputs: outputs(tensor, shape, rows, prediction)?, model_version: parsed.version.0 })
    }
}

/// The numbers or texts in `bytes`.
fn tensor(bytes: &[u8], output: &Output, prediction: PredictionType) -> Result<Tensor, ReplyError> {
    let mut tensor = Tensor::default();
    match prediction {
        PredictionType::Numbers(_) => tensor.numbers = numbers(bytes, &output.datatype)?,
        PredictionType::Text if output.datatype == "BYTES" => tensor.texts = texts(bytes)?,
        PredictionType::Text => {
            return Err(ReplyError::bad(one_line(&format!("an output of {} where text is expected", output.datatype))));
        }
    }
    Ok(tensor)
}

/// `bytes` as numbers of `datatype`.
fn numbers(bytes: &[u8], datatype: &str) -> Result<Vec<f32>, ReplyError> {
    fn each<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Result<Vec<f32>, ReplyError> {
        match bytes.as_chunks() {
            (chunks, []) => Ok(chunks.iter().map(|&chunk| number(chunk)).collect()),
            _ => Err(ReplyError::bad(format!("a tensor of {} bytes, {N} a number", bytes.len()))),
        }
    }
    match datatype {
        "FP32" => each(bytes, f32::from_le_bytes),
        "FP64" => each(bytes, |b| f64::from_le_bytes(b) as f32),
        "FP16" => each(bytes, |b| half(u16::from_le_bytes(b))),
        "BF16" => each(bytes, |b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)),
        "INT8" => each(bytes, |b| f32::from(i8::from_le_bytes(b))),
        "INT16" => each(bytes, |b| f32::from(i16::from_le_bytes(b))),
        "INT32" => each(bytes, |b| i32::from_le_bytes(b) as f32),
        "INT64" => each(bytes, |b| i64::from_le_bytes(b) as f32),
        "UINT8" => each(bytes, |b| f32::from(u8::from_le_bytes(b))),
        "UINT16" => each(bytes, |b| f32::from(u16::from_le_bytes(b))),
        "UINT32" => each(bytes, |b| u32::from_le_bytes(b) as f32),
        "UINT64" => each(bytes, |b| u64::from_le_bytes(b) as f32),
        "BOOL" => each(bytes, |[b]| f32::from(u8::from(b != 0))),
        other => Err(ReplyError::bad(one_line(&format!("an output of {other} where numbers are expected")))),
    }
}

/// A number of IEEE 754's 16 bits.
fn half(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let exponent = u32::from(bits >> 10) & 0x1f;
    let fraction = u32::from(bits) & 0x3ff;
    match exponent {
        // Zero and what is below the normal: the fraction in units of 2^-24.
        0 => f32::from_bits(sign | (fraction as f32 * 2f32.powi(-24)).to_bits()),
        // Infinity and NaN.
        0x1f => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

/// `bytes` as texts, each behind its length.
fn texts(mut bytes: &[u8]) -> Result<Vec<String>, ReplyError> {
    let mut texts = Vec::new();
    while !bytes.is_empty() {
        let cut = || ReplyError::bad("a text that is cut off");
        let (length, rest) = bytes.split_first_chunk().ok_or_else(cut)?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(cut)?;
        let text = std::str::from_utf8(text).map_err(|_| ReplyError::bad("a text that is not UTF-8"))?;
        texts.push(text.to_owned());
        bytes = rest;
    }
    Ok(texts)
}

#[cfg(test)]
mod tests;
