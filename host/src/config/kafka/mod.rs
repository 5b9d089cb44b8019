//! Kafka in a pipeline file: `[kafka]`, and what sources and sinks with `connector = "kafka"` have.

mod client;
pub(super) mod rules;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::context::{Context, Text};
use super::reader::Reader;
use crate::{kafka, sink, source};

/// Longest name of a topic that brokers take.
const MAX_TOPIC: usize = 249;

/// `[kafka]`. The table may be left out.
pub(super) fn settings(root: &mut Reader<'_>, pipeline: &str) -> kafka::Config {
    let mut config = kafka::Config {
        transactional_id: pipeline.to_owned(),
        pointer_topic: format!("{pipeline}-epochs"),
        producer: None,
    };
    let Some(mut reader) = root.table("kafka") else { return config };
    if let Some(id) = reader.text("transactional_id", "fraud-scoring-1") {
        if id.value.is_empty() {
            let diagnostic = reader.cx.error(&id.at, "`kafka.transactional_id` is empty");
            reader.cx.report(diagnostic.expected("expected a name that no other process has"));
        }
        config.transactional_id = id.value;
    }
    if let Some(topic) = reader.text("pointer_topic", "fraud-scoring-epochs") {
        check_topic(reader.cx, &topic);
        config.pointer_topic = topic.value;
    }
    reader.finish();
    config
}

/// What a source that reads Kafka has beside its format and columns.
pub(super) fn source(reader: &mut Reader<'_>, identity: &str) -> source::Kafka {
    reader.describe("a kafka source");
    let topics = reader.required_text_or_texts("topics", "card-payments");
    if let Some(node) = reader.take("topics").filter(|_| topics.as_ref().is_some_and(Vec::is_empty)) {
        let diagnostic = reader.cx.error(&node.at, format!("`{}` is empty", reader.key("topics")));
        reader.cx.report(diagnostic.expected("expected at least one topic"));
    }
    let topics = topics.unwrap_or_default();
    for topic in &topics {
        check_topic(reader.cx, topic);
    }
    let group = reader.required_text("group", "fraud-scoring").map(|text| text.value).unwrap_or_default();
    use source::{AutoOffsetReset, Missing, Tombstones};
    let resets = [
        ("earliest", AutoOffsetReset::Earliest),
        ("latest", AutoOffsetReset::Latest),
        ("error", AutoOffsetReset::Error),
    ];
    let auto_offset_reset = reader.choice("auto_offset_reset", &resets).unwrap_or_default();
    let tombstones = [("skip", Tombstones::Skip), ("dead_letter", Tombstones::DeadLetter)];
    let tombstones = reader.choice("tombstones", &tombstones).unwrap_or_default();
    let missing = [("stop", Missing::Stop), ("skip", Missing::Skip)];
    let missing_records = reader.choice("missing_records", &missing).unwrap_or_default();
    let has_idle_timeout = reader.has("idle_timeout");
    // Shorter, and a partition would be idle between two polls.
    let range = Duration::from_millis(100)..=Duration::from_secs(86_400);
    let idle_timeout = reader.duration("idle_timeout", Duration::from_secs(60), range);
    let client = client::read(reader);
    source::Kafka {
        topics: topics.into_iter().map(|topic| topic.value).collect(),
        group,
        auto_offset_reset,
        idle_timeout: has_idle_timeout.then_some(idle_timeout),
        tombstones,
        missing_records,
        identity: identity.to_owned(),
        client: client.properties,
    }
}

/// What the file says of a sink's Kafka beyond its settings.
#[derive(Default)]
pub(super) struct SinkTexts {
    /// The column that becomes the key.
    pub(super) key: Option<Text>,
    /// Whether all properties of the client could be read.
    pub(super) complete: bool,
}

/// What a sink that writes to Kafka has beside its columns.
pub(super) fn sink(reader: &mut Reader<'_>, identity: &str) -> (sink::Kafka, SinkTexts) {
    reader.describe("a kafka sink");
    let topic = reader.required_text("topic", "card-scores");
    if let Some(topic) = &topic {
        check_topic(reader.cx, topic);
    }
    let key = reader.text("key", "user_id");
    let deliveries = [("exactly_once", sink::Delivery::ExactlyOnce), ("at_least_once", sink::Delivery::AtLeastOnce)];
    let delivery = reader.choice("delivery", &deliveries).unwrap_or_default();
    let headers = reader.boolean("headers", true);
    let client = client::read(reader);
    let config = sink::Kafka {
        topic: topic.map(|topic| topic.value).unwrap_or_default(),
        key: key.as_ref().map(|key| key.value.clone()),
        delivery,
        headers,
        identity: identity.to_owned(),
        client: client.properties,
    };
    (config, SinkTexts { key, complete: client.complete })
}

/// Reports a name that no topic can have. A pattern is one, too: positions are kept by topic, and a
/// pattern may take in what nobody meant.
fn check_topic(cx: &Context<'_>, topic: &Text) {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name = topic.value.as_str();
    if !name.is_empty() && name.len() <= MAX_TOPIC && name.chars().all(fits) && name != "." && name != ".." {
        return;
    }
    cx.report(
        cx.error(&topic.at, format!("`{}` cannot be the name of a topic", topic.shown))
            .expected(format!("expected 1 to {MAX_TOPIC} of `a-z`, `A-Z`, `0-9`, `.`, `_` and `-`")),
    );
}
