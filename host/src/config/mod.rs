//! From a pipeline file to validated types. Only this module and `app` know all parts.
//!
//! The way of a file: bytes → TOML tree with places (`tree`) → `--set` overrides put in
//! (`overrides`) → each table read into the type of the part that owns it (`settings`,
//! `source`, `operator`, `sink`) → edges (`graph`) → what parts must agree on (`rules`).
//! All steps report into one list, so that a user sees every mistake at once.

mod context;
mod diagnostic;
mod graph;
mod inference;
mod kafka;
mod nearest;
mod operator;
mod overrides;
mod pipeline;
mod reader;
mod rules;
mod settings;
mod sink;
mod source;
mod sources;
mod substitute;
#[cfg(test)]
mod tests;
mod tree;
mod units;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use diagnostic::{Diagnostic, Errors, Place, Severity, Snippet, Warning};
pub use pipeline::{Input, OperatorKind, OperatorNode, Pipeline};
pub use sources::Places;

use context::{Context, Findings};
use graph::Parts;
use reader::Reader;
use sources::Sources;
use substitute::Environment;

/// Largest pipeline file in bytes; one of a thousand operators has some 300 KB.
const MAX_FILE: u64 = 1 << 20;
/// Messages shown at most; a file with more is not a pipeline.
const MAX_SHOWN: usize = 50;

/// Reads a pipeline file. `overrides` are `key=value` pairs as `--set` takes them: the value is
/// read as TOML, else as text; relative paths in them start at the current folder.
///
/// # Errors
/// Everything that is wrong with the file and the overrides, as far as they alone can tell.
pub fn load(path: &Path, overrides: &[String]) -> Result<(Pipeline, Vec<Warning>), Errors> {
    load_with(path, overrides, &|name| std::env::var(name).ok())
}

/// The user's folder for what can be made again: `MILLSTREAM_CACHE`, else `millstream` in the user's
/// cache folder, else one in the folder for temporary files.
pub fn user_cache() -> PathBuf {
    let found = settings::user_cache(&|name| std::env::var(name).ok());
    found.unwrap_or_else(|| std::env::temp_dir().join("millstream"))
}

fn load_with(
    path: &Path,
    overrides: &[String],
    environment: &Environment<'_>,
) -> Result<(Pipeline, Vec<Warning>), Errors> {
    let mut sources = Sources { file: path.display().to_string(), text: String::new(), overrides: overrides.to_vec() };
    sources.text = read_file(path, &sources)?;
    load_text(path, sources, environment)
}

fn load_text(path: &Path, sources: Sources, environment: &Environment<'_>) -> Result<(Pipeline, Vec<Warning>), Errors> {
    let mut root = tree::parse(&sources).map_err(|errors| Errors { errors })?;
    let sources = Arc::new(sources);
    let cx = Context::new(&sources, environment, path.parent().unwrap_or(Path::new("")));
    for index in 0..sources.overrides.len() {
        if let Err(diagnostic) = overrides::apply(&mut root, index, &sources) {
            cx.report(*diagnostic);
        }
    }
    let pipeline = read(&cx, &root, path);
    let Findings { mut errors, dropped, mut warnings, keys } = cx.into_findings();
    errors.sort_by_key(order);
    warnings.sort_by_key(order);
    if errors.is_empty() {
        return Ok((Pipeline { places: Places::new(sources, keys), ..pipeline }, warnings));
    }
    let more = errors.len().saturating_sub(MAX_SHOWN) + dropped;
    if more > 0 {
        errors.truncate(MAX_SHOWN);
        errors.push(sources.whole(format!("{more} more errors are not shown")));
    }
    Err(Errors { errors })
}

/// The order of the file; overrides and the file as a whole come last.
fn order(diagnostic: &Diagnostic) -> (usize, usize) {
    match diagnostic.place {
        Place::File { line, column, .. } => (line, column),
        Place::Override { .. } => (usize::MAX, 0),
        Place::Whole { .. } => (usize::MAX, 1),
    }
}

fn read_file(path: &Path, sources: &Sources) -> Result<String, Errors> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|f| f.take(MAX_FILE + 1).read_to_end(&mut bytes));
    if let Err(e) = read {
        let help = match e.kind() {
            std::io::ErrorKind::NotFound => "check the path of the pipeline file",
            _ => "the pipeline must be a TOML file that you may read",
        };
        return Err(sources.whole(format!("the pipeline file cannot be read: {e}")).help(help).into());
    }
    if bytes.len() as u64 > MAX_FILE {
        let message = format!("the pipeline file is larger than {}", units::show_size(MAX_FILE));
        return Err(sources.whole(message).help("is this the pipeline, and not its data?").into());
    }
    String::from_utf8(bytes).map_err(|e| {
        let valid = e.utf8_error().valid_up_to();
        let line = e.as_bytes().iter().take(valid).filter(|b| **b == b'\n').count() + 1;
        sources.whole(format!("the pipeline file is not UTF-8: line {line}")).help("save it as UTF-8").into()
    })
}

fn read(cx: &Context<'_>, table: &tree::Table, file: &Path) -> Pipeline {
    let mut root = Reader::root(cx, table);
    let settings = settings::pipeline(&mut root);
    let (onnxruntime, models) = settings::models(&mut root);
    let mut kafka = kafka::settings(&mut root, &settings.name);
    let identity = &kafka.transactional_id;
    let sources =
        named(&mut root, "source", "a source").into_iter().map(|(n, r)| source::read(n, r, identity)).collect();
    let operators =
        named(&mut root, "operator", "an operator").into_iter().map(|(n, r)| operator::read(n, r)).collect();
    let sinks = named(&mut root, "sink", "a sink").into_iter();
    let sinks = sinks.map(|(n, r)| (sink::read(n, r, identity), Vec::new())).collect();
    let mut parts = Parts { sources, operators, sinks, dead_letters: settings.dead_letters };
    graph::join(cx, &mut parts);
    rules::check(cx, &parts, &models);
    kafka.producer = kafka::rules::check(cx, &parts, settings.dataflow.checkpoint_interval, root.has("state"));
    let plugins = || {
        parts.operators.iter().filter_map(|o| match &o.node.kind {
            OperatorKind::Plugin(c) => Some(c),
            OperatorKind::Inference(_) | OperatorKind::External(_) => None,
        })
    };
    let keyed = plugins().find(|p| p.key.is_some()).map(|p| p.name.as_str());
    let remembers = root.has("state");
    let state = settings::state(&mut root, keyed);
    let admin = settings::admin(&mut root);
    let plugins = settings::plugins(&mut root, plugins().next().map(|p| p.name.as_str()));
    root.finish();
    Pipeline {
        file: file.to_owned(),
        name: settings.name,
        dead_letters: parts.dead_letters.map(|t| t.value),
        dataflow: settings.dataflow,
        checkpoint: settings.checkpoint.config(&state),
        kafka,
        remembers,
        state,
        admin,
        plugins,
        onnxruntime,
        models: models.into_iter().map(|m| m.config).collect(),
        sources: parts.sources.into_iter().map(|s| s.config).collect(),
        operators: parts.operators.into_iter().map(|o| o.node).collect(),
        sinks: parts.sinks.into_iter().map(|(s, inputs)| (s.config, inputs)).collect(),
        places: Places::default(),
    }
}

fn named<'a>(root: &mut Reader<'a>, kind: &'static str, what: &'static str) -> Vec<(String, Reader<'a>)> {
    root.table(kind).map(|table| table.named_tables(what)).unwrap_or_default()
}
