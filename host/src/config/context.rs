//! What the readers of one file share: where the texts are, what was found so far, and how a
//! string, a path or a name is read.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::diagnostic::{Diagnostic, Severity};
use super::sources::{Origin, Sources};
use super::substitute::{Environment, Problem, substitute};
use super::tree::{Node, Value};

/// Longest name of a source, operator, sink or model: names become parts of file names and of
/// every key of the state.
const MAX_NAME: usize = 64;

/// Messages kept at most; beyond that they are only counted, so that a file of a million mistakes
/// costs no more than one of a few.
const MAX_KEPT: usize = 200;

/// What all readers of a file share.
pub(super) struct Context<'a> {
    pub(super) sources: &'a Sources,
    pub(super) environment: &'a Environment<'a>,
    /// Relative paths of the file start here.
    pub(super) folder: &'a Path,
    errors: RefCell<Vec<Diagnostic>>,
    warnings: RefCell<Vec<Diagnostic>>,
    dropped: Cell<usize>,
    keys: RefCell<HashMap<String, Origin>>,
}

/// What reading a file brought to light.
pub(super) struct Findings {
    pub(super) errors: Vec<Diagnostic>,
    /// Errors beyond those.
    pub(super) dropped: usize,
    pub(super) warnings: Vec<Diagnostic>,
    /// Where each key was written.
    pub(super) keys: HashMap<String, Origin>,
}

/// A string of the file, variables replaced.
#[derive(Clone, Debug)]
pub(super) struct Text {
    /// Its value. Not for messages: it may hold the value of a variable.
    pub(super) value: String,
    /// As it was written, for messages.
    pub(super) shown: String,
    /// Where it was written.
    pub(super) at: Origin,
}

impl<'a> Context<'a> {
    pub(super) fn new(sources: &'a Sources, environment: &'a Environment<'a>, folder: &'a Path) -> Self {
        Self {
            sources,
            environment,
            folder,
            errors: RefCell::default(),
            warnings: RefCell::default(),
            dropped: Cell::new(0),
            keys: RefCell::default(),
        }
    }

    pub(super) fn report(&self, diagnostic: Diagnostic) {
        let list = match diagnostic.severity {
            Severity::Error if self.is_full() => return self.dropped.set(self.dropped.get() + 1),
            Severity::Error => &self.errors,
            Severity::Warning => &self.warnings,
        };
        let mut list = list.borrow_mut();
        if list.len() < MAX_KEPT {
            list.push(diagnostic);
        }
    }

    /// Whether further messages are only counted.
    pub(super) fn is_full(&self) -> bool {
        self.errors.borrow().len() >= MAX_KEPT
    }

    pub(super) fn error(&self, at: &Origin, message: impl Into<String>) -> Diagnostic {
        // Places are not free to find.
        if self.is_full() { self.sources.whole(message) } else { self.sources.error(at, message) }
    }

    /// An error at a table or key that was read.
    pub(super) fn error_at(&self, key: &str, message: impl Into<String>) -> Diagnostic {
        match self.keys.borrow().get(key) {
            Some(at) => self.error(at, message),
            None => self.sources.whole(message),
        }
    }

    pub(super) fn into_findings(self) -> Findings {
        Findings {
            errors: self.errors.into_inner(),
            dropped: self.dropped.get(),
            warnings: self.warnings.into_inner(),
            keys: self.keys.into_inner(),
        }
    }

    /// Records where a key or table was written.
    pub(super) fn record(&self, key: String, at: &Origin) {
        self.keys.borrow_mut().insert(key, at.clone());
    }

    pub(super) fn wrong_type(&self, path: &str, node: &Node, wanted: &str) {
        let wanted_short = wanted.split(" such as").next().unwrap_or(wanted);
        self.report(
            self.error(&node.at, format!("`{path}` must be {wanted_short}"))
                .expected(format!("expected {wanted}, found {}", node.value.kind())),
        );
    }

    /// The string of a node. A number on the command line is a string where one is wanted.
    pub(super) fn text(&self, path: &str, node: &Node, example: &str) -> Option<Text> {
        let shown = match (&node.value, &node.at) {
            (Value::Text(text), _) => text.clone(),
            (Value::List(_) | Value::Table(_), _) | (_, Origin::File(_)) => {
                self.wrong_type(path, node, &format!("a string such as `\"{example}\"`"));
                return None;
            }
            (_, at @ Origin::Override { .. }) => self.sources.written(at).to_owned(),
        };
        let diagnostic = match substitute(&shown, self.environment) {
            Ok(value) => return Some(Text { value, shown, at: node.at.clone() }),
            Err(Problem::Unset(name)) => self
                .error(&node.at, format!("the environment has no variable `{name}`"))
                .help(format!("set it, or give a default: `${{{name}:-default}}`")),
            Err(Problem::BadName(name)) => self
                .error(&node.at, format!("`{name}` cannot be the name of a variable"))
                .expected("expected letters, digits and `_` between `${` and `}`")
                .help("write `$${` for a literal `${`"),
            Err(Problem::Unclosed) => self
                .error(&node.at, "`${` is not closed")
                .expected("expected `${NAME}` or `${NAME:-default}`")
                .help("write `$${` for a literal `${`"),
        };
        self.report(diagnostic);
        None
    }

    /// The path of a text: `~` is the home folder; relative paths of the file start at its folder,
    /// those of the command line at the current one.
    pub(super) fn path(&self, text: &Text) -> Option<PathBuf> {
        if text.value.is_empty() {
            self.report(self.error(&text.at, "the path is empty").expected("expected the path of a file or folder"));
            return None;
        }
        let home = (text.value == "~").then_some("").or_else(|| text.value.strip_prefix("~/"));
        if let Some(rest) = home {
            let Some(home) = (self.environment)("HOME").filter(|h| !h.is_empty()) else {
                self.report(
                    self.error(&text.at, "`~` needs the variable `HOME`, which is not set").help("write the full path"),
                );
                return None;
            };
            return Some(Path::new(&home).join(rest));
        }
        Some(match text.at {
            Origin::File(_) => self.folder.join(&text.value),
            Origin::Override { .. } => PathBuf::from(&text.value),
        })
    }

    /// Whether a text may be the name of a part of a pipeline; reports it when not.
    pub(super) fn check_name(&self, what: &str, name: &Text) -> bool {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if !name.value.is_empty() && name.value.len() <= MAX_NAME && name.value.chars().all(fits) {
            return true;
        }
        let lower = name.shown.chars().take(MAX_NAME).map(|c| c.to_ascii_lowercase());
        let fixed: String = lower.map(|c| if fits(c) { c } else { '-' }).collect();
        let mut diagnostic = self
            .error(&name.at, format!("`{}` cannot be the name of {what}", name.shown))
            .expected(format!("expected 1 to {MAX_NAME} of `a-z`, `0-9`, `-` and `_`"));
        if !fixed.is_empty() && name.shown == name.value {
            diagnostic = diagnostic.help(format!("for example `{fixed}`"));
        }
        self.report(diagnostic);
        false
    }
}
