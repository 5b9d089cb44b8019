//! Embedded models: ONNX Runtime inside the process, behind one operator that adds a prediction to
//! every row. Only this module knows `ort`.
//!
//! The way to a running operator is a chain of values, each the proof of the one before:
//! [`Runtime::load`] (the library is there and new enough) → [`Model::load`] (the file is a model,
//! its bytes are hashed, one trial call came back) → [`Model::bind`] (its shapes fit the
//! operator's input columns) → [`Binding::open`] (a worker's own session). So `check` can stop
//! before the last step, and no row is read by a pipeline whose model does not fit.
//!
//! A session belongs to one worker and runs on its thread: no pool, no lock, nothing that spins.

mod binding;
mod config;
mod error;
pub mod external;
mod features;
pub mod http;
mod metadata;
mod model;
mod operator;
mod provenance;
mod provider;
pub mod resilience;
mod runtime;
mod session;
#[cfg(test)]
mod tests;

pub use binding::Binding;
pub use config::{ModelConfig, OperatorConfig};
pub use error::Error;
pub use model::Model;
pub use operator::{Operator, Outcome};
pub use runtime::Runtime;
pub use session::Session;
