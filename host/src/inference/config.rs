//! `[models.NAME]` and an inference operator once validated.

use std::path::PathBuf;

/// One model of a pipeline.
#[derive(Clone, Debug)]
pub struct ModelConfig {
    /// Name in the pipeline.
    pub name: String,
    /// The `.onnx` file.
    pub path: PathBuf,
}

/// One inference operator of a pipeline.
#[derive(Clone, Debug)]
pub struct OperatorConfig {
    /// Name in the pipeline.
    pub name: String,
    /// Name of the model.
    pub model: String,
    /// Column of the features (`f32[N]` or `list<f32>`), or several `f32`/`f64` columns in order.
    pub features: Vec<String>,
    /// Column of the prediction that is added.
    pub output: String,
    /// Rows of one call of the model at most. Default 256.
    pub max_batch: usize,
    /// Whether model name, version and SHA-256 are added as columns. Default true.
    pub provenance: bool,
}
