//! Open Inference Protocol v2: JSON, and tensors as bytes behind it.

use std::fmt::Write;

use hyper::HeaderMap;
use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::numbers::Flat;
use super::{Asked, Input, Made, Making, Refused, Row, Shape, Spoken, bad, list, number, refuse};

/// Where the JSON ends and the tensors begin.
pub(in super::super) const HEADER_LENGTH: &str = "inference-header-content-length";

/// What the reply repeats of the request.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Form {
    id: Option<String>,
    output: Option<String>,
    binary: bool,
}

#[derive(Deserialize)]
struct Request {
    id: Option<String>,
    #[serde(default)]
    parameters: Parameters,
    inputs: Vec<Tensor>,
    #[serde(default)]
    outputs: Vec<Output>,
}

#[derive(Default, Deserialize)]
struct Parameters {
    #[serde(default)]
    binary_data_output: bool,
    #[serde(default)]
    binary_data: bool,
    binary_data_size: Option<usize>,
}

#[derive(Deserialize)]
struct Tensor {
    name: String,
    shape: Vec<usize>,
    datatype: String,
    data: Option<Flat>,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    #[serde(default)]
    parameters: Parameters,
}

/// `{model}/infer` or `{model}/versions/{version}/infer`.
pub(super) fn read(path: &str, headers: &HeaderMap, body: &Bytes) -> Result<Asked, Refused> {
    let parts: Vec<&str> = path.split('/').collect();
    let (model, version) = match parts[..] {
        [model, "infer"] => (model, None),
        [model, "versions", version, "infer"] => (model, Some(version.to_owned())),
        _ => return refuse(404, format_args!("there is no /v2/models/{path}")),
    };
    let split = match headers.get(HEADER_LENGTH) {
        None => body.len(),
        Some(length) => {
            let length = length.to_str().ok().and_then(|text| text.parse().ok());
            length.filter(|n| *n <= body.len()).ok_or_else(|| bad("the header's length is not within the body"))?
        }
    };
    let request: Request = serde_json::from_slice(&body[..split]).map_err(bad)?;
    let mut rest = &body[split..];
    let mut rows: Option<Vec<Row>> = None;
    for tensor in &request.inputs {
        let values = values(tensor, &mut rest)?;
        let count = tensor.shape.first().copied().unwrap_or(1);
        let width = values.len().checked_div(count).unwrap_or_default();
        let these = (0..count).map(|at| Row::of(&values[at * width..(at + 1) * width]));
        rows = Some(match rows {
            None => these.collect(),
            // Further tensors add further columns.
            Some(before) if before.len() == count => {
                before.iter().zip(these).map(|(a, b)| Row { first: a.first, sum: a.sum + b.sum }).collect()
            }
            Some(before) => return refuse(400, format_args!("inputs have {} and {count} rows", before.len())),
        });
    }
    if !rest.is_empty() {
        return refuse(400, format_args!("{} bytes behind the last tensor", rest.len()));
    }
    let output = request.outputs.first();
    let form = Form {
        id: request.id,
        output: output.map(|o| o.name.clone()),
        binary: request.parameters.binary_data_output || output.is_some_and(|o| o.parameters.binary_data),
    };
    let input = Input::Rows(rows.ok_or_else(|| bad("no inputs"))?);
    Ok(Asked { spoken: Spoken::Oip(form), model: model.to_owned(), version, input })
}

/// The numbers of a tensor, in the JSON or at the beginning of `rest`.
fn values(tensor: &Tensor, rest: &mut &[u8]) -> Result<Vec<f64>, Refused> {
    let name = &tensor.name;
    let size = match tensor.datatype.as_str() {
        "FP32" => 4,
        "FP64" => 8,
        other => return refuse(400, format_args!("input {name}: datatype {other} is not served")),
    };
    let count: usize = tensor.shape.iter().product();
    let values = match (tensor.parameters.binary_data_size, &tensor.data) {
        (Some(bytes), None) if bytes == count * size && bytes <= rest.len() => {
            let (mine, after) = rest.split_at(bytes);
            *rest = after;
            if size == 4 {
                mine.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]).into()).collect()
            } else {
                mine.chunks_exact(8)
                    .map(|b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]))
                    .collect()
            }
        }
        (Some(bytes), _) => return refuse(400, format_args!("input {name}: {bytes} bytes for {:?}", tensor.shape)),
        // What a server keeps of JSON is a float of its type.
        (None, Some(data)) if size == 4 => data.0.iter().map(|x| f64::from(*x as f32)).collect(),
        (None, Some(data)) => data.0.clone(),
        (None, None) => return refuse(400, format_args!("input {name} has no data")),
    };
    if values.len() != count {
        return refuse(400, format_args!("input {name}: {} numbers for the shape {:?}", values.len(), tensor.shape));
    }
    Ok(values)
}

pub(super) fn write(asked: &Asked, form: &Form, rows: &[Row], making: &Making<'_>) -> Made {
    let rows = making.rows(rows);
    let width = making.width();
    let said = rows.len() + usize::from(making.shape == Shape::Mismatch);
    let text = making.shape == Shape::OtherType;
    let mut out = String::with_capacity(160 + rows.len() * width * 12);
    let version = asked.version.as_deref().unwrap_or(making.version);
    let (model, version) = (Value::from(asked.model.as_str()), Value::from(version));
    out.push('{');
    let _ = write!(out, "\"model_name\":{model},\"model_version\":{version}");
    if let Some(id) = &form.id {
        let _ = write!(out, ",\"id\":{}", Value::from(id.as_str()));
    }
    let name = Value::from(form.output.as_deref().unwrap_or("prediction"));
    let datatype = if text { "BYTES" } else { "FP32" };
    let _ = write!(out, ",\"outputs\":[{{\"name\":{name},\"shape\":[{said},{width}],\"datatype\":\"{datatype}\"");
    let values = rows.iter().flat_map(|row| (0..width).map(|i| row.output(i)));
    if form.binary && !text {
        let bytes = rows.len() * width * 4;
        let _ = write!(out, ",\"parameters\":{{\"binary_data_size\":{bytes}}}}}]}}");
        let header_length = Some(out.len());
        let mut body = out.into_bytes();
        values.for_each(|value| body.extend(value.to_le_bytes()));
        return Made { body: body.into(), header_length };
    }
    out.push_str(",\"data\":");
    list(&mut out, values, |out, value| if text { out.push_str("\"a text\"") } else { number(out, value) });
    out.push_str("}]}");
    out.into()
}
