//! What a protocol is: rows to the bytes of a request, the bytes of a reply to predictions. Pure:
//! no socket, no clock. One protocol a file; [`protocol`] makes the one that a pipeline names.
//!
//! A reply is taken as a whole or refused as a whole. What is taken has a prediction for each row,
//! of the width that the pipeline promises, so nobody behind a protocol looks at shapes again.

use std::fmt;

use serde_json::{Map, Value};

use super::error_class::ErrorClass;
use super::oip::OpenInference;
use super::oip_binary::OpenInferenceBinary;
use super::openai_chat::OpenAiChat;
use super::openai_embeddings::OpenAiEmbeddings;
use super::template::Template;
use super::tensorflow::TensorFlow;
use super::torchserve::TorchServe;
use crate::inference::external::{PredictionType, ProtocolConfig};

/// What a protocol takes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// Numbers, the same count for each row: [`Inputs::Tensor`].
    Tensor,
    /// One text: [`Inputs::Texts`].
    Texts,
    /// Named values: [`Inputs::Objects`].
    Objects,
}

/// What is sent for the rows of a request.
#[derive(Clone, Copy, Debug)]
pub enum Inputs<'a> {
    /// `rows * width` numbers, row by row.
    Tensor {
        /// The numbers.
        values: &'a [f32],
        /// Rows.
        rows: usize,
        /// Numbers of a row.
        width: usize,
    },
    /// A text for each row.
    Texts(&'a [&'a str]),
    /// Columns by name for each row.
    Objects(&'a [Map<String, Value>]),
}

impl Inputs<'_> {
    /// Rows of the request.
    pub fn rows(&self) -> usize {
        match self {
            Self::Tensor { rows, .. } => *rows,
            Self::Texts(texts) => texts.len(),
            Self::Objects(objects) => objects.len(),
        }
    }

    /// All rows refused, because a part of the host gave rows of another kind than
    /// [`Protocol::wants`].
    #[cold]
    pub(super) fn foreign(&self, wanted: &str) -> Unsendable {
        let reason = format!("this protocol sends {wanted}");
        Unsendable { rows: (0..self.rows()).map(|row| BadRow { row, reason: reason.clone() }).collect() }
    }
}

/// What an encoded request needs beside its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Bytes of JSON before the tensors, sent as `Inference-Header-Content-Length`; only where
    /// tensors travel as bytes.
    pub json_bytes: Option<usize>,
}

/// Rows that a protocol cannot say, never empty. Nothing of the request is to be sent; without these
/// rows it can be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} rows cannot be sent; {}", rows.len(), rows.first().map_or("", |row| row.reason.as_str()))]
pub struct Unsendable {
    /// They, in order.
    pub rows: Vec<BadRow>,
}

/// A row that a protocol cannot say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// Its place in the request.
    pub row: usize,
    /// What is wrong with it and what to do.
    pub reason: String,
}

/// What stood before the body of a response, as far as anybody asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// `Inference-Header-Content-Length`.
    pub json_bytes: Option<usize>,
    /// `retry-after-ms` or `Retry-After`, from the moment the response was read.
    pub retry_after: Option<std::time::Duration>,
}

impl Head {
    /// A head of only a status.
    pub const fn of(status: u16) -> Self {
        Self { status, json_bytes: None, retry_after: None }
    }
}

/// Predictions, one for each row of the request and in its order.
#[derive(Clone, Debug, PartialEq)]
pub enum Outputs {
    /// `width` numbers a row. They may be NaN or infinite: what the model says is passed on. Where a
    /// server can only say `null` for them, as a strict JSON writer, that is read as NaN; doubles and
    /// integers are rounded to `f32`, doubles beyond its range become infinite.
    Numbers {
        /// They, row by row.
        values: Vec<f32>,
        /// Numbers of a row.
        width: usize,
    },
    /// A text a row.
    Texts(Vec<String>),
}

/// A reply that was understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Predictions.
    pub outputs: Outputs,
    /// Version of the model that the server names.
    pub model_version: Option<Box<str>>,
}

/// A reply that was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyError {
    /// [`ErrorClass::BadReply`] or [`ErrorClass::Unfinished`].
    pub class: ErrorClass,
    /// What is wrong, in one line.
    pub reason: String,
}

impl ReplyError {
    pub(super) fn bad(reason: impl Into<String>) -> Self {
        Self { class: ErrorClass::BadReply, reason: reason.into() }
    }

    pub(super) fn json(error: &serde_json::Error) -> Self {
        Self::bad(super::text::one_line(&format!("the reply is not what the protocol says: {error}")))
    }
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for ReplyError {}

/// A way to ask a model server.
pub trait Protocol: fmt::Debug + Send + Sync {
    /// What it takes of a row.
    fn wants(&self) -> Wants;

    /// Rows of a request at most.
    fn max_rows(&self) -> usize {
        usize::MAX
    }

    /// Path of a request below the server's base address.
    fn path(&self) -> &str;

    /// `Content-Type` of a request.
    fn content_type(&self) -> &'static str {
        "application/json"
    }

    /// Appends the body of a request for `inputs` to `out`, which is of no use after an error.
    fn encode(&self, inputs: Inputs<'_>, id: &str, out: &mut Vec<u8>) -> Result<Encoded, Unsendable>;

    /// The predictions of a successful response to a request of `rows` rows.
    fn decode(&self, head: &Head, body: &[u8], rows: usize) -> Result<Reply, ReplyError>;

    /// What the body of an unsuccessful response says, in one line of bounded length.
    fn error_message(&self, status: u16, body: &[u8]) -> String {
        super::text::error_message(status, body)
    }

    /// Whether the body says that no attempt will succeed, whatever the status means elsewhere.
    fn is_permanent(&self, _status: u16, _body: &[u8]) -> bool {
        false
    }
}

/// The protocol that `config` names, for version `version` of `model`.
pub fn protocol(
    config: &ProtocolConfig,
    model: &str,
    version: Option<&str>,
    prediction: PredictionType,
) -> Result<Box<dyn Protocol>, String> {
    Ok(match config {
        ProtocolConfig::OpenInference { binary, input, output } => {
            let json = OpenInference::new(model, version, input, output.as_deref(), prediction);
            match binary {
                true => Box::new(OpenInferenceBinary::new(json, output.as_deref())),
                false => Box::new(json),
            }
        }
        ProtocolConfig::TensorFlow { signature } => {
            Box::new(TensorFlow::new(model, version, signature.as_deref(), prediction))
        }
        ProtocolConfig::TorchServe { rows } => Box::new(TorchServe::new(model, version, *rows, prediction)),
        ProtocolConfig::OpenAiEmbeddings => Box::new(OpenAiEmbeddings::new(model, version, prediction)?),
        ProtocolConfig::OpenAiChat { system, max_tokens, temperature } => {
            Box::new(OpenAiChat::new(model, version, system.as_deref(), *max_tokens, *temperature, prediction)?)
        }
        ProtocolConfig::Template { path, body, prediction: place, version: version_place } => {
            Box::new(Template::new(path, body, place, version_place.as_deref(), prediction)?)
        }
    })
}
