//! A JSON template, for servers that speak no protocol of their own, one row a request:
//!
//! ```text
//! body        {"user": "{{user_id}}", "text": "Amount: {{amount}}", "values": "{{features}}"}
//! row         {"user_id": 7, "amount": 1.5, "features": [1.0, 2.0]}
//! sent        {"user": 7, "text": "Amount: 1.5", "values": [1.0, 2.0]}
//! prediction  /result/score, a JSON pointer (RFC 6901) into the reply
//! ```
//!
//! The template is read once, as JSON; what stands for a column is replaced by a JSON value, or by
//! text inside of a JSON string, so whatever a row holds, what is sent is JSON. Null inside of a text
//! is nothing; `{{` without `}}` is text. Names of fields are not replaced.

use serde::de::DeserializeSeed;
use serde_json::{Map, Value};

use super::lenient;
use super::protocol::{BadRow, Encoded, Head, Inputs, Protocol, Reply, ReplyError, Unsendable, Wants};
use super::tensor::{Collect, Tensor, outputs};
use super::text::{one_line, write_escaped, write_string};
use crate::inference::external::PredictionType;

/// `template`.
#[derive(Debug)]
pub struct Template {
    path: String,
    parts: Vec<Part>,
    pointer: String,
    version: Option<String>,
    prediction: PredictionType,
}

/// A piece of the body.
#[derive(Debug, PartialEq)]
enum Part {
    /// JSON as it is.
    Json(Vec<u8>),
    /// The value of a column.
    Value(String),
    /// The text of a column, inside of a string.
    Text(String),
}

/// The columns that `body` names, each once and in order.
pub fn columns(body: &str) -> Result<Vec<String>, String> {
    let mut columns: Vec<String> = Vec::new();
    for part in parse(body)? {
        if let Part::Value(column) | Part::Text(column) = part
            && !columns.contains(&column)
        {
            columns.push(column);
        }
    }
    Ok(columns)
}

/// Cuts a template into its parts.
fn parse(body: &str) -> Result<Vec<Part>, String> {
    let value: Value = serde_json::from_str(body).map_err(|error| format!("the template is not JSON: {error}"))?;
    let mut cutter = Cutter::default();
    cutter.value(&value)?;
    cutter.flush();
    Ok(cutter.parts)
}

/// Parts, and the JSON since the last of them.
#[derive(Default)]
struct Cutter {
    parts: Vec<Part>,
    json: Vec<u8>,
}

impl Cutter {
    fn flush(&mut self) {
        if !self.json.is_empty() {
            self.parts.push(Part::Json(std::mem::take(&mut self.json)));
        }
    }

    fn value(&mut self, value: &Value) -> Result<(), String> {
        match value {
            Value::Array(items) => {
                for (place, item) in items.iter().enumerate() {
                    self.json.push(if place == 0 { b'[' } else { b',' });
                    self.value(item)?;
                }
                self.json.extend_from_slice(if items.is_empty() { b"[]" } else { b"]" });
            }
            Value::Object(fields) => {
                for (place, (name, value)) in fields.iter().enumerate() {
                    if name.contains("{{") {
                        return Err(format!("field `{name}` of the template: names of fields are not replaced"));
                    }
                    self.json.push(if place == 0 { b'{' } else { b',' });
                    write_string(name, &mut self.json);
                    self.json.push(b':');
                    self.value(value)?;
                }
                self.json.extend_from_slice(if fields.is_empty() { b"{}" } else { b"}" });
            }
            Value::String(text) => self.text(text)?,
            other => self.json.extend_from_slice(other.to_string().as_bytes()),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        if let Some(column) = text.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"))
            && !column.contains("}}")
        {
            self.flush();
            self.parts.push(Part::Value(named(column)?));
            return Ok(());
        }
        self.json.push(b'"');
        let mut rest = text;
        while let Some((before, (column, after))) =
            rest.split_once("{{").and_then(|(before, from)| Some((before, from.split_once("}}")?)))
        {
            write_escaped(before, &mut self.json);
            self.flush();
            self.parts.push(Part::Text(named(column)?));
            rest = after;
        }
        write_escaped(rest, &mut self.json);
        self.json.push(b'"');
        Ok(())
    }
}

/// The name of a column between braces.
fn named(column: &str) -> Result<String, String> {
    match column.trim() {
        "" => Err("`{{}}` in the template names no column".to_owned()),
        column => Ok(column.to_owned()),
    }
}

impl Template {
    /// Posts `body` to `path` and finds the prediction at `prediction_at`, the version at
    /// `version_at`.
    pub fn new(
        path: &str,
        body: &str,
        prediction_at: &str,
        version_at: Option<&str>,
        prediction: PredictionType,
    ) -> Result<Self, String> {
        for pointer in [Some(prediction_at), version_at].into_iter().flatten() {
            if !pointer.is_empty() && !pointer.starts_with('/') {
                return Err(format!("`{pointer}` is no JSON pointer: it begins with `/`, such as `/result/score`"));
            }
        }
        if !path.starts_with('/') {
            return Err(format!("path `{path}` does not begin with `/`"));
        }
        Ok(Self {
            path: path.to_owned(),
            parts: parse(body)?,
            pointer: prediction_at.to_owned(),
            version: version_at.map(str::to_owned),
            prediction,
        })
    }

    fn write(&self, row: &Map<String, Value>, out: &mut Vec<u8>) -> Result<(), String> {
        let column = |name: &str| row.get(name).ok_or_else(|| format!("the row has no column `{name}`"));
        for part in &self.parts {
            match part {
                Part::Json(json) => out.extend_from_slice(json),
                Part::Value(name) => serde_json::to_writer(&mut *out, column(name)?).map_err(|e| e.to_string())?,
                Part::Text(name) => match column(name)? {
                    Value::Null => {}
                    Value::String(text) => write_escaped(text, out),
                    other => write_escaped(&other.to_string(), out),
                },
            }
        }
        Ok(())
    }
}

impl Protocol for Template {
    fn wants(&self) -> Wants {
        Wants::Objects
    }

    fn max_rows(&self) -> usize {
        1
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn encode(&self, inputs: Inputs<'_>, _: &str, out: &mut Vec<u8>) -> Result<Encoded, Unsendable> {
        let Inputs::Objects(rows) = inputs else { return Err(inputs.foreign("named values")) };
        let [row] = rows else { return Err(inputs.foreign("one row a request")) };
        self.write(row, out).map_err(|reason| Unsendable { rows: vec![BadRow { row: 0, reason }] })?;
        Ok(Encoded::default())
    }

    fn decode(&self, _: &Head, body: &[u8], rows: usize) -> Result<Reply, ReplyError> {
        let reply: Value =
            lenient::parse(body, |body| serde_json::from_slice(body)).map_err(|e| ReplyError::json(&e))?;
        let found = reply
            .pointer(&self.pointer)
            .ok_or_else(|| ReplyError::bad(format!("nothing at `{}` in the reply", self.pointer)))?;
        let mut tensor = Tensor::default();
        Collect::into(&mut tensor, self.prediction)
            .deserialize(found)
            .map_err(|error| ReplyError::bad(one_line(&format!("at `{}` of the reply: {error}", self.pointer))))?;
        let shape: Vec<usize> = tensor.shape().collect();
        let outputs = outputs(tensor, shape, rows, self.prediction)?;
        let version = self.version.as_deref().and_then(|pointer| match reply.pointer(pointer)? {
            Value::String(text) => Some(text.as_str().into()),
            Value::Number(number) => Some(number.to_string().into_boxed_str()),
            _ => None,
        });
        Ok(Reply { outputs, model_version: version })
    }
}

#[cfg(test)]
mod tests;
