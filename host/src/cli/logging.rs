//! Logs to standard error: JSON lines for machines, text for terminals. A line never tears the
//! progress line: it is taken away first and drawn again after.

use std::io::{self, IsTerminal, Write};
use std::sync::LazyLock;

use clap::{Args, ValueEnum};
use indicatif::{MultiProgress, ProgressDrawTarget};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::exit::Failure;

/// Variable that sets the level when the flag does not.
const VARIABLE: &str = "MILLSTREAM_LOG";

/// Everything that is drawn on the terminal; hidden when standard error is none.
pub(super) static BARS: LazyLock<MultiProgress> =
    LazyLock::new(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));

/// What is logged and how.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// error, warn, info, debug, trace, or a filter such as `info,millstream::state=debug`
    /// [env: MILLSTREAM_LOG=] [default: info]
    #[arg(long, global = true, value_name = "LEVEL", help_heading = "Logging")]
    log_level: Option<String>,
    /// Form of the log on standard error [default: text on a terminal, else json]
    #[arg(long, global = true, value_enum, value_name = "FORMAT", help_heading = "Logging")]
    log_format: Option<LogFormat>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// One JSON object a line
    Json,
    /// Lines for people
    Text,
}

/// Starts logging.
pub(super) fn start(arguments: &Arguments) -> Result<(), Failure> {
    let level = arguments.log_level.clone().or_else(|| std::env::var(VARIABLE).ok().filter(|v| !v.is_empty()));
    let filter = filter(level.as_deref().unwrap_or("info"))?;
    let text = match arguments.log_format {
        Some(format) => matches!(format, LogFormat::Text),
        None => io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Stderr).with_ansi(false);
    // Fails only when a logger is there already, which then does as well.
    let _ = if text { builder.try_init() } else { builder.json().flatten_event(true).try_init() };
    Ok(())
}

fn filter(level: &str) -> Result<EnvFilter, Failure> {
    let level = level.trim();
    let directives = match level.to_ascii_lowercase().as_str() {
        "off" | "error" | "warn" => level.to_owned(),
        // Libraries say much below a warning that means little here.
        "info" | "debug" | "trace" => format!("warn,millstream={level}"),
        _ => level.to_owned(),
    };
    let invalid = |reason: String| {
        Failure::Usage(format!(
            "`{level}` is not a log level{reason}; expected error, warn, info, debug, trace or a filter such as \
             `info,millstream::state=debug`"
        ))
    };
    // A lone unknown word would be taken for the name of a module.
    if !directives.contains(['=', ',', ':']) && directives.parse::<tracing::Level>().is_err() && level != "off" {
        return Err(invalid(String::new()));
    }
    EnvFilter::builder().parse(&directives).map_err(|e| invalid(format!(" ({e})")))
}

/// Standard error, around the progress line.
#[derive(Clone, Copy)]
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        BARS.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl MakeWriter<'_> for Stderr {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_filters_are_told_from_typing_slips() {
        for good in ["info", "INFO", "off", "error", "warn,millstream::state=debug", "millstream=trace"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["inof", "millstream=loud", ""] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }
}
