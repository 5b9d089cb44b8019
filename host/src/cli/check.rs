//! `millstream check`: everything that can be known without running.

use clap::Args;
use serde_json::json;

use super::exit::Failure;
use super::output::Output;
use super::pipeline::PipelineArguments;
use crate::app;

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
}

pub(super) fn execute(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let (pipeline, mut warnings) = arguments.pipeline.load()?;
    if !output.json {
        // Before the rest is looked at: should that fail, these are not lost.
        output.warnings(&warnings);
    }
    let checked = app::check(&pipeline)?;
    if output.json {
        warnings.extend(checked.warnings);
        return output.object(&json!({
            "ok": true,
            "pipeline": pipeline.name,
            "sources": pipeline.sources.len(),
            "operators": pipeline.operators.len(),
            "sinks": pipeline.sinks.len(),
            "edges": checked.edges,
            "warnings": warnings,
        }));
    }
    output.warnings(&checked.warnings);
    let parts = [
        count(pipeline.sources.len(), "source"),
        count(pipeline.operators.len(), "operator"),
        count(pipeline.sinks.len(), "sink"),
    ];
    let warned = match warnings.len() + checked.warnings.len() {
        0 => String::new(),
        n => format!("; {}", count(n, "warning")),
    };
    output.text(&format!("{}: ok ({}{warned})\n", pipeline.name, parts.join(", ")))
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
