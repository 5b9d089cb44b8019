//! Models behind HTTP: protocols, which are pure, and the client that carries their bytes.
//!
//! A protocol knows shapes and no socket; the client knows sockets and no shapes; [`ask`] puts the
//! two together and says of whatever went wrong whether another attempt is worth it. When to make
//! one, and where, is decided elsewhere.

mod ask;
mod call_error;
mod classify;
mod client;
mod connect;
mod endpoint;
mod error_class;
mod lenient;
mod object;
mod oip;
mod oip_binary;
mod openai;
mod openai_chat;
mod openai_embeddings;
mod pool;
mod protocol;
mod retry_after;
mod template;
mod tensor;
mod tensorflow;
mod text;
mod tls;
mod torchserve;

pub use ask::ask;
pub use call_error::CallError;
pub use classify::{Statuses, Verdict};
pub use client::{Client, Request, Response};
pub use error_class::ErrorClass;
pub use oip::OpenInference;
pub use oip_binary::OpenInferenceBinary;
pub use openai_chat::OpenAiChat;
pub use openai_embeddings::OpenAiEmbeddings;
pub use protocol::{BadRow, Encoded, Head, Inputs, Outputs, Protocol, Reply, ReplyError, Unsendable, Wants, protocol};
pub use template::{Template, columns as template_columns};
pub use tensorflow::TensorFlow;
pub use torchserve::TorchServe;
