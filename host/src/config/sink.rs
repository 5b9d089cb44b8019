//! `[sink.NAME]`.

use super::context::Text;
use super::kafka::SinkTexts;
use super::reader::Reader;
use super::source::{COMPRESSIONS, FORMATS, format_of, message_format};
use crate::codec::{Compression, Format};
use crate::sink::{Config, Connector};

/// A sink and where its parts were written.
pub(super) struct Sink {
    pub(super) config: Config,
    pub(super) table: String,
    pub(super) inputs: Vec<Text>,
    /// Whether the file gives it no inputs at all.
    pub(super) starved: bool,
    pub(super) fields: Vec<Text>,
    pub(super) path: Option<Text>,
    /// What there is more to say of a sink that writes to Kafka.
    pub(super) kafka: SinkTexts,
}

#[derive(Clone, Copy)]
enum Kind {
    File,
    Stdout,
    Blackhole,
    Kafka,
}

/// Reads one sink. `identity` is what the process is to Kafka.
pub(super) fn read(name: String, mut reader: Reader<'_>, identity: &str) -> Sink {
    let table = reader.path.clone();
    let inputs = reader.texts("inputs", "score");
    let starved = !reader.has("inputs") || inputs.as_ref().is_some_and(Vec::is_empty);
    let kinds =
        [("file", Kind::File), ("stdout", Kind::Stdout), ("blackhole", Kind::Blackhole), ("kafka", Kind::Kafka)];
    let mut path_text = None;
    let mut kafka = SinkTexts::default();
    let mut format = None;
    let connector = match reader.required_choice("connector", &kinds) {
        None => {
            reader.lenient();
            Connector::Blackhole
        }
        Some(Kind::File) => {
            reader.describe("a file sink");
            let found = reader.required_path("path", "out/scores.jsonl");
            let path = found.as_ref().map(|(path, _)| path.clone()).unwrap_or_default();
            path_text = found.map(|(_, text)| text);
            let compression = reader.choice("compression", &COMPRESSIONS).unwrap_or_default();
            format = format_of(&path);
            Connector::File { path, compression }
        }
        Some(Kind::Stdout) => {
            reader.describe("a stdout sink");
            Connector::Stdout
        }
        Some(Kind::Blackhole) => {
            reader.describe("a blackhole sink");
            Connector::Blackhole
        }
        Some(Kind::Kafka) => {
            let (settings, texts) = super::kafka::sink(&mut reader, identity);
            kafka = texts;
            Connector::Kafka(settings)
        }
    };
    let written = match connector {
        Connector::Kafka(_) => message_format(&mut reader),
        _ => reader.choice("format", &FORMATS),
    };
    let format = written.or(format).unwrap_or(Format::Json);
    let fields = reader.texts("fields", "transaction_id");
    if let Some(node) = reader.take("fields").filter(|_| fields.as_ref().is_some_and(Vec::is_empty)) {
        let diagnostic = reader.cx.error(&node.at, format!("`{table}.fields` is empty"));
        reader.cx.report(diagnostic.expected("expected at least one column").help("leave `fields` out to keep all"));
    }
    reader.finish();
    let config = Config {
        name,
        connector,
        format,
        fields: fields.as_ref().map(|texts| texts.iter().map(|t| t.value.clone()).collect()),
    };
    Sink {
        config,
        table,
        inputs: inputs.unwrap_or_default(),
        starved,
        fields: fields.unwrap_or_default(),
        path: path_text,
        kafka,
    }
}

/// Whether a sink writes plain CSV, where rows of two shapes cannot be told apart.
pub(super) fn is_csv(config: &Config) -> bool {
    config.format == Format::Csv && !matches!(config.connector, Connector::Blackhole)
}

/// The path of a file sink.
pub(super) fn file(config: &Config) -> Option<(&std::path::Path, Compression)> {
    match &config.connector {
        Connector::File { path, compression } => Some((path, *compression)),
        _ => None,
    }
}
