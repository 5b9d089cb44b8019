//! `[source.NAME.client]` and `[sink.NAME.client]`: properties of librdkafka by name.
//!
//! Their names hold dots, which TOML reads as tables within tables; quoted names work as well.
//! Values may be secrets: what librdkafka says about one is shown only when the file shows it, too.

use crate::config::diagnostic::Diagnostic;
use crate::config::nearest::nearest;
use crate::config::reader::Reader;
use crate::config::sources::Origin;
use crate::config::tree::{Node, Value};
use crate::kafka::{Problem, Properties};

const BOOTSTRAP: &str = "bootstrap.servers";

/// Names that are mistyped most often, because they are set most often.
const COMMON: [&str; 36] = [
    BOOTSTRAP,
    "client.id",
    "client.rack",
    "compression.type",
    "compression.level",
    "debug",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.wait.max.ms",
    "group.instance.id",
    "heartbeat.interval.ms",
    "isolation.level",
    "linger.ms",
    "batch.size",
    "batch.num.messages",
    "max.poll.interval.ms",
    "message.max.bytes",
    "message.timeout.ms",
    "partitioner",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "sasl.mechanism",
    "sasl.username",
    "sasl.password",
    "security.protocol",
    "session.timeout.ms",
    "socket.timeout.ms",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
    "transaction.timeout.ms",
];

/// The properties of a table `client`.
#[derive(Default)]
pub(in crate::config) struct Client {
    pub(in crate::config) properties: Properties,
    /// Whether all of it could be read.
    pub(in crate::config) complete: bool,
}

/// Reads the table `client`.
pub(super) fn read(reader: &mut Reader<'_>) -> Client {
    let mut client = Client::default();
    let help = format!("add `[{}]` and below it `{BOOTSTRAP} = \"localhost:9092\"`", reader.key("client"));
    if reader.require("client", &help).is_none() {
        return client;
    }
    let Some(table) = reader.table("client") else { return client };
    client.complete = true;
    for (name, at, node) in table.entries() {
        property(&table, name, at, node, &mut client);
    }
    if client.properties.get(BOOTSTRAP).is_none() && !has_bootstrap(&table) {
        client.complete = false;
        let diagnostic = table.error(format!("`[{}]` has no `{BOOTSTRAP}`", table.path));
        table.cx.report(
            diagnostic
                .expected("needs the addresses of brokers")
                .help(format!("add `{BOOTSTRAP} = \"localhost:9092\"`")),
        );
    }
    client
}

/// Whether the addresses are there, if not well.
fn has_bootstrap(table: &Reader<'_>) -> bool {
    table.entries().any(|(name, _, _)| name.starts_with("bootstrap"))
}

fn property(table: &Reader<'_>, name: &str, at: &Origin, node: &Node, client: &mut Client) {
    let key = table.key(name);
    let cx = table.cx;
    cx.record(key.clone(), &node.at);
    let (value, is_shown) = match &node.value {
        Value::Table(inner) => {
            for entry in &inner.entries {
                property(table, &format!("{name}.{}", entry.key), &entry.key_at, &entry.node, client);
            }
            return;
        }
        Value::Text(_) => {
            let Some(text) = cx.text(&key, node, "localhost:9092") else {
                client.complete = false;
                return;
            };
            let is_shown = text.value == text.shown;
            (text.value, is_shown)
        }
        Value::Integer(value) => (value.to_string(), true),
        Value::Float(value) => (value.to_string(), true),
        Value::Boolean(value) => (value.to_string(), true),
        Value::Datetime | Value::List(_) => {
            client.complete = false;
            cx.wrong_type(&key, node, "a string, a number or a boolean such as `\"lz4\"`, `5` or `true`");
            return;
        }
    };
    let Err(problem) = client.properties.set(name, &value) else { return };
    client.complete = false;
    cx.report(diagnostic(table, name, at, node, problem, is_shown));
}

fn diagnostic(
    table: &Reader<'_>,
    name: &str,
    at: &Origin,
    node: &Node,
    problem: Problem,
    is_shown: bool,
) -> Diagnostic {
    let cx = table.cx;
    match problem {
        Problem::Owned(reason) => cx
            .error(at, format!("`{name}` cannot be set in `[{}]`", table.path))
            .expected("the host sets this property itself")
            .help(reason),
        Problem::Unknown => {
            let help = match nearest(name, COMMON) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "see the CONFIGURATION.md of librdkafka 2.12".to_owned(),
            };
            cx.error(at, format!("unknown property `{name}` in `[{}]`", table.path))
                .expected("not a property of librdkafka")
                .help(help)
        }
        Problem::Value(reason) => {
            let diagnostic = cx.error(&node.at, format!("`{name}` cannot have this value"));
            if is_shown { diagnostic.expected(reason) } else { diagnostic.expected("librdkafka does not take it") }
        }
    }
}
