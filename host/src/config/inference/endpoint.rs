//! `[operator.NAME.endpoint]`: the servers of a model and how they are spoken to.

use http::header::{HeaderName, HeaderValue};

use super::protocol::{self, PROTOCOLS};
use super::url::{self, Address};
use crate::config::context::Text;
use crate::config::reader::Reader;
use crate::config::tree::Value;
use crate::inference::external::{EndpointConfig, PredictionType, ProtocolConfig, Secret, StatusClass};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Headers that the host sets itself.
const OWN_HEADERS: [&str; 7] =
    ["connection", "content-encoding", "content-length", "content-type", "host", "te", "transfer-encoding"];

/// Servers of a model, and what the operator must agree with.
pub(super) struct Endpoint {
    pub(super) config: EndpointConfig,
    /// `version` of the operator, where the protocol knows one.
    pub(super) model_version: Option<String>,
    /// The body of a template.
    pub(super) body: Option<Text>,
    /// Columns that it sends.
    pub(super) columns: Vec<String>,
}

/// Why a request of this protocol holds one row, if it does.
pub(super) fn one_row(protocol: &ProtocolConfig) -> Option<&'static str> {
    match protocol {
        ProtocolConfig::OpenAiChat { .. } => Some("protocol `openai-chat`"),
        ProtocolConfig::Template { .. } => Some("protocol `template`"),
        ProtocolConfig::TorchServe { rows: false } => Some("protocol `torchserve` without `rows = true`"),
        _ => None,
    }
}

/// Reads the table, when there is one.
pub(super) fn read(operator: &mut Reader<'_>) -> Option<Endpoint> {
    if !operator.has("endpoint") {
        return None;
    }
    let mut endpoint = Endpoint {
        config: EndpointConfig {
            protocol: ProtocolConfig::OpenAiEmbeddings,
            urls: Vec::new(),
            prediction: PredictionType::Numbers(1),
            headers: Vec::new(),
            bearer: None,
            http2: false,
            ca_file: None,
            max_reply_bytes: 4 << 20,
            classes: Vec::new(),
        },
        model_version: None,
        body: None,
        columns: Vec::new(),
    };
    let Some(mut table) = operator.table("endpoint") else { return Some(endpoint) };
    table.describe("an endpoint");
    let protocol = table.required_choice("protocol", &PROTOCOLS);
    let addresses = addresses(&mut table);
    let config = &mut endpoint.config;
    if let Some(protocol) = protocol {
        let spoken = protocol::read(protocol, &mut table);
        (config.protocol, config.prediction) = (spoken.config, spoken.prediction);
        (endpoint.body, endpoint.columns) = (spoken.body, spoken.columns);
        if protocol.has_versions() {
            endpoint.model_version = operator.text("version", "1").map(|t| t.value);
        }
    } else {
        // Which keys belong to it cannot be told.
        table.lenient();
        operator.take("version");
    }
    config.headers = headers(&mut table);
    config.bearer = bearer(&mut table, &addresses, &config.headers);
    config.ca_file = table.path("ca_file", "ca.pem");
    if config.ca_file.is_some() && !addresses.is_empty() && addresses.iter().all(|a| a.plain) {
        let at = table.key("ca_file");
        let diagnostic = table.cx.error_at(&at, format!("`{at}` has no effect"));
        table.cx.report(diagnostic.help("no url begins with `https://`; change them or remove it").into_warning());
    }
    config.http2 = table.boolean("http2", false);
    // A reply must fit into memory as often as requests are in flight.
    config.max_reply_bytes = table.bytes("max_reply", config.max_reply_bytes, KIB..=1_024 * MIB);
    config.classes = classes(&mut table);
    config.urls = addresses.into_iter().map(|a| a.url).collect();
    table.finish();
    Some(endpoint)
}

fn addresses(table: &mut Reader<'_>) -> Vec<Address> {
    let texts = table.required_texts("urls", "http://localhost:8080");
    if let (Some(node), Some([])) = (table.take("urls"), texts.as_deref()) {
        let diagnostic = table.cx.error(&node.at, format!("`{}.urls` is empty", table.path));
        table.cx.report(diagnostic.expected("expected at least one url such as `http://localhost:8080`"));
    }
    texts.iter().flatten().filter_map(|text| url::read(table, text)).collect()
}

/// `[operator.NAME.endpoint.headers]`. What is said of a value points at the table: the line of the
/// value would show it.
fn headers(endpoint: &mut Reader<'_>) -> Vec<(String, Secret)> {
    let Some(table) = endpoint.table("headers") else { return Vec::new() };
    let mut headers = Vec::new();
    for (name, at, node) in table.entries() {
        let lower = name.to_ascii_lowercase();
        let diagnostic = if HeaderName::from_bytes(name.as_bytes()).is_err() {
            table.cx.error(at, format!("`{name}` cannot be the name of a header"))
        } else if OWN_HEADERS.contains(&lower.as_str()) {
            let diagnostic = table.cx.error(at, format!("the header `{name}` is set by the host"));
            diagnostic.help("remove it")
        } else if headers.iter().any(|(other, _)| *other == lower) {
            table.cx.error(at, format!("the header `{name}` is there twice")).help("remove one of the two")
        } else if !matches!(node.value, Value::Text(_)) {
            table
                .error(format!("the header `{name}` must be a string"))
                .help("put it in quotes, or write `\"${NAME}\"`")
        } else {
            let Some(text) = table.cx.text(&table.key(name), node, "${KEY}") else { continue };
            if HeaderValue::from_str(&text.value).is_ok() {
                headers.push((lower, Secret(text.value)));
                continue;
            }
            table
                .error(format!("the value of the header `{name}` cannot be sent"))
                .expected("expected visible characters of ASCII")
        };
        table.cx.report(diagnostic);
    }
    headers
}

fn bearer(table: &mut Reader<'_>, addresses: &[Address], headers: &[(String, Secret)]) -> Option<Secret> {
    let text = table.text("bearer", "${TOKEN}")?;
    let report = |message: String, expected: &str, help: &str| {
        let diagnostic = table.error(message);
        let diagnostic = if expected.is_empty() { diagnostic } else { diagnostic.expected(expected) };
        table.cx.report(diagnostic.help(help));
    };
    let at = table.key("bearer");
    if text.value.trim().is_empty() {
        report(format!("`{at}` is empty"), "", "set the variable that it names");
    } else if HeaderValue::from_str(&text.value).is_err() {
        report(format!("`{at}` cannot be sent"), "expected visible characters of ASCII", "check the variable");
    }
    if headers.iter().any(|(name, _)| name == "authorization") {
        report(
            format!("`{at}` and the header `authorization` say the same"),
            "expected one of the two",
            "remove one of the two",
        );
    }
    if !text.shown.contains("${") {
        let diagnostic = table.error(format!("`{at}` is written in the pipeline file"));
        table.cx.report(diagnostic.help("take it from the environment: `bearer = \"${TOKEN}\"`").into_warning());
    }
    if let Some(address) = addresses.iter().find(|a| a.plain && !a.loopback) {
        let diagnostic = table.cx.error(&address.at, "the bearer token is sent over the network without TLS");
        table.cx.report(diagnostic.help("write `https://`, or a proxy on this machine").into_warning());
    }
    Some(Secret(text.value))
}

/// `[operator.NAME.endpoint.classes]`.
fn classes(endpoint: &mut Reader<'_>) -> Vec<(u16, StatusClass)> {
    let words = [
        ("retriable", StatusClass::Retriable),
        ("overload", StatusClass::Overload),
        ("permanent", StatusClass::Permanent),
    ];
    let Some(table) = endpoint.table("classes") else { return Vec::new() };
    let mut classes = Vec::new();
    for (name, at, node) in table.entries() {
        let code = name.parse().ok().filter(|code: &u16| name.len() == 3 && (300..=599).contains(code));
        let Some(code) = code else {
            table.cx.report(
                table
                    .cx
                    .error(at, format!("`{name}` is not the status code of an error"))
                    .expected("expected `\"300\"` to `\"599\"`"),
            );
            continue;
        };
        if let Some(class) = table.word(name, "a class", node, &words) {
            classes.push((code, class));
        }
    }
    classes
}
