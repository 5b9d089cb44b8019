//! What can go wrong with a model, by who has to act.

use std::path::PathBuf;

/// A failure of inference.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ONNX Runtime library is missing, too old or not what its name says: fix the installation.
    #[error(
        "ONNX Runtime: {reason} (tried {}); run `make setup`, or name a libonnxruntime.so of version 1.{} or newer \
         in `[models] library` or in the environment variable MILLSTREAM_ONNXRUNTIME",
        path.display(),
        ort::MINOR_VERSION
    )]
    Library {
        /// The file that was tried.
        path: PathBuf,
        /// What was found instead.
        reason: String,
    },
    /// The file is missing, is not a model, or is one of a form that the host cannot call: fix the
    /// model.
    #[error("model `{model}` ({}): {reason}", path.display())]
    Model {
        /// Name of the model in the pipeline.
        model: String,
        /// Its file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// Model and pipeline do not fit together: fix the configuration.
    #[error("operator `{operator}`: {reason}")]
    Mismatch {
        /// Name of the operator.
        operator: String,
        /// What does not fit and what to do.
        reason: String,
    },
    /// A checked model failed on a batch, or the batch is not of the schema that was checked: stop
    /// the pipeline.
    #[error("model `{model}`: a call with {rows} rows failed: {reason}")]
    Run {
        /// Name of the model in the pipeline.
        model: String,
        /// Rows of the call.
        rows: usize,
        /// What ONNX Runtime says.
        reason: String,
    },
}
