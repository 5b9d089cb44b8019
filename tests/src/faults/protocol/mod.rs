//! The protocols, as far as a test needs them: a request into rows, predictions into a reply.

mod numbers;
mod oip;
mod openai;
mod template;
mod tensorflow;
mod torchserve;

use std::fmt::{Display, Write};

use hyper::HeaderMap;
use hyper::body::Bytes;

pub(super) use oip::HEADER_LENGTH;

/// The prediction of a row: the sum of its features, in order, rounded once.
pub fn predict(features: &[f32]) -> f32 {
    features.iter().map(|x| f64::from(*x)).sum::<f64>() as f32
}

/// The embedding of a text: number `i` is `i` plus the remainder of the sum of its bytes by 997, as a
/// share of 997.
pub fn embed(text: &str, size: usize) -> Vec<f32> {
    let sum: u64 = text.bytes().map(u64::from).sum();
    (0..size).map(|i| i as f32 + (sum % 997) as f32 / 997.0).collect()
}

/// How a request was spoken.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Spoken {
    Oip(oip::Form),
    TensorFlow,
    TorchServe { one: bool },
    Embeddings,
    Chat,
    Template,
}

/// What is known of a row of numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Row {
    pub first: f64,
    pub sum: f64,
}

impl Row {
    fn of(values: &[f64]) -> Self {
        Self { first: values.first().copied().unwrap_or(f64::NAN), sum: values.iter().sum() }
    }

    /// Output `i` of a prediction.
    fn output(&self, i: usize) -> f32 {
        (self.sum + i as f64) as f32
    }
}

/// What is to be predicted.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Input {
    Rows(Vec<Row>),
    Texts(Vec<String>),
}

/// A request that was understood.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    pub spoken: Spoken,
    pub model: String,
    pub version: Option<String>,
    pub input: Input,
}

impl Asked {
    pub(super) fn rows(&self) -> usize {
        match &self.input {
            Input::Rows(rows) => rows.len(),
            Input::Texts(texts) => texts.len(),
        }
    }

    /// Whether a row begins with this number.
    pub(super) fn has(&self, first: f32) -> bool {
        match &self.input {
            Input::Rows(rows) => rows.iter().any(|row| row.first == f64::from(first)),
            Input::Texts(_) => false,
        }
    }
}

/// A request that is refused.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refused {
    pub status: u16,
    pub reason: String,
}

pub(super) fn refuse<T>(status: u16, reason: impl Display) -> Result<T, Refused> {
    Err(Refused { status, reason: reason.to_string() })
}

fn bad(reason: impl Display) -> Refused {
    Refused { status: 400, reason: reason.to_string() }
}

/// How a reply's shape is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Shape {
    #[default]
    Right,
    FewerRows,
    Wider,
    OtherType,
    Mismatch,
    Unfinished,
}

/// What a reply is made with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Making<'a> {
    pub outputs: usize,
    pub version: &'a str,
    pub shape: Shape,
}

impl Making<'_> {
    /// Rows that are answered.
    fn rows<'r>(&self, rows: &'r [Row]) -> &'r [Row] {
        if self.shape == Shape::FewerRows { &rows[..rows.len().saturating_sub(1)] } else { rows }
    }

    /// Numbers of an answer.
    fn width(&self) -> usize {
        self.outputs + usize::from(self.shape == Shape::Wider)
    }
}

/// A reply without its status.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Made {
    pub body: Bytes,
    /// Length of the JSON before tensors, where there are any.
    pub header_length: Option<usize>,
}

impl From<String> for Made {
    fn from(json: String) -> Self {
        Self { body: json.into(), header_length: None }
    }
}

/// Reads a request.
pub(super) fn read(path: &str, headers: &HeaderMap, body: &Bytes) -> Result<Asked, Refused> {
    if let Some(rest) = path.strip_prefix("/v2/models/") {
        oip::read(rest, headers, body)
    } else if let Some(rest) = path.strip_prefix("/v1/models/") {
        tensorflow::read(rest, body)
    } else if let Some(rest) = path.strip_prefix("/predictions/") {
        torchserve::read(rest, body)
    } else {
        match path {
            "/v1/embeddings" => openai::read_embeddings(body),
            "/v1/chat/completions" => openai::read_chat(body),
            _ => template::read(body),
        }
    }
}

/// Writes the right reply, or one of a wrong shape.
pub(super) fn write(asked: &Asked, making: &Making<'_>) -> Made {
    match (&asked.spoken, &asked.input) {
        (Spoken::Oip(form), Input::Rows(rows)) => oip::write(asked, form, rows, making),
        (Spoken::TensorFlow, Input::Rows(rows)) => tensorflow::write(rows, making).into(),
        (Spoken::TorchServe { one }, Input::Rows(rows)) => torchserve::write(*one, rows, making).into(),
        (Spoken::Embeddings, Input::Texts(texts)) => openai::write_embeddings(asked, texts, making).into(),
        (Spoken::Chat, Input::Texts(texts)) => openai::write_chat(asked, texts, making).into(),
        (_, Input::Rows(rows)) => template::write(rows, making).into(),
        (_, Input::Texts(_)) => String::from("{}").into(),
    }
}

/// An error body as the protocol of a path has it.
pub(super) fn error(path: &str, status: u16, reason: &str) -> String {
    let reason = serde_json::Value::from(reason);
    if path.starts_with("/v1/embeddings") || path.starts_with("/v1/chat") {
        format!("{{\"error\":{{\"message\":{reason},\"type\":\"server_error\",\"param\":null,\"code\":\"{status}\"}}}}")
    } else if path.starts_with("/predictions/") {
        format!("{{\"code\":{status},\"type\":\"PredictionException\",\"message\":{reason}}}")
    } else {
        format!("{{\"error\":{reason}}}")
    }
}

/// `items` between brackets, each written by `one`.
fn list<T>(out: &mut String, items: impl IntoIterator<Item = T>, mut one: impl FnMut(&mut String, T)) {
    out.push('[');
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        one(out, item);
    }
    out.push(']');
}

/// A number as JSON has it; what JSON has not is `NaN` and `Infinity`, as TensorFlow writes them.
fn number(out: &mut String, value: f32) {
    let written = if value.is_nan() {
        write!(out, "NaN")
    } else if value.is_infinite() {
        write!(out, "{}Infinity", if value < 0.0 { "-" } else { "" })
    } else {
        write!(out, "{value:?}")
    };
    debug_assert!(written.is_ok());
}

/// The outputs of each row, as lists.
fn lists(out: &mut String, rows: &[Row], making: &Making<'_>) {
    list(out, making.rows(rows), |out, row| {
        list(out, 0..making.width(), |out, i| {
            if making.shape == Shape::OtherType { out.push_str("\"a text\"") } else { number(out, row.output(i)) }
        });
    });
}
