//! The keys of `[operator.NAME.endpoint]` that belong to one protocol.

use arrow::datatypes::DataType;

use crate::config::context::Text;
use crate::config::reader::Reader;
use crate::inference::external::{PredictionType, ProtocolConfig};
use crate::record::parse_type;

/// Numbers of a prediction at most, as of any column.
const MAX_NUMBERS: u64 = 65_536;

/// How servers are spoken to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    OpenInference,
    TensorFlow,
    TorchServe,
    OpenAiEmbeddings,
    OpenAiChat,
    Template,
}

/// By their names.
pub(super) const PROTOCOLS: [(&str, Protocol); 6] = [
    ("oip-v2", Protocol::OpenInference),
    ("tensorflow", Protocol::TensorFlow),
    ("torchserve", Protocol::TorchServe),
    ("openai-embeddings", Protocol::OpenAiEmbeddings),
    ("openai-chat", Protocol::OpenAiChat),
    ("template", Protocol::Template),
];

/// Keys that only some protocols have.
const KEYS: [(&str, &[Protocol]); 14] = [
    ("binary", &[Protocol::OpenInference]),
    ("input", &[Protocol::OpenInference]),
    ("output", &[Protocol::OpenInference]),
    ("signature", &[Protocol::TensorFlow]),
    ("rows", &[Protocol::TorchServe]),
    ("predictions", &[Protocol::OpenInference, Protocol::TensorFlow, Protocol::TorchServe]),
    ("dimensions", &[Protocol::OpenAiEmbeddings]),
    ("system", &[Protocol::OpenAiChat]),
    ("max_tokens", &[Protocol::OpenAiChat]),
    ("temperature", &[Protocol::OpenAiChat]),
    ("path", &[Protocol::Template]),
    ("body", &[Protocol::Template]),
    ("prediction", &[Protocol::Template]),
    ("type", &[Protocol::Template]),
];

/// What the keys of a protocol say.
pub(super) struct Spoken {
    pub(super) config: ProtocolConfig,
    pub(super) prediction: PredictionType,
    /// The body of a template.
    pub(super) body: Option<Text>,
    /// The columns that it sends, in their order.
    pub(super) columns: Vec<String>,
}

impl Protocol {
    /// Whether a version of the model can be asked for.
    pub(super) fn has_versions(self) -> bool {
        matches!(self, Self::OpenInference | Self::TensorFlow | Self::TorchServe)
    }

    fn name(self) -> &'static str {
        PROTOCOLS.iter().find(|(_, protocol)| *protocol == self).map_or("", |(name, _)| *name)
    }

    fn describe(self) -> &'static str {
        match self {
            Self::OpenInference => "an `oip-v2` endpoint",
            Self::TensorFlow => "a `tensorflow` endpoint",
            Self::TorchServe => "a `torchserve` endpoint",
            Self::OpenAiEmbeddings => "an `openai-embeddings` endpoint",
            Self::OpenAiChat => "an `openai-chat` endpoint",
            Self::Template => "a `template` endpoint",
        }
    }
}

/// Reads the keys of a protocol and reports those of others.
pub(super) fn read(protocol: Protocol, table: &mut Reader<'_>) -> Spoken {
    table.describe(protocol.describe());
    strangers(protocol, table);
    let (mut body, mut columns) = (None, Vec::new());
    let text = |text: Option<Text>| text.map(|t| t.value);
    let config = match protocol {
        Protocol::OpenInference => ProtocolConfig::OpenInference {
            binary: table.boolean("binary", false),
            input: text(table.text("input", "features")).unwrap_or_else(|| "features".to_owned()),
            output: text(table.text("output", "score")),
        },
        Protocol::TensorFlow => {
            ProtocolConfig::TensorFlow { signature: text(table.text("signature", "serving_default")) }
        }
        Protocol::TorchServe => ProtocolConfig::TorchServe { rows: table.boolean("rows", false) },
        Protocol::OpenAiEmbeddings => ProtocolConfig::OpenAiEmbeddings,
        Protocol::OpenAiChat => ProtocolConfig::OpenAiChat {
            system: text(table.text("system", "Answer with one word.")),
            max_tokens: table.integer("max_tokens", 1..=1_000_000).and_then(|v| u32::try_from(v).ok()),
            temperature: table.number("temperature", 0.0..=2.0).unwrap_or(0.0),
        },
        Protocol::Template => {
            let path = path(table);
            let node = table.require("body", "add `body = '{ \"amount\": \"{{amount}}\" }'`");
            body = node.and_then(|node| table.cx.text(&table.key("body"), node, "{ … }"));
            columns = body.as_ref().map(|text| columns_of(table, text)).unwrap_or_default();
            ProtocolConfig::Template {
                path,
                body: body.as_ref().map(|t| t.value.clone()).unwrap_or_default(),
                prediction: pointer(table, "prediction", true).unwrap_or_default(),
                version: pointer(table, "version", false),
            }
        }
    };
    Spoken { config, prediction: prediction(protocol, table), body, columns }
}

/// Keys of other protocols.
fn strangers(protocol: Protocol, table: &mut Reader<'_>) {
    for (key, owners) in KEYS.iter().filter(|(_, owners)| !owners.contains(&protocol)) {
        let Some(at) = table.key_at(key) else { continue };
        table.take(key);
        let names: Vec<&str> = owners.iter().map(|owner| owner.name()).collect();
        table.cx.report(
            table
                .cx
                .error(at, format!("unknown key `{key}` in `[{}]`", table.path))
                .expected(format!("not a key of {}", protocol.describe()))
                .help(format!("it belongs to {}; remove it", crate::config::nearest::list(&names))),
        );
    }
}

fn prediction(protocol: Protocol, table: &mut Reader<'_>) -> PredictionType {
    match protocol {
        Protocol::OpenInference | Protocol::TensorFlow | Protocol::TorchServe => {
            PredictionType::Numbers(table.count("predictions", 1, 1..=MAX_NUMBERS))
        }
        Protocol::OpenAiEmbeddings => {
            table.require("dimensions", "add `dimensions = 384`, the numbers of an embedding of this model");
            PredictionType::Numbers(table.count("dimensions", 1, 1..=MAX_NUMBERS))
        }
        Protocol::OpenAiChat => PredictionType::Text,
        Protocol::Template => template_type(table),
    }
}

fn template_type(table: &mut Reader<'_>) -> PredictionType {
    let Some(text) = table.text("type", "f32") else { return PredictionType::Numbers(1) };
    match (text.value.as_str(), parse_type(&text.value)) {
        ("text", _) => return PredictionType::Text,
        (_, Some(DataType::Float32)) => return PredictionType::Numbers(1),
        (_, Some(DataType::FixedSizeList(_, n))) => return PredictionType::Numbers(usize::try_from(n).unwrap_or(1)),
        _ => {}
    }
    let diagnostic = table.cx.error(&text.at, format!("`{}` is not the type of a prediction", text.shown));
    table.cx.report(diagnostic.expected("expected `f32`, `f32[N]` with N numbers, or `text`"));
    PredictionType::Numbers(1)
}

fn path(table: &mut Reader<'_>) -> String {
    let Some(text) = table.required_text("path", "/score") else { return String::new() };
    if !text.value.starts_with('/') {
        table.cx.report(
            table
                .cx
                .error(&text.at, format!("the path `{}` does not begin with `/`", text.shown))
                .expected("expected the path behind the address of the server, such as `/score`"),
        );
    }
    text.value
}

/// A JSON pointer: empty for the whole document, else it begins with a slash.
fn pointer(table: &mut Reader<'_>, key: &'static str, required: bool) -> Option<String> {
    let text = if required { table.required_text(key, "/score") } else { table.text(key, "/model/version") }?;
    let escaped = |rest: &str| rest.starts_with(['0', '1']);
    let sound = text.value.split('~').skip(1).all(escaped);
    if !sound || !(text.value.is_empty() || text.value.starts_with('/')) {
        table.cx.report(
            table
                .cx
                .error(&text.at, format!("`{}` is not a JSON pointer", text.shown))
                .expected("expected a pointer into the reply, such as `/result/0/score`")
                .help("write `~1` for a `/` and `~0` for a `~` within a name"),
        );
    }
    Some(text.value)
}

/// The columns that a body sends, in their order, each once.
fn columns_of(table: &Reader<'_>, body: &Text) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    if let Err(e) = serde_json::from_str::<serde_json::Value>(&body.value) {
        // Its text may hold values of variables; the place is enough.
        table.cx.report(
            table
                .cx
                .error(&body.at, format!("`{}.body` is not JSON", table.path))
                .expected(format!("line {}, column {} of the body cannot be read", e.line(), e.column()))
                .help("a placeholder stands in a string: `{ \"amount\": \"{{amount}}\" }`"),
        );
        return columns;
    }
    for part in body.value.split("{{").skip(1) {
        let Some((column, _)) = part.split_once("}}") else { continue };
        let column = column.trim();
        if !column.is_empty() && !columns.iter().any(|c| c == column) {
            columns.push(column.to_owned());
        }
    }
    if columns.is_empty() {
        table.cx.report(
            table
                .cx
                .error(&body.at, format!("`{}.body` sends no column", table.path))
                .expected("expected a placeholder such as `\"{{amount}}\"`"),
        );
    }
    columns
}
