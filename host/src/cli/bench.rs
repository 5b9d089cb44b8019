//! `millstream bench`: measured values beside the bars that they should meet.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::exit::Failure;
use super::numbers::significant;
use super::output::Output;
use super::table::{Align, Table};
use crate::bench;
use crate::config::user_cache;
use crate::report::{Bar, Measurement};

/// Variable that names a file for the values as JSON.
const VARIABLE: &str = "BENCH_JSON";

/// Arguments of `bench`.
#[derive(Debug, Args)]
#[command(after_help = "When BENCH_JSON names a file, the values are also written there as JSON.")]
pub(super) struct Arguments {
    /// Benchmarks to run; all when none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Only list the names
    #[arg(long)]
    list: bool,
}

pub(super) fn execute(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let known = bench::NAMES;
    if arguments.list {
        return if output.json {
            output.object(&json!({ "benchmarks": known }))
        } else {
            output.text(&known.iter().map(|n| format!("{n}\n")).collect::<String>())
        };
    }
    if let Some(name) = arguments.names.iter().find(|n| !known.contains(&n.as_str())) {
        return Err(Failure::Usage(format!(
            "no benchmark is named `{name}`; `millstream bench --list` shows them all"
        )));
    }
    let mut names: Vec<&str> = known.to_vec();
    if !arguments.names.is_empty() {
        names.retain(|n| arguments.names.iter().any(|wanted| wanted == n));
    }
    let mut measured: Vec<Measurement> = Vec::new();
    bench::run(&names, &options()?, &mut |m| {
        if !output.json {
            // The table needs all values to be aligned; this shows that it goes on.
            output.note(&format!("{}: {} {}", m.name, significant(m.value), m.unit));
        }
        measured.push(m.clone());
    })
    .map_err(Failure::Failed)?;
    let rows: Vec<_> = measured
        .iter()
        .map(|m| json!({ "name": m.name, "value": m.value, "unit": m.unit, "bar": m.bar, "met": m.met() }))
        .collect();
    let result = json!({ "benchmarks": rows });
    if let Some(path) = std::env::var_os(VARIABLE).filter(|p| !p.is_empty()).map(PathBuf::from) {
        std::fs::write(&path, format!("{result:#}\n"))
            .map_err(|e| Failure::Failed(format!("{VARIABLE}: {} cannot be written: {e}", path.display())))?;
    }
    if output.json { output.object(&result) } else { output.text(&table(&measured)) }
}

/// Plugins are looked for in the folder `plugins` beside the host's binary.
fn options() -> Result<bench::Options, Failure> {
    let host =
        std::env::current_exe().map_err(|e| Failure::Failed(format!("the host's own binary is not found: {e}")))?;
    let plugins = host.with_file_name("plugins");
    if !plugins.is_dir() {
        return Err(Failure::Failed(format!("{} is missing; `make build` fills it", plugins.display())));
    }
    Ok(bench::Options { host, plugins, scratch: user_cache().join("bench") })
}

fn table(measured: &[Measurement]) -> String {
    let mut table = Table::new(&[Align::Left, Align::Right, Align::Left, Align::Left, Align::Left]);
    table.row(["NAME", "VALUE", "UNIT", "BAR", "MET"]);
    for m in measured {
        let bar = match m.bar {
            Some(Bar::AtMost(limit)) => format!("<= {}", limit),
            Some(Bar::AtLeast(limit)) => format!(">= {}", limit),
            None => "-".to_owned(),
        };
        let met = match m.met() {
            Some(true) => "yes",
            Some(false) => "no",
            None => "-",
        };
        table.row([m.name.as_str(), &significant(m.value), &m.unit, &bar, met]);
    }
    table.render(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_which_bars_are_met() {
        let measurement = |name: &str, value, bar| Measurement { name: name.into(), value, unit: "µs".into(), bar };
        let text = table(&[
            measurement("fast", 0.45, Some(Bar::AtMost(0.7))),
            measurement("slow", 12.5, Some(Bar::AtMost(10.0))),
            measurement("many", 5.0, Some(Bar::AtLeast(10.0))),
            measurement("other", 1234.0, None),
        ]);
        assert_eq!(
            text,
            "NAME   VALUE  UNIT  BAR     MET\nfast    0.45  µs    <= 0.7  yes\nslow    12.5  µs    <= 10   no\n\
             many    5.00  µs    >= 10   no\nother   1234  µs    -       -\n"
        );
    }
}
