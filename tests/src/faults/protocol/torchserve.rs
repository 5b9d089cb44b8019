//! TorchServe: what a request and a reply are, the handler decides; here lists of numbers.

use hyper::body::Bytes;
use serde_json::Value;

use super::numbers::Flat;
use super::{Asked, Input, Making, Refused, Row, Shape, Spoken, bad, lists, number, refuse};

/// `{model}` or `{model}/{version}`; a list of numbers is one row, a list of lists several.
pub(super) fn read(path: &str, body: &Bytes) -> Result<Asked, Refused> {
    let (model, version) = match path.split_once('/') {
        None => (path, None),
        Some((model, version)) => (model, Some(version.to_owned())),
    };
    let lists: Vec<Value> = serde_json::from_slice(body).map_err(bad)?;
    let one = lists.first().is_some_and(Value::is_number);
    let rows = if one {
        let row: Flat = serde_json::from_slice(body).map_err(bad)?;
        vec![Row::of(&row.0)]
    } else {
        let rows: Vec<Flat> = serde_json::from_slice(body).map_err(bad)?;
        rows.iter().map(|row| Row::of(&row.0)).collect()
    };
    if rows.is_empty() {
        return refuse(400, "no rows");
    }
    Ok(Asked { spoken: Spoken::TorchServe { one }, model: model.to_owned(), version, input: Input::Rows(rows) })
}

/// One number for one row of one output; else lists.
pub(super) fn write(one: bool, rows: &[Row], making: &Making<'_>) -> String {
    let mut out = String::new();
    match making.shape {
        Shape::Right | Shape::Unfinished if one && making.outputs == 1 => number(&mut out, rows[0].output(0)),
        Shape::Right | Shape::Unfinished if one => {
            super::list(&mut out, 0..making.outputs, |out, i| number(out, rows[0].output(i)));
        }
        Shape::Mismatch => out.push_str("{\"0\":1}"),
        _ => lists(&mut out, rows, making),
    }
    out
}
