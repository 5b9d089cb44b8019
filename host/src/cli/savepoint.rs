//! `millstream savepoint`: keeps the state of a pipeline by name, and goes back to it.

use clap::{Args, Subcommand};

use super::checkpoint::show_positions;
use super::exit::Failure;
use super::numbers;
use super::output::Output;
use super::pipeline::PipelineArguments;
use super::table::{Align, Table};
use crate::app::{self, RestoreOptions};
use crate::report::{RestoreReport, SavepointReport, utc};

/// What to do with savepoints.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Keep the state as of the newest committed epoch, beside a running host or without one
    Create(Named),
    /// List the savepoints of a pipeline
    List(PipelineArguments),
    /// Prepare the state folder so that the next run goes on from a savepoint
    Restore(Restore),
}

/// Arguments that name a savepoint of a pipeline.
#[derive(Debug, Args)]
pub(super) struct Named {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Name of the savepoint: `a-z`, `0-9`, `-` and `_`
    #[arg(value_name = "NAME")]
    name: String,
}

/// Arguments of `savepoint restore`.
#[derive(Debug, Args)]
pub(super) struct Restore {
    #[command(flatten)]
    named: Named,
    /// Leave out state of operators that the pipeline does not have, instead of refusing
    #[arg(long)]
    allow_non_restored_state: bool,
    /// Delete the state that is there, and forget what was committed since, instead of refusing
    #[arg(long)]
    replace: bool,
}

pub(super) fn execute(command: &Command, output: &Output) -> Result<(), Failure> {
    match command {
        Command::Create(Named { pipeline, name }) => {
            let pipeline = load(pipeline, output)?;
            let made = app::create_savepoint(&pipeline, name)?;
            if output.json { output.object(&made) } else { output.text(&show_one(&made)) }
        }
        Command::List(pipeline) => {
            let pipeline = load(pipeline, output)?;
            let found = app::list_savepoints(&pipeline)?;
            if output.json {
                return output.object(&serde_json::json!({ "savepoints": found }));
            }
            output.text(&show_list(&found))
        }
        Command::Restore(Restore { named: Named { pipeline, name }, allow_non_restored_state, replace }) => {
            let pipeline = load(pipeline, output)?;
            let (allow_non_restored_state, replace) = (*allow_non_restored_state, *replace);
            let options = RestoreOptions { allow_non_restored_state, replace, once: false };
            let restored = app::restore_savepoint(&pipeline, name, options)?;
            if output.json { output.object(&restored) } else { output.text(&show_restored(&restored)) }
        }
    }
}

fn load(arguments: &PipelineArguments, output: &Output) -> Result<crate::config::Pipeline, Failure> {
    let (pipeline, warnings) = arguments.load()?;
    if !output.json {
        output.warnings(&warnings);
    }
    Ok(pipeline)
}

fn show_one(made: &SavepointReport) -> String {
    let mut facts = Table::default();
    facts.row(["pipeline", &made.pipeline]);
    facts.row(["kept in", &made.location]);
    facts.row(["epoch", &made.epoch.to_string()]);
    facts.row(["size", &numbers::bytes(made.bytes)]);
    let mut operators = Table::new(&[Align::Left, Align::Right]);
    for operator in &made.operators {
        let versions: Vec<String> = operator.versions.iter().map(u32::to_string).collect();
        let versions = if versions.is_empty() { String::new() } else { format!("version {}", versions.join(", ")) };
        operators.row([operator.name.clone(), format!("{} slots", numbers::count(operator.slots)), versions]);
    }
    let (facts, operators) = (facts.render(0), operators.render(2));
    format!("savepoint {}\n\n{facts}\nOPERATORS\n{operators}\n{}", made.name, show_positions(&made.positions))
}

fn show_list(found: &[SavepointReport]) -> String {
    if found.is_empty() {
        return "no savepoints\n".to_owned();
    }
    let mut table = Table::new(&[Align::Left, Align::Right, Align::Left, Align::Right, Align::Right]);
    table.row(["NAME", "EPOCH", "MADE", "SLOTS", "SIZE"]);
    for s in found {
        let slots = s.operators.iter().map(|o| o.slots).sum();
        let (slots, size) = (numbers::count(slots), numbers::bytes(s.bytes));
        table.row([s.name.clone(), s.epoch.to_string(), utc(s.created_at_ms), slots, size]);
    }
    table.render(0)
}

fn show_restored(restored: &RestoreReport) -> String {
    let RestoreReport { savepoint, epoch, state, .. } = restored;
    let slots = numbers::count(restored.slots);
    let mut out = format!(
        "the next run goes on from savepoint {savepoint}: {slots} slots of {} are in {} as epoch {epoch}\n",
        if restored.operators.is_empty() { "no operator".to_owned() } else { restored.operators.join(", ") },
        state.display()
    );
    if !restored.left_out.is_empty() {
        out.push_str(&format!("left out: the state of {}\n", restored.left_out.join(", ")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{PositionReport, SavedOperator};

    fn savepoint() -> SavepointReport {
        SavepointReport {
            name: "before-upgrade".into(),
            pipeline: "fraud".into(),
            location: "out/state/checkpoints".into(),
            epoch: 41,
            created_at_ms: 1_700_000_000_000,
            bytes: 3_000_000,
            positions: vec![PositionReport { source: "in".into(), partition: "in.jsonl".into(), next: 1_001 }],
            operators: vec![
                SavedOperator { name: "count".into(), slots: 12_000, versions: vec![1, 2] },
                SavedOperator { name: "idle".into(), slots: 0, versions: vec![] },
            ],
        }
    }

    #[test]
    fn a_savepoint_shows_what_it_holds() {
        assert_eq!(
            show_one(&savepoint()),
            "savepoint before-upgrade\n\n\
             pipeline  fraud\nkept in   out/state/checkpoints\nepoch     41\nsize      2.86 MiB\n\n\
             OPERATORS\n  count  12,000 slots  version 1, 2\n  idle        0 slots\n\n\
             SOURCES\n  in  in.jsonl  goes on with 1,001\n"
        );
        assert_eq!(
            show_list(&[savepoint()]),
            "NAME            EPOCH  MADE                      SLOTS      SIZE\n\
             before-upgrade     41  2023-11-14 22:13:20 UTC  12,000  2.86 MiB\n"
        );
        assert_eq!(show_list(&[]), "no savepoints\n");
    }

    #[test]
    fn a_restore_says_what_was_left_out() {
        let restored = RestoreReport {
            savepoint: "s".into(),
            epoch: 43,
            state: "out/state/db".into(),
            operators: vec!["count".into()],
            slots: 12_000,
            left_out: vec!["old".into()],
            done_before: false,
        };
        assert_eq!(
            show_restored(&restored),
            "the next run goes on from savepoint s: 12,000 slots of count are in out/state/db as epoch 43\n\
             left out: the state of old\n"
        );
    }
}
