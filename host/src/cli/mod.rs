//! The command line: thin. Each command reads its arguments, calls `app`, and shows what comes back.
//!
//! Results go to standard output, everything else (progress, logs, warnings, errors) to standard
//! error. With `--json` standard output holds exactly one JSON object.

mod bench;
mod check;
mod checkpoint;
mod exit;
mod generate;
mod graph;
mod logging;
mod numbers;
mod output;
mod pipeline;
mod plugins;
mod progress;
mod run;
mod savepoint;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use exit::EXIT_CODES;
use output::Output;

/// Runs streams of events through sandboxed WebAssembly operators and machine-learning models.
#[derive(Debug, Parser)]
#[command(name = "millstream", version, after_help = EXIT_CODES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Write the result as one JSON object to standard output
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    log: logging::Arguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a pipeline to the end of its input; SIGINT or SIGTERM drain it and end it well
    Run(run::Arguments),
    /// Check everything about a pipeline that can be known without running it
    Check(check::Arguments),
    /// Show the operators of a pipeline and what flows between them
    Graph(graph::Arguments),
    /// Write made-up data
    #[command(subcommand)]
    Generate(generate::Command),
    /// Measure the speed of this build on this machine
    Bench(bench::Arguments),
    /// Look at plugins
    #[command(subcommand)]
    Plugins(plugins::Command),
    /// Look at checkpoints and check them
    #[command(subcommand)]
    Checkpoint(checkpoint::Command),
    /// Keep the state of a pipeline by name, and go back to it
    #[command(subcommand)]
    Savepoint(savepoint::Command),
}

/// Runs the command that the arguments of the process name.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A closed pipe is not worth a word.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let output = Output::new(cli.json);
    let result = logging::start(&cli.log).and_then(|()| match &cli.command {
        Command::Run(arguments) => run::execute(arguments, &output),
        Command::Check(arguments) => check::execute(arguments, &output),
        Command::Graph(arguments) => graph::execute(arguments, &output),
        Command::Generate(command) => generate::execute(command, &output),
        Command::Bench(arguments) => bench::execute(arguments, &output),
        Command::Plugins(command) => plugins::execute(command, &output),
        Command::Checkpoint(command) => checkpoint::execute(command, &output),
        Command::Savepoint(command) => savepoint::execute(command, &output),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            failure.code().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
