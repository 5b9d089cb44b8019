//! A typed view of one table. Every key that is asked for becomes a known key; what is left at the
//! end is unknown. Nothing stops at the first mistake: a value that does not fit is reported and
//! replaced by its default, so that one reading finds everything that is wrong.

mod values;

use std::collections::HashSet;
use std::path::PathBuf;

use super::context::{Context, Text};
use super::diagnostic::Diagnostic;
use super::nearest::{did_you_mean, list, nearest};
use super::sources::Origin;
use super::tree::{Node, Table, Value};

/// The article before a key.
fn article(key: &str) -> &'static str {
    if key.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// A table that is being read.
pub(super) struct Reader<'a> {
    pub(super) cx: &'a Context<'a>,
    /// Dotted path; empty at the root.
    pub(super) path: String,
    /// Where its header is; the root has none.
    pub(super) at: Option<Origin>,
    table: &'a Table,
    known: Vec<&'static str>,
    missing: Vec<(&'static str, String)>,
    lenient: bool,
    what: Option<&'static str>,
}

impl<'a> Reader<'a> {
    pub(super) fn root(cx: &'a Context<'a>, table: &'a Table) -> Self {
        Self::new(cx, String::new(), None, table)
    }

    fn new(cx: &'a Context<'a>, path: String, at: Option<Origin>, table: &'a Table) -> Self {
        Self { cx, path, at, table, known: Vec::new(), missing: Vec::new(), lenient: false, what: None }
    }

    /// Names what the table describes (`a generator source`), for unknown keys.
    pub(super) fn describe(&mut self, what: &'static str) {
        self.what = Some(what);
    }

    /// Reports no unknown keys: it is not known which kind of table this was meant to be.
    pub(super) fn lenient(&mut self) {
        self.lenient = true;
    }

    /// Dotted path of a key.
    pub(super) fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// An error at the table itself.
    pub(super) fn error(&self, message: impl Into<String>) -> Diagnostic {
        match &self.at {
            Some(at) => self.cx.error(at, message),
            None => self.cx.sources.whole(message),
        }
    }

    /// Keys, places and values in the order of the file, for tables whose keys are names.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, &'a Origin, &'a Node)> + use<'a> {
        self.table.entries.iter().map(|e| (e.key.as_str(), &e.key_at, &e.node))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    /// Where a key was written.
    pub(super) fn key_at(&self, key: &str) -> Option<&'a Origin> {
        self.table.get(key).map(|entry| &entry.key_at)
    }

    pub(super) fn take(&mut self, key: &'static str) -> Option<&'a Node> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        let node = &self.table.get(key)?.node;
        self.cx.record(self.key(key), &node.at);
        Some(node)
    }

    /// A key that must be there; `help` says what to add when it is not.
    pub(super) fn require(&mut self, key: &'static str, help: &str) -> Option<&'a Node> {
        let node = self.take(key);
        if node.is_none() {
            self.missing.push((key, help.to_owned()));
        }
        node
    }

    pub(super) fn text(&mut self, key: &'static str, example: &str) -> Option<Text> {
        let node = self.take(key)?;
        self.cx.text(&self.key(key), node, example)
    }

    pub(super) fn required_text(&mut self, key: &'static str, example: &str) -> Option<Text> {
        let node = self.require(key, &format!("add `{key} = \"{example}\"`"))?;
        self.cx.text(&self.key(key), node, example)
    }

    pub(super) fn path(&mut self, key: &'static str, example: &str) -> Option<PathBuf> {
        self.text(key, example).and_then(|text| self.cx.path(&text))
    }

    pub(super) fn required_path(&mut self, key: &'static str, example: &str) -> Option<(PathBuf, Text)> {
        let text = self.required_text(key, example)?;
        Some((self.cx.path(&text)?, text))
    }

    /// A list of strings.
    pub(super) fn texts(&mut self, key: &'static str, example: &str) -> Option<Vec<Text>> {
        let node = self.take(key)?;
        self.list_of(key, node, example)
    }

    pub(super) fn required_texts(&mut self, key: &'static str, example: &str) -> Option<Vec<Text>> {
        let node = self.require(key, &format!("add `{key} = [\"{example}\"]`"))?;
        self.list_of(key, node, example)
    }

    fn list_of(&self, key: &str, node: &Node, example: &str) -> Option<Vec<Text>> {
        let path = self.key(key);
        let Value::List(items) = &node.value else {
            self.cx.wrong_type(&path, node, &format!("a list of strings such as `[\"{example}\"]`"));
            return None;
        };
        let texts: Vec<Text> = items.iter().filter_map(|i| self.cx.text(&format!("{path}[…]"), i, example)).collect();
        let mut seen = HashSet::new();
        for text in &texts {
            if !seen.insert(text.value.as_str()) {
                let message = format!("`{}` is listed twice in `{path}`", text.shown);
                self.cx.report(self.cx.error(&text.at, message).help("remove one of the two"));
            }
        }
        (texts.len() == items.len()).then_some(texts)
    }

    /// A string or a list of strings.
    pub(super) fn required_text_or_texts(&mut self, key: &'static str, example: &str) -> Option<Vec<Text>> {
        let node = self.require(key, &format!("add `{key} = \"{example}\"`"))?;
        match &node.value {
            Value::List(_) => self.list_of(key, node, example),
            _ => self.cx.text(&self.key(key), node, example).map(|text| vec![text]),
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let node = self.take(key)?;
        self.choose(key, node, choices)
    }

    pub(super) fn required_choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let help = format!("add `{key} = …`, one of {}", list(&words));
        let node = self.require(key, &help)?;
        self.choose(key, node, choices)
    }

    fn choose<T: Copy>(&self, key: &str, node: &Node, choices: &[(&str, T)]) -> Option<T> {
        self.word(key, &format!("{} {}", article(key), key.replace('_', " ")), node, choices)
    }

    /// One of a few words, at a key that is a name: `what` says what they are.
    pub(super) fn word<T: Copy>(&self, key: &str, what: &str, node: &Node, choices: &[(&str, T)]) -> Option<T> {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let text = self.cx.text(&self.key(key), node, words.first().copied().unwrap_or_default())?;
        let found = choices.iter().find(|(word, _)| *word == text.value).map(|(_, value)| *value);
        if found.is_none() {
            let mut diagnostic = self
                .cx
                .error(&text.at, format!("`{}` is not {what}", text.shown))
                .expected(format!("expected one of {}", list(&words)));
            if let Some(near) = nearest(&text.shown, words) {
                diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
            }
            self.cx.report(diagnostic);
        }
        found
    }

    /// A table below this one.
    pub(super) fn table(&mut self, key: &'static str) -> Option<Reader<'a>> {
        let node = self.take(key)?;
        let path = self.key(key);
        let Value::Table(table) = &node.value else {
            self.cx.wrong_type(&path, node, &format!("a table such as `[{path}]`"));
            return None;
        };
        Some(Reader::new(self.cx, path, Some(node.at.clone()), table))
    }

    /// The tables `[[PATH.key]]`, in order.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<Reader<'a>> {
        let Some(node) = self.take(key) else { return Vec::new() };
        let path = self.key(key);
        let wanted = format!("a list of tables such as `[[{path}]]`");
        let Value::List(items) = &node.value else {
            self.cx.wrong_type(&path, node, &wanted);
            return Vec::new();
        };
        let mut readers = Vec::new();
        for item in items {
            match &item.value {
                Value::Table(table) => {
                    readers.push(Reader::new(self.cx, path.clone(), Some(item.at.clone()), table));
                }
                _ => self.cx.wrong_type(&path, item, &wanted),
            }
        }
        readers
    }

    /// The tables `[KIND.NAME]` of one kind, except the keys that were taken already.
    pub(super) fn named_tables(&self, what: &'static str) -> Vec<(String, Reader<'a>)> {
        let mut readers = Vec::new();
        for (name, key_at, node) in self.entries() {
            if self.known.contains(&name) {
                continue;
            }
            let path = self.key(name);
            self.cx.record(path.clone(), key_at);
            match &node.value {
                // The table is read even when its name does not do, to find what else is wrong.
                Value::Table(table) => {
                    let text = Text { value: name.to_owned(), shown: name.to_owned(), at: key_at.clone() };
                    self.cx.check_name(what, &text);
                    readers.push((name.to_owned(), Reader::new(self.cx, path, Some(key_at.clone()), table)));
                }
                _ => match nearest(name, self.known.iter().copied()) {
                    Some(near) => self.cx.report(
                        self.cx
                            .error(key_at, format!("unknown key `{name}` in `[{}]`", self.path))
                            .expected("not a key of this table")
                            .help(format!("did you mean `{near}`?")),
                    ),
                    None => self.cx.wrong_type(&path, node, &format!("a table such as `[{path}]`")),
                },
            }
        }
        readers
    }

    /// Reports missing and unknown keys.
    pub(super) fn finish(self) {
        let title = if self.path.is_empty() { "the file".to_owned() } else { format!("`[{}]`", self.path) };
        let mut missing = self.missing.clone();
        let absent: Vec<&str> = self.known.iter().copied().filter(|k| !self.has(k)).collect();
        for (key, at, node) in self.entries().filter(|(key, _, _)| !self.known.contains(key)) {
            let near = nearest(key, absent.iter().copied());
            let is_missing = near.is_some_and(|near| missing.iter().any(|(key, _)| *key == near));
            if self.lenient && !is_missing {
                continue;
            }
            // A mistyped key is one mistake, not an unknown key and a missing one.
            if let Some(near) = near {
                missing.retain(|(key, _)| *key != near);
            }
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => did_you_mean(key, self.known.iter().copied()),
            };
            let (what, at) = match node.value {
                Value::Table(_) if self.path.is_empty() => ("table", at),
                _ => ("key", at),
            };
            let expected = format!(
                "not a {what} of {}",
                self.what.unwrap_or(if self.path.is_empty() { "a pipeline" } else { "this table" })
            );
            let diagnostic = self.cx.error(at, format!("unknown {what} `{key}` in {title}"));
            self.cx.report(diagnostic.expected(expected).help(help));
        }
        for (key, help) in missing {
            let what = self.what.map(|w| format!("{w} needs `{key}`")).unwrap_or_else(|| format!("needs `{key}`"));
            self.cx.report(self.error(format!("{title} has no `{key}`")).expected(what).help(help));
        }
    }
}
