//! The texts that a pipeline is read from, the file and the `--set` arguments, and places in them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Place, Severity, Snippet};

/// The flag that overrides come from.
const SET: &str = "--set ";

/// Where a key or value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Bytes of the file.
    File(Range<usize>),
    /// Bytes of an override.
    Override {
        /// Which.
        index: usize,
        /// Where in it.
        range: Range<usize>,
    },
}

/// The texts.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// Path of the file as it was given.
    pub(super) file: String,
    /// What is in the file.
    pub(super) text: String,
    /// The overrides, as `key=value`.
    pub(super) overrides: Vec<String>,
}

impl Sources {
    /// What was written there; empty when the place lies outside the texts.
    pub(super) fn written(&self, origin: &Origin) -> &str {
        let (text, range) = match origin {
            Origin::File(range) => (Some(self.text.as_str()), range),
            Origin::Override { index, range } => (self.overrides.get(*index).map(String::as_str), range),
        };
        text.and_then(|t| t.get(range.clone())).unwrap_or_default()
    }

    /// The place as a user sees it.
    pub(super) fn place(&self, origin: &Origin) -> Place {
        match origin {
            Origin::File(range) => {
                let start = self.text.floor_char_boundary(range.start);
                let (before, after) = self.text.split_at(start);
                let (line_start, line_number) = match before.rfind('\n') {
                    Some(newline) => (newline + 1, before.matches('\n').count() + 1),
                    None => (0, 1),
                };
                let line_end = after.find('\n').map_or(self.text.len(), |n| start + n);
                let line = self.text.get(line_start..line_end).unwrap_or_default();
                let column = self.text.get(line_start..start).unwrap_or_default().chars().count();
                let width = characters(&self.text, start..range.end.min(line_end));
                Place::File {
                    file: self.file.clone(),
                    line: line_number,
                    column: column + 1,
                    snippet: Snippet::new(line, column, width),
                }
            }
            Origin::Override { index, range } => {
                let argument = self.overrides.get(*index).map(String::as_str).unwrap_or_default();
                let column = SET.len() + characters(argument, 0..range.start);
                let width = characters(argument, range.clone());
                let argument = format!("{SET}{argument}");
                Place::Override { snippet: Snippet::new(&argument, column, width), argument: one_line(&argument) }
            }
        }
    }

    /// An error at a place.
    pub(super) fn error(&self, origin: &Origin, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Error, self.place(origin), message)
    }

    /// An error of the file as a whole.
    pub(super) fn whole(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Error, Place::Whole { file: self.file.clone() }, message)
    }
}

fn characters(text: &str, range: Range<usize>) -> usize {
    let (start, end) = (text.floor_char_boundary(range.start), text.floor_char_boundary(range.end));
    text.get(start..end).unwrap_or_default().chars().count()
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Where each key of a pipeline was written, so that what is found later (schemas, models,
/// plugins) can still be shown at its line.
#[derive(Clone, Debug, Default)]
pub struct Places {
    sources: Arc<Sources>,
    keys: Arc<HashMap<String, Origin>>,
}

impl Places {
    pub(super) fn new(sources: Arc<Sources>, keys: HashMap<String, Origin>) -> Self {
        Self { sources, keys: Arc::new(keys) }
    }

    /// An error at a key such as `operator.score.model`. A key that is not written in the file
    /// is looked for in its table, then in the tables around that, then in the file as a whole.
    pub fn error(&self, key: &str, message: impl Into<String>) -> Diagnostic {
        let mut path = Some(key);
        while let Some(current) = path {
            if let Some(origin) = self.keys.get(current) {
                return self.sources.error(origin, message);
            }
            path = current.rsplit_once('.').map(|(parent, _)| parent);
        }
        self.sources.whole(message)
    }

    /// A warning at a key; see [`Places::error`].
    pub fn warning(&self, key: &str, message: impl Into<String>) -> Diagnostic {
        self.error(key, message).into_warning()
    }
}
