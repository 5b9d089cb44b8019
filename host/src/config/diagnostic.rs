//! What is wrong with a pipeline file, and how it is said: the message, the place, the offending
//! line with a caret, what was expected there, and the fix.
//!
//! ```text
//! error: unknown key `conector` in `[source.transactions]`
//!   --> pipeline.toml:12:1
//!    |
//! 12 | conector = "file"
//!    | ^^^^^^^^ not a key of this table
//!    = help: did you mean `connector`?
//! ```
//!
//! A diagnostic owns its line, so it outlives the file. Values of environment variables never get
//! in: lines are shown as they are written.

use std::fmt::{self, Display, Formatter, Write};

use serde::Serialize;

/// Longest part of a line that is shown; the rest is replaced by an ellipsis.
const MAX_SHOWN: usize = 120;

/// Whether a diagnostic stops the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The pipeline cannot run.
    Error,
    /// The pipeline can run, but probably does not do what was meant.
    Warning,
}

/// One thing that is wrong with a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Whether it stops the pipeline.
    pub severity: Severity,
    /// What is wrong, naming the key and the value.
    pub message: String,
    /// Where it is.
    pub place: Place,
    /// What was expected at that place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// A diagnostic that does not stop the pipeline.
pub type Warning = Diagnostic;

impl Diagnostic {
    pub(super) fn new(severity: Severity, place: Place, message: impl Into<String>) -> Self {
        Self { severity, message: message.into(), place, expected: None, help: None }
    }

    /// Adds what was expected at the place.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Turns it into a warning.
    #[must_use]
    pub fn into_warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Its text, coloured with ANSI sequences when `color` is set.
    pub fn render(&self, color: bool) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut out, Paint { on: color });
        out
    }

    fn write(&self, out: &mut dyn Write, paint: Paint) -> fmt::Result {
        let (word, hue) = match self.severity {
            Severity::Error => ("error", RED),
            Severity::Warning => ("warning", YELLOW),
        };
        writeln!(out, "{}{}", paint.text(hue, word), paint.text(BOLD, &format!(": {}", self.message)))?;
        let (at, line, snippet) = match &self.place {
            Place::File { file, line, column, snippet } => {
                (format!("{file}:{line}:{column}"), line.to_string(), Some(snippet))
            }
            Place::Override { argument, snippet } => (argument.clone(), String::new(), Some(snippet)),
            Place::Whole { file } => (file.clone(), String::new(), None),
        };
        let margin = " ".repeat(line.len().max(1));
        writeln!(out, "{margin}{} {at}", paint.text(BLUE, "-->"))?;
        let bar = paint.text(BLUE, "|");
        if let Some(snippet) = snippet {
            let label = self.expected.as_deref().unwrap_or_default();
            let marks = paint.text(hue, format!("{} {label}", "^".repeat(snippet.width.max(1))).trim_end());
            writeln!(out, "{margin} {bar}")?;
            writeln!(out, "{} {bar} {}", paint.text(BLUE, &format!("{line:1}")), snippet.text)?;
            writeln!(out, "{margin} {bar} {}{marks}", " ".repeat(snippet.start))?;
        } else if let Some(expected) = &self.expected {
            writeln!(out, "{margin} {} {expected}", paint.text(BLUE, "="))?;
        }
        if let Some(help) = &self.help {
            writeln!(out, "{margin} {} help: {help}", paint.text(BLUE, "="))?;
        }
        Ok(())
    }
}

impl Display for Diagnostic {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.write(f, Paint { on: false })
    }
}

/// Where something is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// A place in the pipeline file.
    File {
        /// Path of the file as it was given.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// The line and the marked part of it.
        #[serde(flatten)]
        snippet: Snippet,
    },
    /// A value of the command line.
    Override {
        /// The argument, as `--set key=value`.
        argument: String,
        /// The argument and the marked part of it.
        #[serde(flatten)]
        snippet: Snippet,
    },
    /// The file as a whole.
    Whole {
        /// Path of the file as it was given.
        file: String,
    },
}

/// A line of text with a marked part, fit for a terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Snippet {
    /// The line, cut around the marked part when it is very long; tabs and control characters are
    /// replaced by single characters.
    pub text: String,
    /// Characters before the marked part.
    #[serde(skip)]
    pub start: usize,
    /// Characters of the marked part.
    #[serde(skip)]
    pub width: usize,
}

impl Snippet {
    /// A snippet of `line` with the characters `start..start + width` marked.
    pub(super) fn new(line: &str, start: usize, width: usize) -> Self {
        let length = line.chars().count();
        let width = width.min(length.saturating_sub(start)).min(MAX_SHOWN);
        let from = if length <= MAX_SHOWN { 0 } else { start.saturating_sub(MAX_SHOWN / 3) };
        let shown = line.chars().skip(from).take(MAX_SHOWN).map(printable);
        let (before, after) = (from > 0, from + MAX_SHOWN < length);
        let text: String =
            before.then_some('…').into_iter().chain(shown).chain(after.then_some('…')).collect::<String>();
        Self { text: text.trim_end().to_owned(), start: start - from + usize::from(before), width }
    }
}

/// Keeps a hostile file from driving the terminal.
fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// Everything that is wrong with a pipeline; at least one error.
#[derive(Clone, Debug, Serialize)]
pub struct Errors {
    /// In the order of the file.
    pub errors: Vec<Diagnostic>,
}

impl Errors {
    /// The texts of all, one below the other, coloured when `color` is set.
    pub fn render(&self, color: bool) -> String {
        self.errors.iter().map(|e| e.render(color)).collect::<Vec<_>>().join("\n")
    }
}

impl From<Diagnostic> for Errors {
    fn from(error: Diagnostic) -> Self {
        Self { errors: vec![error] }
    }
}

impl Display for Errors {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Errors {}

const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const BLUE: &str = "\x1b[1;34m";

#[derive(Clone, Copy)]
struct Paint {
    on: bool,
}

impl Paint {
    fn text(self, style: &str, text: &str) -> String {
        if self.on && !text.is_empty() { format!("{style}{text}\x1b[0m") } else { text.to_owned() }
    }
}
