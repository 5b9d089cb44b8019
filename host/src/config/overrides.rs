//! `--set source.transactions.path=…`: puts values of the command line into the tree of the file.

use toml::de::{DeTable, DeValue};

use super::diagnostic::Diagnostic;
use super::nearest::did_you_mean;
use super::sources::{Origin, Sources};
use super::tree::{self, Entry, Node, Table, Value};

/// Tables whose entries are named by the file; an override cannot add one, as a mistyped name
/// would then be a second source beside the one that was meant.
const NAMED: [&str; 3] = ["source", "operator", "sink"];

/// Puts override number `index` into `root`.
pub(super) fn apply(root: &mut Table, index: usize, sources: &Sources) -> Result<(), Box<Diagnostic>> {
    let argument = sources.overrides.get(index).map(String::as_str).unwrap_or_default();
    let at = |range| Origin::Override { index, range };
    let Some((key, value)) = argument.split_once('=') else {
        return Err(sources
            .error(&at(0..argument.len()), "an override needs a key and a value")
            .expected("expected `key=value`")
            .help("for example `--set source.transactions.path=events.jsonl`")
            .into());
    };
    let key_at = at(0..key.len());
    let path = key_path(key).ok_or_else(|| {
        sources
            .error(&key_at, format!("`{key}` is not a key"))
            .expected("expected names separated by dots")
            .help("for example `--set source.transactions.path=events.jsonl`")
    })?;
    let offset = key.len() + 1;
    let node = match DeValue::parse(value) {
        Ok(parsed) => tree::node(&parsed, &|span| at(offset + span.start..offset + span.end)),
        // What is not TOML is text: shells eat quotes, and paths need none.
        Err(_) => Node { value: Value::Text(value.to_owned()), at: at(offset..argument.len()) },
    };
    put(root, &path, &key_at, node, sources)
}

fn put(
    root: &mut Table,
    path: &[String],
    key_at: &Origin,
    node: Node,
    sources: &Sources,
) -> Result<(), Box<Diagnostic>> {
    let Some((last, tables)) = path.split_last() else { return Ok(()) };
    let mut current = root;
    for (depth, name) in tables.iter().enumerate() {
        let position = match current.position(name) {
            Some(position) => position,
            None if depth == 1 && tables.first().is_some_and(|t| NAMED.contains(&t.as_str())) => {
                let kind = tables.first().map(String::as_str).unwrap_or_default();
                let names = current.entries.iter().map(|e| e.key.as_str());
                return Err(sources
                    .error(key_at, format!("the pipeline has no {kind} `{name}`"))
                    .help(did_you_mean(name, names))
                    .into());
            }
            None => {
                current.entries.push(Entry {
                    key: name.clone(),
                    key_at: key_at.clone(),
                    node: Node { value: Value::Table(Table::default()), at: key_at.clone() },
                });
                current.entries.len() - 1
            }
        };
        let Some(entry) = current.entries.get_mut(position) else { return Ok(()) };
        let found = entry.node.value.kind();
        let Value::Table(table) = &mut entry.node.value else {
            let parent = path.iter().take(depth + 1).map(String::as_str).collect::<Vec<_>>().join(".");
            return Err(sources
                .error(key_at, format!("`{parent}` is {found} in the file, not a table"))
                .help(format!("override it as a whole: `--set {parent}=…`"))
                .into());
        };
        current = table;
    }
    match current.position(last).and_then(|p| current.entries.get_mut(p)) {
        Some(entry) => (entry.key_at, entry.node) = (key_at.clone(), node),
        None => current.entries.push(Entry { key: last.clone(), key_at: key_at.clone(), node }),
    }
    Ok(())
}

/// The names of a dotted key, read as TOML reads one, so that quoted names work.
fn key_path(key: &str) -> Option<Vec<String>> {
    if key.contains(['\n', '=', '#']) {
        return None;
    }
    let text = format!("{key} = 0");
    let document = DeTable::parse(&text).ok()?;
    let mut table = document.get_ref();
    let mut path = Vec::new();
    loop {
        let mut entries = table.iter();
        let (name, value) = entries.next()?;
        if entries.next().is_some() {
            return None;
        }
        path.push(name.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => return Some(path),
        }
    }
}
