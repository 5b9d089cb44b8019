//! A TOML file as a tree of our own: every key and value knows where it was written, so that a
//! `--set` override can take the place of a value and messages still point at the right text.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::Diagnostic;
use super::sources::{Origin, Sources};

/// Syntax errors shown at most: after a missing quote the rest is mostly noise.
const MAX_SYNTAX_ERRORS: usize = 5;

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) at: Origin,
}

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i128),
    Float(f64),
    Boolean(bool),
    Datetime,
    List(Vec<Node>),
    Table(Table),
}

impl Value {
    /// Its type, with an article.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Boolean(_) => "a boolean",
            Self::Datetime => "a date",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// Keys and values in the order of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) entries: Vec<Entry>,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_at: Origin,
    pub(super) node: Node,
}

impl Table {
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.key == key)
    }

    pub(super) fn position(&self, key: &str) -> Option<usize> {
        self.entries.iter().position(|e| e.key == key)
    }
}

/// The tree of the file, or its syntax errors.
pub(super) fn parse(sources: &Sources) -> Result<Table, Vec<Diagnostic>> {
    let (document, errors) = DeTable::parse_recoverable(&sources.text);
    if errors.is_empty() {
        return Ok(table(document.get_ref(), &Origin::File));
    }
    let mut shown = Vec::new();
    for error in errors.iter().take(MAX_SYNTAX_ERRORS) {
        shown.push(syntax_error(sources, error));
        // Behind an unclosed list everything looks wrong.
        if in_brackets(error.message()) {
            break;
        }
    }
    Err(shown)
}

fn in_brackets(message: &str) -> bool {
    message.contains("array") || message.contains("inline table")
}

fn syntax_error(sources: &Sources, error: &toml::de::Error) -> Diagnostic {
    let at = error.span().unwrap_or(0..0);
    let message = error.message();
    // The parser puts what it wanted behind the first comma.
    let (what, wanted) = match message.split_once(", expected ") {
        Some((what, wanted)) => (what, Some(format!("expected {wanted}"))),
        None => (message, None),
    };
    let unquoted = ["quot", "invalid boolean", "invalid integer", "invalid float", "invalid date", "invalid number"];
    let mut diagnostic = sources.error(&Origin::File(at), format!("not valid TOML: {what}"));
    if what.contains("duplicate key") {
        diagnostic.help("keep one of the two; tables and keys may be written once")
    } else if unquoted.iter().any(|hint| what.contains(hint)) {
        diagnostic
            .expected("expected text in quotes, a number, `true` or `false`")
            .help("write text in quotes, as in `path = \"events.jsonl\"`")
    } else {
        diagnostic.expected = wanted;
        if in_brackets(what) { diagnostic.help("is a bracket missing on this line or before it?") } else { diagnostic }
    }
}

/// The node of a parsed value; `origin` maps its spans to places.
pub(super) fn node(value: &Spanned<DeValue<'_>>, origin: &dyn Fn(std::ops::Range<usize>) -> Origin) -> Node {
    let converted = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        // Saturates: a number beyond 128 bits is out of every range that a key allows.
        DeValue::Integer(i) => Value::Integer(i128::from_str_radix(i.as_str(), i.radix()).unwrap_or(i128::MAX)),
        DeValue::Float(f) => Value::Float(f.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(b) => Value::Boolean(*b),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Array(items) => Value::List(items.iter().map(|item| node(item, origin)).collect()),
        DeValue::Table(entries) => Value::Table(table(entries, origin)),
    };
    Node { value: converted, at: origin(value.span()) }
}

fn table(entries: &DeTable<'_>, origin: &dyn Fn(std::ops::Range<usize>) -> Origin) -> Table {
    let entries = entries.iter().map(|(key, value)| Entry {
        key: key.get_ref().to_string(),
        key_at: origin(key.span()),
        node: node(value, origin),
    });
    Table { entries: entries.collect() }
}
