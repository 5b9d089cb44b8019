//! `[source.NAME]`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::context::Text;
use super::nearest::{did_you_mean, nearest};
use super::reader::Reader;
use super::tree::{Node, Value};
use crate::codec::{Compression, Format};
use crate::record::parse_type;
use crate::source::{Config, Connector, Generator, GeneratorKind};

pub(super) const FORMATS: [(&str, Format); 2] = [("json", Format::Json), ("csv", Format::Csv)];
pub(super) const COMPRESSIONS: [(&str, Compression); 4] = [
    ("auto", Compression::Auto),
    ("none", Compression::None),
    ("gzip", Compression::Gzip),
    ("zstd", Compression::Zstd),
];
const TYPES: [&str; 13] =
    ["bool", "i32", "i64", "u32", "u64", "f32", "f64", "utf8", "binary", "timestamp", "date", "list<f32>", "f32[128]"];
/// Type names of other systems, for help texts.
const FOREIGN_TYPES: [(&str, &str); 13] = [
    ("string", "utf8"),
    ("str", "utf8"),
    ("text", "utf8"),
    ("int", "i64"),
    ("integer", "i64"),
    ("long", "i64"),
    ("bigint", "i64"),
    ("float", "f32"),
    ("double", "f64"),
    ("number", "f64"),
    ("boolean", "bool"),
    ("bytes", "binary"),
    ("datetime", "timestamp"),
];
/// Columns of generated transactions.
const TRANSACTION: [(&str, &str); 6] = [
    ("transaction_id", "i64"),
    ("timestamp", "i64"),
    ("user_id", "utf8"),
    ("terminal_id", "utf8"),
    ("amount", "f64"),
    ("fraud", "i32"),
];
/// Column of generated vectors.
const VECTOR: &str = "features";

/// A source and where its path was written.
pub(super) struct Source {
    pub(super) config: Config,
    pub(super) key: String,
    pub(super) path: Option<Text>,
    /// Whether all of its columns could be read.
    pub(super) complete: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    File,
    Stdin,
    Generator,
    Kafka,
}

/// Reads one source. `identity` is what the process is to Kafka.
pub(super) fn read(name: String, mut reader: Reader<'_>, identity: &str) -> Source {
    let key = reader.path.clone();
    let kinds = [("file", Kind::File), ("stdin", Kind::Stdin), ("generator", Kind::Generator), ("kafka", Kind::Kafka)];
    let mut path_text = None;
    let mut default_fields: Vec<Field> = Vec::new();
    let mut format = None;
    let connector = match reader.required_choice("connector", &kinds) {
        None => {
            // What else it has depends on what it was meant to be.
            reader.lenient();
            Connector::File { path: Default::default(), compression: Compression::Auto, follow: false }
        }
        Some(Kind::File) => {
            reader.describe("a file source");
            let found = reader.required_path("path", "events.jsonl");
            let path = found.as_ref().map(|(path, _)| path.clone()).unwrap_or_default();
            path_text = found.map(|(_, text)| text);
            let compression = reader.choice("compression", &COMPRESSIONS).unwrap_or_default();
            format = read_format(&mut reader, path_text.is_some().then_some(path.as_path()));
            Connector::File { path, compression, follow: reader.boolean("follow", false) }
        }
        Some(Kind::Stdin) => {
            reader.describe("a stdin source");
            format = read_format(&mut reader, None);
            Connector::Stdin { compression: reader.choice("compression", &COMPRESSIONS).unwrap_or_default() }
        }
        Some(Kind::Generator) => {
            let (generator, fields) = generator(&mut reader);
            if generator.kind == GeneratorKind::Transactions {
                format = reader.choice("format", &FORMATS);
            }
            default_fields = fields;
            Connector::Generator(generator)
        }
        Some(Kind::Kafka) => {
            let settings = super::kafka::source(&mut reader, identity);
            format = message_format(&mut reader);
            Connector::Kafka(settings)
        }
    };
    let vectors = matches!(&connector, Connector::Generator(g) if g.kind != GeneratorKind::Transactions);
    let (schema, complete) =
        if vectors { (Arc::new(Schema::new(default_fields)), true) } else { schema(&mut reader, default_fields) };
    let event_time = if vectors { None } else { event_time(&mut reader, &schema, complete) };
    let has_event_time = event_time.is_some() || reader.has("event_time");
    let mut max_out_of_orderness = Duration::ZERO;
    let mut max_record_bytes = 1 << 20;
    if !vectors {
        let month = Duration::from_secs(31 * 86_400);
        max_out_of_orderness = reader.duration("max_out_of_orderness", Duration::ZERO, Duration::ZERO..=month);
        if let Some(node) = reader.take("max_out_of_orderness").filter(|_| !has_event_time) {
            let warning = reader.cx.error(&node.at, format!("`{key}.max_out_of_orderness` has no effect"));
            reader
                .cx
                .report(warning.help("name the column of the event time: `event_time = \"timestamp\"`").into_warning());
        }
        // Offsets inside a block are 32 bits wide.
        max_record_bytes = reader.bytes("max_record", max_record_bytes, 1..=1 << 30);
    }
    reader.finish();
    let format = format.unwrap_or(Format::Json);
    let config = Config { name, connector, format, schema, event_time, max_out_of_orderness, max_record_bytes };
    Source { config, key, path: path_text, complete }
}

/// The format, else what the name of the file says.
fn read_format(reader: &mut Reader<'_>, path: Option<&Path>) -> Option<Format> {
    if !reader.has("format")
        && let Some(format) = path.and_then(format_of)
    {
        reader.take("format");
        return Some(format);
    }
    reader.required_choice("format", &FORMATS)
}

/// The format of messages. JSON is the only one that makes sense of a message by itself.
pub(super) fn message_format(reader: &mut Reader<'_>) -> Option<Format> {
    let format = reader.choice("format", &FORMATS);
    if let Some(node) = reader.take("format").filter(|_| format == Some(Format::Csv)) {
        let diagnostic = reader.cx.error(&node.at, "a message of Kafka cannot be CSV");
        let diagnostic = diagnostic.expected("a message is one record, and has no place for a header line");
        reader.cx.report(diagnostic.help("set `format = \"json\"`"));
    }
    format
}

/// The format that the name of a file tells, whatever its compression.
pub(super) fn format_of(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
    match name.rsplit_once('.')?.1 {
        "json" | "jsonl" | "ndjson" => Some(Format::Json),
        "csv" => Some(Format::Csv),
        _ => None,
    }
}

fn generator(reader: &mut Reader<'_>) -> (Generator, Vec<Field>) {
    #[derive(Clone, Copy)]
    enum Makes {
        Transactions,
        Vectors,
        VectorLines,
    }
    reader.describe("a generator source");
    let kinds =
        [("transactions", Makes::Transactions), ("vectors", Makes::Vectors), ("vector-lines", Makes::VectorLines)];
    let makes = reader.required_choice("kind", &kinds);
    let mut fields: Vec<Field> = Vec::new();
    let kind = match makes {
        Some(makes @ (Makes::Vectors | Makes::VectorLines)) => {
            reader.describe("a generator of vectors");
            // A row of 64 Ki floats is 256 KiB, one whole batch.
            let size = reader.count("size", 128, 1..=65_536);
            fields.extend(parse_type(&format!("f32[{size}]")).map(|t| Field::new(VECTOR, t, false)));
            if matches!(makes, Makes::Vectors) {
                GeneratorKind::Vectors(size)
            } else {
                GeneratorKind::VectorLines(size)
            }
        }
        Some(Makes::Transactions) => {
            reader.describe("a generator of transactions");
            let columns = TRANSACTION.iter().filter_map(|(name, t)| Some(Field::new(*name, parse_type(t)?, false)));
            fields.extend(columns);
            GeneratorKind::Transactions
        }
        None => {
            reader.lenient();
            GeneratorKind::Transactions
        }
    };
    let generator = Generator {
        kind,
        rows: reader.integer("rows", 0..=u64::MAX),
        rate: reader.integer("rate", 1..=1_000_000_000),
        seed: reader.integer("seed", 0..=u64::MAX).unwrap_or(1),
    };
    (generator, fields)
}

/// `[source.NAME.fields]`, and whether all of it could be read.
fn schema(reader: &mut Reader<'_>, default: Vec<Field>) -> (SchemaRef, bool) {
    if !default.is_empty() && !reader.has("fields") {
        reader.take("fields");
        return (Arc::new(Schema::new(default)), true);
    }
    let help =
        format!("add `[{}.fields]` and below it a line such as `user_id = \"utf8\"` for each column", reader.path);
    if reader.require("fields", &help).is_none() {
        return (Arc::new(Schema::empty()), false);
    }
    let Some(table) = reader.table("fields") else { return (Arc::new(Schema::empty()), false) };
    let mut fields = Vec::new();
    let mut complete = true;
    for (name, _, node) in table.entries() {
        match field(&table, name, node) {
            Some(field) => fields.push(field),
            None => complete = false,
        }
    }
    if fields.is_empty() && complete {
        let diagnostic = table.error(format!("`[{}]` is empty", table.path)).expected("needs at least one column");
        table.cx.report(diagnostic.help("add a line such as `user_id = \"utf8\"` for each column"));
        complete = false;
    }
    (Arc::new(Schema::new(fields)), complete)
}

fn field(table: &Reader<'_>, name: &str, node: &Node) -> Option<Field> {
    let key = table.key(name);
    if let Value::Table(_) = node.value {
        let diagnostic = table.cx.error(&node.at, format!("`{key}` must be the name of a type"));
        table.cx.report(
            diagnostic
                .expected("expected a string such as `\"utf8\"`, found a table")
                .help("nested columns are not supported; flatten the records"),
        );
        return None;
    }
    let text = table.cx.text(&key, node, "utf8")?;
    let written = text.value.trim();
    let (type_name, nullable) = match written.strip_suffix('?') {
        Some(inner) => (inner.trim_end(), true),
        None => (written, false),
    };
    if let Some(data_type) = parse_type(type_name) {
        return Some(Field::new(name, data_type, nullable));
    }
    let shown = text.shown.trim_end_matches('?');
    let foreign: HashMap<&str, &str> = FOREIGN_TYPES.into_iter().collect();
    let meant = foreign.get(shown.to_ascii_lowercase().as_str()).copied().or_else(|| nearest(shown, TYPES));
    let help = match meant {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("types: {}; a `?` behind the name allows null", TYPES.join(", ")),
    };
    let diagnostic = table.cx.error(&text.at, format!("`{shown}` is not a type"));
    table.cx.report(
        diagnostic.expected("expected a type such as `\"f64\"`, or `\"f64?\"` where null is allowed").help(help),
    );
    None
}

fn event_time(reader: &mut Reader<'_>, schema: &Schema, complete: bool) -> Option<String> {
    let text = reader.text("event_time", "timestamp")?;
    if !complete {
        return Some(text.value);
    }
    let diagnostic = match schema.field_with_name(&text.value) {
        Ok(field) => match field.data_type() {
            DataType::Int64 | DataType::Timestamp(TimeUnit::Millisecond, _) => return Some(text.value),
            other => reader.cx.error(&text.at, format!("column `{}` cannot be the event time", text.shown)).expected(
                format!(
                    "expected a column of `timestamp` or `i64` (milliseconds), found `{}`",
                    crate::record::format_type(other)
                ),
            ),
        },
        Err(_) => {
            let names = schema.fields().iter().map(|f| f.name().as_str());
            reader
                .cx
                .error(&text.at, format!("`{}` is not a column of `{}`", text.shown, reader.path))
                .expected("expected a column of this source")
                .help(did_you_mean(&text.shown, names))
        }
    };
    reader.cx.report(diagnostic);
    None
}
