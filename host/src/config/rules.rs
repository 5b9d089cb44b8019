//! What two parts of a pipeline must agree on beyond its edges: names, columns of the sources,
//! models, files.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use arrow::datatypes::{DataType, Schema};

use super::context::{Context, Text};
use super::graph::Parts;
use super::nearest::did_you_mean;
use super::operator::unknown_model;
use super::pipeline::Input;
use super::settings::Model;
use super::sink::file;
use crate::record::format_type;
use crate::source::Connector;

/// Reports everything that does not fit together.
pub(super) fn check(cx: &Context<'_>, parts: &Parts, models: &[Model]) {
    names(cx, parts);
    for (kind, none) in [("source", parts.sources.is_empty()), ("sink", parts.sinks.is_empty())] {
        if none {
            cx.report(
                cx.sources
                    .whole(format!("the pipeline has no {kind}"))
                    .help(format!("add a table `[{kind}.NAME]` with a `connector`")),
            );
        }
    }
    columns(cx, parts);
    used_models(cx, parts, models);
    files(cx, parts);
    standard_streams(cx, parts);
}

/// Sources, operators and sinks share one space of names.
fn names(cx: &Context<'_>, parts: &Parts) {
    let sources = parts.sources.iter().map(|s| (s.config.name.as_str(), s.key.as_str()));
    let operators = parts.operators.iter().map(|o| (o.node.name(), o.table.as_str()));
    let sinks = parts.sinks.iter().map(|(s, _)| (s.config.name.as_str(), s.table.as_str()));
    let mut seen: HashMap<&str, &str> = HashMap::new();
    for (name, table) in sources.chain(operators).chain(sinks) {
        if let Some(first) = seen.insert(name, table) {
            cx.report(
                cx.error_at(table, format!("`[{first}]` and `[{table}]` have the same name"))
                    .expected("expected a name that no other source, operator or sink has")
                    .help("rename one of them, and the `inputs` that mean it"),
            );
        }
    }
}

/// Columns that come straight from a source are known from the file alone.
fn columns(cx: &Context<'_>, parts: &Parts) {
    let schemas: HashMap<&str, &Schema> = parts
        .sources
        .iter()
        .filter(|s| s.complete)
        .map(|s| (s.config.name.as_str(), s.config.schema.as_ref()))
        .collect();
    let sources_of = |inputs: &[Input]| -> Vec<(String, &Schema)> {
        let schema = |i: &Input| Some((i.node.clone(), *schemas.get(i.node.as_str())?));
        inputs.iter().filter_map(schema).collect()
    };
    for operator in &parts.operators {
        for (source, schema) in sources_of(&operator.node.inputs) {
            for (role, text) in &operator.columns {
                let Some(data_type) = column(cx, role, text, &source, schema) else { continue };
                match *role {
                    "key" => key(cx, text, data_type),
                    "when" => condition(cx, text, data_type),
                    _ => {}
                }
            }
        }
    }
    for (sink, inputs) in &parts.sinks {
        for (source, schema) in sources_of(inputs) {
            for text in &sink.fields {
                column(cx, "field", text, &source, schema);
            }
            if let Some((text, field)) =
                sink.kafka.key.as_ref().and_then(|t| Some((t, column(cx, "key", t, &source, schema)?)))
            {
                key(cx, text, field);
            }
        }
    }
}

fn column<'s>(cx: &Context<'_>, role: &str, text: &Text, source: &str, schema: &'s Schema) -> Option<&'s DataType> {
    if let Ok(field) = schema.field_with_name(&text.value) {
        return Some(field.data_type());
    }
    let names = schema.fields().iter().map(|f| f.name().as_str());
    cx.report(
        cx.error(&text.at, format!("{role} `{}` is not a column of source `{source}`", text.shown))
            .expected(format!("expected a column of `[source.{source}.fields]`"))
            .help(did_you_mean(&text.shown, names)),
    );
    None
}

/// Reports a column that cannot be a key.
fn key(cx: &Context<'_>, text: &Text, data_type: &DataType) {
    if !can_be_key(data_type) {
        cx.report(
            cx.error(&text.at, format!("column `{}` cannot be a key", text.shown))
                .expected(format!("expected a column of text or integers, found `{}`", format_type(data_type))),
        );
    }
}

/// Reports a column that cannot say which rows are sent.
fn condition(cx: &Context<'_>, text: &Text, data_type: &DataType) {
    if *data_type != DataType::Boolean {
        cx.report(
            cx.error(&text.at, format!("column `{}` cannot say which rows are sent", text.shown))
                .expected(format!("expected a column of type `bool`, found `{}`", format_type(data_type))),
        );
    }
}

/// The types that `record::key_bytes` takes.
fn can_be_key(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8
            | DataType::Binary
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt32
            | DataType::UInt64
            | DataType::Timestamp(..)
    )
}

fn used_models(cx: &Context<'_>, parts: &Parts, models: &[Model]) {
    let names: Vec<&str> = models.iter().map(|m| m.config.name.as_str()).collect();
    let wanted: Vec<&Text> = parts.operators.iter().flat_map(|o| &o.models).collect();
    for text in wanted.iter().filter(|t| !names.contains(&t.value.as_str())) {
        cx.report(
            cx.error(&text.at, format!("unknown model `{}`", text.shown))
                .expected("expected the name of a table `[models.NAME]`")
                .help(unknown_model(text, &names)),
        );
    }
    for model in models.iter().filter(|m| !wanted.iter().any(|t| t.value == m.config.name)) {
        cx.report(
            cx.error_at(&model.key, format!("no operator uses model `{}`", model.config.name))
                .help("remove it, or name it in the `model` of an inference operator")
                .into_warning(),
        );
    }
}

/// A sink replaces its file at the start: no other part may use it.
fn files(cx: &Context<'_>, parts: &Parts) {
    let mut users: HashMap<PathBuf, String> = HashMap::new();
    for source in &parts.sources {
        if let (Connector::File { path, .. }, Some(_)) = (&source.config.connector, &source.path) {
            users.insert(lexical(path), format!("source `{}`", source.config.name));
        }
    }
    for (sink, _) in &parts.sinks {
        let (Some((path, _)), Some(text)) = (file(&sink.config), &sink.path) else { continue };
        if is_device(path) {
            continue;
        }
        let name = format!("sink `{}`", sink.config.name);
        if let Some(other) = users.insert(lexical(path), name.clone()) {
            cx.report(
                cx.error(&text.at, format!("{name} would overwrite the file of {other}"))
                    .expected("expected a file of its own")
                    .help("give it another `path`"),
            );
        }
    }
}

fn is_device(path: &Path) -> bool {
    path.starts_with("/dev")
}

/// The absolute path without `.` and `..`, for comparisons only.
fn lexical(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut clean = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            other => clean.push(other),
        }
    }
    clean
}

fn standard_streams(cx: &Context<'_>, parts: &Parts) {
    let stdin = parts.sources.iter().filter(|s| matches!(s.config.connector, Connector::Stdin { .. }));
    for second in stdin.skip(1) {
        cx.report(
            cx.error_at(&format!("{}.connector", second.key), "standard input can be read only once")
                .expected("another source reads it already"),
        );
    }
}
