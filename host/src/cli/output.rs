//! Where text goes: results to standard output, the rest to standard error. A reader that closes
//! the pipe (`| head`) ends the output, not the program with a panic.

use std::io::{self, ErrorKind, IsTerminal, Write};

use serde::Serialize;

use super::exit::Failure;
use super::logging::BARS;
use crate::config::Warning;

/// The two streams.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    /// Whether standard output gets JSON.
    pub(super) json: bool,
    color: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json, color: wants_color(|name| std::env::var(name).ok(), io::stderr().is_terminal()) }
    }

    /// Writes a result.
    pub(super) fn text(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        match written {
            Err(e) if e.kind() != ErrorKind::BrokenPipe => {
                Err(Failure::Failed(format!("standard output cannot be written: {e}")))
            }
            _ => Ok(()),
        }
    }

    /// Writes a result as JSON.
    pub(super) fn object(&self, value: &impl Serialize) -> Result<(), Failure> {
        let mut text = serde_json::to_string_pretty(value)
            .map_err(|e| Failure::Failed(format!("the result cannot be written as JSON: {e}")))?;
        text.push('\n');
        self.text(&text)
    }

    /// Tells of something beside the result.
    pub(super) fn note(&self, text: &str) {
        // Nobody is left to tell when standard error is closed.
        BARS.suspend(|| {
            let _ = writeln!(io::stderr().lock(), "{}", text.trim_end());
        });
    }

    /// Shows warnings, each as a paragraph.
    pub(super) fn warnings(&self, warnings: &[Warning]) {
        for warning in warnings {
            self.note(&format!("{}\n", warning.render(self.color)));
            self.note("");
        }
    }

    /// Shows why the command failed.
    pub(super) fn failure(&self, failure: &Failure) {
        if matches!(failure, Failure::Found) {
            return;
        }
        if self.json {
            // The exit code says the rest when standard output is closed.
            let _ = self.object(&failure.to_json());
            return;
        }
        match failure {
            Failure::Configuration(errors) => {
                let count = errors.errors.len();
                self.note(&errors.render(self.color));
                if count > 1 {
                    self.note(&format!("\n{count} errors"));
                }
            }
            other => self.note(&format!("{} {other}", self.word("error:"))),
        }
    }

    fn word(&self, word: &str) -> String {
        if self.color { format!("\x1b[1;31m{word}\x1b[0m") } else { word.to_owned() }
    }
}

/// Whether to colour, by the conventions of `NO_COLOR` and `CLICOLOR_FORCE`.
fn wants_color(variable: impl Fn(&str) -> Option<String>, terminal: bool) -> bool {
    let is_set = |name| variable(name).is_some_and(|v| !v.is_empty());
    if is_set("NO_COLOR") {
        return false;
    }
    if is_set("CLICOLOR_FORCE") && variable("CLICOLOR_FORCE").as_deref() != Some("0") {
        return true;
    }
    terminal && variable("TERM").as_deref() != Some("dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_wins_over_everything() {
        let color = |set: &[(&str, &str)], terminal| {
            wants_color(|name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()), terminal)
        };
        assert!(color(&[], true));
        assert!(!color(&[], false));
        assert!(!color(&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], true));
        assert!(color(&[("NO_COLOR", "")], true));
        assert!(color(&[("CLICOLOR_FORCE", "1")], false));
        assert!(!color(&[("CLICOLOR_FORCE", "0")], false));
        assert!(!color(&[("TERM", "dumb")], true));
    }
}
