//! A service of somebody's own: JSON of any form, whose numbers are the features. It answers
//! `{"result":{"score":…,"scores":[…]},"version":"…"}`.

use hyper::body::Bytes;
use serde_json::Value;

use super::{Asked, Input, Making, Refused, Row, Shape, Spoken, bad, list, number};

pub(super) fn read(body: &Bytes) -> Result<Asked, Refused> {
    fn push(value: &Value, into: &mut Vec<f64>) {
        match value {
            Value::Number(number) => into.extend(number.as_f64()),
            Value::Array(list) => list.iter().for_each(|value| push(value, into)),
            Value::Object(named) => named.values().for_each(|value| push(value, into)),
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }
    let value: Value = serde_json::from_slice(body).map_err(bad)?;
    let mut values = Vec::new();
    push(&value, &mut values);
    let input = Input::Rows(vec![Row::of(&values)]);
    Ok(Asked { spoken: Spoken::Template, model: String::new(), version: None, input })
}

pub(super) fn write(rows: &[Row], making: &Making<'_>) -> String {
    let Some(row) = making.rows(rows).first() else { return "{\"result\":{}}".to_owned() };
    let mut out = String::from("{\"result\":{\"score\":");
    match making.shape {
        Shape::OtherType | Shape::Mismatch => out.push_str("\"a text\""),
        Shape::Wider => out.push_str("[0.5,0.5]"),
        _ => number(&mut out, row.output(0)),
    }
    out.push_str(",\"scores\":");
    list(&mut out, 0..making.width(), |out, i| number(out, row.output(i)));
    out.push_str("},\"version\":");
    out.push_str(&Value::from(making.version).to_string());
    out.push('}');
    out
}
