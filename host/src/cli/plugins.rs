//! `millstream plugins`: what is in a plugin file.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::exit::Failure;
use super::numbers;
use super::output::Output;
use super::table::Table;
use crate::app;
use crate::report::{Column, PluginReport};

/// What to do with plugins.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the name, version, columns, state and imports of a plugin
    Inspect(Inspect),
}

/// Arguments of `plugins inspect`.
#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The component
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
}

pub(super) fn execute(command: &Command, output: &Output) -> Result<(), Failure> {
    let Command::Inspect(arguments) = command;
    let plugin = app::inspect_plugin(&arguments.file)?;
    if output.json { output.object(&plugin) } else { output.text(&describe(&plugin)) }
}

fn describe(plugin: &PluginReport) -> String {
    let mut out = format!("{} {}\n\n", plugin.name, plugin.version);
    let mut facts = Table::default();
    facts.row(["file", &plugin.path.display().to_string()]);
    facts.row(["size", &numbers::bytes(plugin.bytes)]);
    facts.row(["sha256", &plugin.sha256]);
    if let Some(state) = &plugin.state {
        let size = match state.fixed_size {
            0 => "of varying size".to_owned(),
            n => format!("of {n} bytes"),
        };
        let ttl = match state.ttl_ms {
            0 => "kept for ever".to_owned(),
            ms => format!("kept for {} after the last write", numbers::seconds(ms as f64 / 1e3)),
        };
        facts.row(["state", &format!("version {}, slots {size}, {ttl}", state.version)]);
    }
    for (title, names) in [
        ("counters", &plugin.counters),
        ("wants", &plugin.capabilities),
        ("imports", &plugin.imports),
        ("exports", &plugin.exports),
    ] {
        for (i, name) in names.iter().enumerate() {
            facts.row([if i == 0 { title } else { "" }, name]);
        }
    }
    out.push_str(&facts.render(0));
    out.push_str(&columns("reads", &plugin.inputs));
    for (i, port) in plugin.outputs.iter().enumerate() {
        let title = if i == 0 { "adds".to_owned() } else { format!("port {} writes", port.name) };
        out.push_str(&columns(&title, &port.columns));
    }
    out
}

fn columns(title: &str, columns: &[Column]) -> String {
    let mut table = Table::default();
    for column in columns {
        let optional = if column.nullable { "?" } else { "" };
        table.row([column.name.as_str(), &format!("{}{optional}", column.type_name)]);
    }
    let rows = if columns.is_empty() { "  nothing\n".to_owned() } else { table.render(2) };
    format!("\n{title}\n{rows}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{PortReport, StateReport};

    #[test]
    fn a_plugin_is_described_on_one_screen() {
        let column = |name: &str, t: &str, nullable| Column { name: name.into(), type_name: t.into(), nullable };
        let text = describe(&PluginReport {
            path: "enrich.wasm".into(),
            bytes: 170_000,
            sha256: "ab12".into(),
            name: "feature-enrichment".into(),
            version: "1.1.0".into(),
            inputs: vec![column("user_id", "utf8", false), column("amount", "f64", true)],
            outputs: vec![
                PortReport { name: "out".into(), columns: vec![column("ratio", "f64", false)] },
                PortReport { name: "late".into(), columns: Vec::new() },
            ],
            state: Some(StateReport { version: 2, ttl_ms: 86_400_000, fixed_size: 0 }),
            imports: vec!["millstream:operator/log".into(), "millstream:operator/clock".into()],
            ..PluginReport::default()
        });
        assert_eq!(
            text,
            "feature-enrichment 1.1.0\n\nfile     enrich.wasm\nsize     166 KiB\nsha256   ab12\n\
             state    version 2, slots of varying size, kept for 24 h 0 min after the last write\n\
             imports  millstream:operator/log\n         millstream:operator/clock\n\n\
             reads\n  user_id  utf8\n  amount   f64?\n\nadds\n  ratio  f64\n\nport late writes\n  nothing\n"
        );
    }
}
