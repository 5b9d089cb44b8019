//! `millstream generate`: made-up data from a seed.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::exit::Failure;
use super::numbers;
use super::output::Output;
use super::progress::ProgressLine;
use crate::app;

/// What to make.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Card transactions, some of them fraud: the input of the fraud-scoring example
    Transactions(Transactions),
}

/// Arguments of `generate transactions`.
#[derive(Debug, Args)]
pub(super) struct Transactions {
    /// Rows to write
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Seed of the random numbers: the same seed gives the same file
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// File to write, or `-` for standard output; `.csv` gives CSV, else JSON lines; `.gz` and
    /// `.zst` are compressed
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Days that the rows fill
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: Option<u32>,
    /// Number of users
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    users: Option<u32>,
    /// Number of terminals
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    terminals: Option<u32>,
    /// Exponent of the users' activity; 0 makes all alike
    #[arg(long, value_parser = zipf)]
    zipf: Option<f64>,
    /// Draw no progress line
    #[arg(long)]
    no_progress: bool,
}

fn zipf(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=10.0).contains(&value) => Ok(value),
        _ => Err("expected a number from 0 to 10".to_owned()),
    }
}

pub(super) fn execute(command: &Command, output: &Output) -> Result<(), Failure> {
    let Command::Transactions(arguments) = command;
    let to_stdout = arguments.out.as_os_str() == "-";
    if to_stdout && output.json {
        return Err(Failure::Usage("--json and --out - both write to standard output; give a file to one".to_owned()));
    }
    let settings = app::Transactions {
        rows: arguments.rows,
        seed: arguments.seed,
        days: arguments.days,
        users: arguments.users,
        terminals: arguments.terminals,
        zipf: arguments.zipf,
        out: (!to_stdout).then(|| arguments.out.clone()),
    };
    let line = ProgressLine::start(!arguments.no_progress && !output.json);
    let generated = app::generate_transactions(&settings, line.progress());
    drop(line);
    let generated = generated?;
    if output.json {
        return output.object(&json!({
            "path": arguments.out,
            "rows": generated.rows,
            "fraud": generated.fraud,
            "bytes": generated.bytes,
        }));
    }
    let share = generated.fraud as f64 / generated.rows.max(1) as f64 * 100.0;
    output.note(&format!(
        "{} transactions ({} fraud, {share:.2} %), {}, in {}",
        numbers::count(generated.rows),
        numbers::count(generated.fraud),
        numbers::bytes(generated.bytes),
        if to_stdout { "standard output".to_owned() } else { arguments.out.display().to_string() },
    ));
    Ok(())
}
