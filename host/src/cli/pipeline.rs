//! The arguments that name a pipeline.

use std::path::PathBuf;

use clap::Args;

use super::exit::Failure;
use crate::config::{self, Pipeline, Warning};

/// A pipeline file and what is different from it.
#[derive(Debug, Args)]
pub(super) struct PipelineArguments {
    /// The pipeline file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Override a key of the file, as in `--set source.transactions.path=events.jsonl`; relative
    /// paths start at the current folder
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

impl PipelineArguments {
    pub(super) fn load(&self) -> Result<(Pipeline, Vec<Warning>), Failure> {
        Ok(config::load(&self.file, &self.overrides)?)
    }
}
