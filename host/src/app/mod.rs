//! The one place that names concrete parts: from a checked pipeline to a running one.

mod checkpoint;
mod control;
mod generate;
mod inspect;
mod job;
mod memory;
mod nodes;
mod plan;
mod process;
mod run;
mod savepoint;

use std::sync::Arc;

pub use checkpoint::{inspect_checkpoint, list_checkpoints, verify_checkpoints};
pub use control::Control;
pub use generate::{Transactions, generate_transactions};
pub use inspect::inspect_plugin;
pub use job::Job;
pub use plan::{Made, Plan, plan};
pub use run::run;
pub use savepoint::{RestoreOptions, create_savepoint, list_savepoints, restore_savepoint};

use crate::config::{Errors, Pipeline, Warning};
use crate::dataflow::{Failure, FailureKind};
use crate::progress::Progress;
use crate::report::Edge;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pipeline does not fit together.
    #[error("{0}")]
    Check(Errors),
    /// A plugin or a model was refused when it was loaded.
    #[error("{0}")]
    Refused(String),
    /// It failed while it ran.
    #[error("{0}")]
    Failed(String),
    /// Another host with the same identity has taken over.
    #[error("{0}")]
    Fenced(String),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::Fenced => Self::Fenced(failure.to_string()),
            _ => Self::Failed(failure.to_string()),
        }
    }
}

/// What the caller of a run decides.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Told how far the run is.
    pub progress: Arc<Progress>,
}

/// What `check` found.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// The schema of every edge.
    pub edges: Vec<Edge>,
    /// What is probably not meant.
    pub warnings: Vec<Warning>,
}

/// Loads plugins and models and checks every edge, without reading a row.
///
/// # Errors
/// Everything that does not fit.
pub fn check(pipeline: &Pipeline) -> Result<Checked, Error> {
    let plan = plan(pipeline.clone()).map_err(Error::Check)?;
    let operators = plan.pipeline.operators.iter().map(|o| (o.name(), &o.inputs));
    let sinks = plan.pipeline.sinks.iter().map(|(s, inputs)| (s.name.as_str(), inputs));
    let mut edges = Vec::new();
    for (to, inputs) in operators.chain(sinks) {
        for from in inputs {
            if let Some((_, schema)) = plan.schemas.iter().find(|(input, _)| input == from) {
                edges.push(Edge { from: from.clone(), to: to.into(), schema: schema.clone() });
            }
        }
    }
    Ok(Checked { edges, warnings: Vec::new() })
}
