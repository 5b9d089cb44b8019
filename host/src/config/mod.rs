//! From a pipeline file to validated types. Only this module and `app` know all parts.

mod pipeline;

pub use pipeline::{Input, OperatorKind, OperatorNode, Pipeline};
