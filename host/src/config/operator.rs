//! `[operator.NAME]`.

use std::collections::BTreeSet;

use super::context::Text;
use super::inference;
use super::nearest::{did_you_mean, list, nearest};
use super::pipeline::{OperatorKind, OperatorNode};
use super::reader::Reader;
use super::tree::{Node, Value};
use crate::operator;

/// Interfaces that a pipeline may grant.
const GRANTS: [&str; 2] = ["collections", "inference"];
/// Longest configuration of a plugin, names and values together: it is held by every instance.
const MAX_CONFIG: usize = 256 << 10;

/// An operator and where its parts were written.
pub(super) struct Operator {
    pub(super) node: OperatorNode,
    pub(super) table: String,
    pub(super) inputs: Vec<Text>,
    /// Names of embedded models.
    pub(super) models: Vec<Text>,
    /// Names of columns that must be there, and what they are for.
    pub(super) columns: Vec<(&'static str, Text)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plugin,
    Inference,
}

/// Reads one operator.
pub(super) fn read(name: String, mut reader: Reader<'_>) -> Operator {
    let table = reader.path.clone();
    let inputs = reader.required_texts("inputs", "transactions").unwrap_or_default();
    if inputs.is_empty()
        && matches!(reader.take("inputs").map(|n| &n.value), Some(Value::List(items)) if items.is_empty())
    {
        let diagnostic = reader.error(format!("operator `{name}` has no inputs"));
        reader.cx.report(
            diagnostic.expected("needs a source or an operator that feeds it").help("add its name to `inputs`"),
        );
    }
    let kinds = [("plugin", Kind::Plugin), ("inference", Kind::Inference)];
    let written = reader.has("kind");
    let kind = match reader.choice("kind", &kinds) {
        Some(kind) => Some(kind),
        None if written => None,
        // The key tells.
        None if reader.has("model") && !reader.has("plugin") => Some(Kind::Inference),
        None => Some(Kind::Plugin),
    };
    let mut columns = Vec::new();
    let mut models = Vec::new();
    let kind = match kind {
        Some(Kind::Inference) => inference::read(name, &mut reader, &mut columns, &mut models),
        Some(Kind::Plugin) => OperatorKind::Plugin(plugin(name, &mut reader, &mut columns)),
        None => {
            reader.lenient();
            let config = operator::OperatorConfig {
                name,
                plugin: String::new(),
                key: None,
                config: Vec::new(),
                grants: BTreeSet::new(),
                forward: None,
                generation_column: None,
            };
            OperatorKind::Plugin(config)
        }
    };
    reader.finish();
    Operator { node: OperatorNode { kind, inputs: Vec::new() }, table, inputs, models, columns }
}

fn plugin(name: String, reader: &mut Reader<'_>, columns: &mut Vec<(&'static str, Text)>) -> operator::OperatorConfig {
    reader.describe("a plugin operator");
    let plugin = reader.required_text("plugin", "feature-enrichment").map(|t| t.value).unwrap_or_default();
    let key = reader.text("key", "user_id");
    let forward = reader.texts("forward", "transaction_id");
    let generation_column = reader.text("generation_column", "generation");
    let grants = reader.texts("grants", "collections").unwrap_or_default();
    for grant in grants.iter().filter(|g| !GRANTS.contains(&g.value.as_str())) {
        let mut diagnostic = reader
            .cx
            .error(&grant.at, format!("`{}` cannot be granted", grant.shown))
            .expected(format!("expected one of {}", list(&GRANTS)));
        if let Some(near) = nearest(&grant.shown, GRANTS) {
            diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
        }
        reader.cx.report(diagnostic);
    }
    let config = reader.table("config").map(|table| plugin_config(&table)).unwrap_or_default();
    columns.extend(key.iter().cloned().map(|text| ("key", text)));
    columns.extend(forward.iter().flatten().cloned().map(|text| ("forward", text)));
    operator::OperatorConfig {
        name,
        plugin,
        key: key.map(|t| t.value),
        config,
        grants: grants.into_iter().map(|t| t.value).collect(),
        forward: forward.map(|texts| texts.into_iter().map(|t| t.value).collect()),
        generation_column: generation_column.map(|t| t.value),
    }
}

/// `[operator.NAME.config]`: every value as text, lists joined by commas.
fn plugin_config(table: &Reader<'_>) -> Vec<(String, String)> {
    let mut config = Vec::new();
    let mut length = 0;
    for (name, _, node) in table.entries() {
        let key = table.key(name);
        let value = match &node.value {
            Value::List(items) => {
                let parts: Vec<String> = items.iter().filter_map(|item| scalar(table, &key, item)).collect();
                (parts.len() == items.len()).then(|| parts.join(","))
            }
            _ => scalar(table, &key, node),
        };
        if let Some(value) = value {
            length += name.len() + value.len();
            config.push((name.to_owned(), value));
        }
    }
    if length > MAX_CONFIG {
        let message = format!("`[{}]` is longer than {} KiB", table.path, MAX_CONFIG >> 10);
        table.cx.report(table.error(message).help("give large data to the plugin as a stream"));
    }
    config
}

fn scalar(table: &Reader<'_>, key: &str, node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(_) => table.cx.text(key, node, "text").map(|t| t.value),
        Value::Integer(value) => Some(value.to_string()),
        Value::Float(value) => Some(value.to_string()),
        Value::Boolean(value) => Some(value.to_string()),
        other => {
            let diagnostic = table.cx.error(&node.at, format!("`{key}` cannot be given to a plugin"));
            let expected = format!("expected a string, a number, a boolean or a list of these, found {}", other.kind());
            table.cx.report(diagnostic.expected(expected).help("write it as a string"));
            None
        }
    }
}

/// The help text for a model that is not there.
pub(super) fn unknown_model(model: &Text, known: &[&str]) -> String {
    if known.is_empty() {
        format!("add `[models.{}]` and below it `path = \"model.onnx\"`", model.shown)
    } else {
        did_you_mean(&model.shown, known.iter().copied())
    }
}
