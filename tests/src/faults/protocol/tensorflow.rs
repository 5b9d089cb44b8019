//! TensorFlow Serving's `:predict`, by rows.

use std::borrow::Cow;

use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::{Asked, Input, Making, Refused, Row, Shape, Spoken, bad, lists, refuse};

#[derive(Deserialize)]
struct Request {
    instances: Vec<Value>,
}

/// `{model}:predict`, with `/versions/{version}` or `/labels/{label}` before the colon.
pub(super) fn read(path: &str, body: &Bytes) -> Result<Asked, Refused> {
    let Some(path) = path.strip_suffix(":predict") else {
        return refuse(404, format_args!("there is no /v1/models/{path}"));
    };
    let parts: Vec<&str> = path.split('/').collect();
    let (model, version) = match parts[..] {
        [model] => (model, None),
        [model, "versions" | "labels", version] => (model, Some(version.to_owned())),
        _ => return refuse(404, format_args!("there is no /v1/models/{path}")),
    };
    let text = std::str::from_utf8(body).map_err(bad)?;
    let request: Request = serde_json::from_str(&json(text)).map_err(bad)?;
    let rows = request.instances.iter().map(row).collect::<Result<_, _>>()?;
    Ok(Asked { spoken: Spoken::TensorFlow, model: model.to_owned(), version, input: Input::Rows(rows) })
}

/// The text as JSON: TensorFlow takes `NaN`, `Infinity` and `-Infinity`, here all the same.
fn json(text: &str) -> Cow<'_, str> {
    if text.contains("NaN") || text.contains("Infinity") {
        text.replace("-Infinity", "null").replace("Infinity", "null").replace("NaN", "null").into()
    } else {
        text.into()
    }
}

/// An instance: a number, a list of them, or named ones.
fn row(instance: &Value) -> Result<Row, Refused> {
    fn push(value: &Value, into: &mut Vec<f64>) -> Result<(), Refused> {
        match value {
            Value::Number(number) => into.push(number.as_f64().unwrap_or(f64::NAN)),
            Value::Null => into.push(f64::NAN),
            Value::Array(list) => list.iter().try_for_each(|value| push(value, into))?,
            Value::Object(named) => named.values().try_for_each(|value| push(value, into))?,
            Value::Bool(_) | Value::String(_) => return refuse(400, format_args!("{value} is not a number")),
        }
        Ok(())
    }
    let mut values = Vec::new();
    push(instance, &mut values)?;
    Ok(Row::of(&values))
}

pub(super) fn write(rows: &[Row], making: &Making<'_>) -> String {
    let mut out = String::with_capacity(24 + rows.len() * making.width() * 12);
    out.push_str(if making.shape == Shape::Mismatch { "{\"outputs\":" } else { "{\"predictions\":" });
    lists(&mut out, rows, making);
    out.push('}');
    out
}
