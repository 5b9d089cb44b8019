//! A pipeline as the rest of the host sees it: parsed, checked for everything that the file alone
//! can tell, paths resolved against the folder of the pipeline file.

use std::path::PathBuf;

use crate::{admin, checkpoint, dataflow, inference, kafka, operator, sink, source, state};

/// A validated pipeline.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// The file it came from.
    pub file: PathBuf,
    /// `pipeline.name`.
    pub name: String,
    /// Name of the sink that takes dead letters; without one the first dead letter stops the run.
    pub dead_letters: Option<String>,
    /// Settings of the dataflow.
    pub dataflow: dataflow::Config,
    /// What the process is to Kafka.
    pub kafka: kafka::Config,
    /// Whether it goes on where it ended: it has a `[state]`. Without one each run begins anew.
    pub remembers: bool,
    /// Settings of keyed state; required when an operator has a key.
    pub state: state::Config,
    /// Settings of checkpoint storage.
    pub checkpoint: checkpoint::Config,
    /// The admin server, when there is one.
    pub admin: Option<admin::Config>,
    /// Settings that all plugins share.
    pub plugins: operator::Config,
    /// The ONNX Runtime library: `[models] library`, else `MILLSTREAM_ONNXRUNTIME`, else the one
    /// that set-up placed in the user's cache folder.
    pub onnxruntime: PathBuf,
    /// Models by name.
    pub models: Vec<inference::ModelConfig>,
    /// Sources, in file order.
    pub sources: Vec<source::Config>,
    /// Operators, in topological order.
    pub operators: Vec<OperatorNode>,
    /// Sinks, in file order, each with the outputs that feed it.
    pub sinks: Vec<(sink::Config, Vec<Input>)>,
    /// Where each key was written, for what only `check` can find.
    pub places: super::Places,
}

/// One operator and what feeds it.
#[derive(Clone, Debug)]
pub struct OperatorNode {
    /// What it does.
    pub kind: OperatorKind,
    /// What feeds it.
    pub inputs: Vec<Input>,
}

impl OperatorNode {
    /// Name in the pipeline.
    pub fn name(&self) -> &str {
        match &self.kind {
            OperatorKind::Plugin(c) => &c.name,
            OperatorKind::Inference(c) => &c.name,
            OperatorKind::External(c) => &c.name,
        }
    }
}

/// Kinds of operator.
#[derive(Clone, Debug)]
pub enum OperatorKind {
    /// A sandboxed plugin.
    Plugin(operator::OperatorConfig),
    /// An embedded model, on the workers.
    Inference(inference::OperatorConfig),
    /// A model that answers later: in servers of its own, or embedded on a thread of its own.
    External(Box<inference::external::ExternalConfig>),
}

/// An output that feeds a node: `"name"`, or `"name.port"` for a side output.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Input {
    /// Name of the source or operator.
    pub node: String,
    /// Port of the operator; `None` is the main output.
    pub port: Option<String>,
}
