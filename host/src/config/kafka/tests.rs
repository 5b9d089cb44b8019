//! Golden tests of what is said about Kafka parts; see `config::tests`.

use std::time::Duration;

use crate::config::tests::{messages_of, read_text};
use crate::kafka::Properties;
use crate::{sink, source};

const GOOD: &str = r#"[pipeline]
name = "fraud"
dead_letters = "rejected"

[checkpoint]
interval = "1s"

[state]
path = "out/state"

[source.payments]
connector = "kafka"
topics = ["card-payments", "refunds"]
group = "fraud-scoring"
auto_offset_reset = "latest"
idle_timeout = "30s"
tombstones = "dead_letter"
event_time = "timestamp"

[source.payments.client]
bootstrap.servers = "localhost:9092"
"sasl.password" = "${TOKEN}"
fetch.wait.max.ms = 100
socket.keepalive.enable = false

[source.payments.fields]
user_id = "utf8"
amount = "f64"
timestamp = "timestamp"

[sink.scores]
connector = "kafka"
inputs = ["payments"]
topic = "card-scores"
key = "user_id"

[sink.scores.client]
bootstrap.servers = "localhost:9092"
linger.ms = 5

[sink.rejected]
connector = "kafka"
inputs = []
topic = "card-rejected"
headers = false

[sink.rejected.client]
bootstrap.servers = "localhost:9092"
linger.ms = 5
"#;

macro_rules! golden {
    ($($name:ident: $edits:expr $(, set $overrides:expr)?;)*) => {
        $(#[test]
        fn $name() {
            #[allow(unused_mut, unused_assignments)]
            let mut overrides: &[&str] = &[];
            $(overrides = &$overrides;)?
            insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
                insta::assert_snapshot!(stringify!($name), messages_of(GOOD, &$edits, overrides));
            });
        })*
    };
}

const SINK_CLIENT: &str = "[sink.scores.client]\nbootstrap.servers = \"localhost:9092\"\nlinger.ms = 5\n";

golden! {
    no_topics: [("topics = [\"card-payments\", \"refunds\"]\n", "")];
    empty_topics: [("[\"card-payments\", \"refunds\"]", "[]")];
    bad_topic: [("\"refunds\"", "\"^refunds.*\""), ("\"card-scores\"", "\"card scores\"")];
    no_group: [("group = \"fraud-scoring\"\n", "")];
    no_client: [(SINK_CLIENT, "")];
    no_bootstrap: [("bootstrap.servers = \"localhost:9092\"\n\"sasl", "\"sasl")];
    no_state: [("[state]\npath = \"out/state\"\n", "")];
    bad_reset: [("auto_offset_reset = \"latest\"", "auto_offset_reset = \"newest\"")];
    bad_idle_timeout: [("\"30s\"", "30")];
    owned_property: [("fetch.wait.max.ms = 100", "group.id = \"x\""), ("linger.ms = 5", "transactional.id = \"x\""),
        ("linger.ms = 5", "enable.idempotence = false")];
    unknown_property_with_a_near_one: [("linger.ms", "linger.msec")];
    unknown_property_without_a_near_one: [("linger.ms = 5", "banana = true")];
    bad_property_value: [("fetch.wait.max.ms = 100", "fetch.wait.max.ms = \"soon\""), ("linger.ms = 5", "linger.ms = -5")];
    bad_property_value_of_a_variable: [("fetch.wait.max.ms = 100", "fetch.wait.max.ms = \"${TOKEN}\"")];
    bad_property_type: [("linger.ms = 5", "linger.ms = [5]")];
    csv_in_a_message: [("tombstones = ", "format = \"csv\"\ntombstones = "), ("headers = false", "format = \"csv\"")];
    unknown_message_key: [("key = \"user_id\"", "key = \"usr_id\"")];
    message_key_of_a_wrong_type: [("key = \"user_id\"", "key = \"amount\"")];
    unknown_key_of_a_kafka_source: [("tombstones", "tombstone")];
    unknown_key_of_a_kafka_sink: [("headers = false", "path = \"x\"")];
    transaction_shorter_than_an_epoch: [("\"1s\"", "\"30s\"")];
    transaction_timeout_set_too_short: [("linger.ms = 5", "transaction.timeout.ms = 2000"), ("linger.ms = 5", "transaction.timeout.ms = 2000")];
    different_clients: [("linger.ms = 5\n\n[sink.rejected]", "compression.type = \"lz4\"\n\n[sink.rejected]")];
    different_brokers: [("localhost:9092\"\nlinger.ms = 5\n\n[sink.rejected]", "other:9092\"\nlinger.ms = 5\n\n[sink.rejected]")];
    different_guarantees: [("headers = false", "delivery = \"at_least_once\"")];
    bad_kafka_table: [("[checkpoint]", "[kafka]\ntransactional_id = \"\"\npointer_topic = \"a/b\"\nepochs = 3\n\n[checkpoint]")];
    override_of_a_property: [], set ["sink.scores.client.linger.ms=never"];
}

#[test]
fn a_good_file_becomes_a_pipeline_that_reads_and_writes_kafka() {
    let (p, warnings) =
        read_text(GOOD, &["sink.scores.client.linger.ms=7", "sink.rejected.client.linger.ms=7"]).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let source::Connector::Kafka(source) = &p.sources[0].connector else { panic!("not kafka") };
    assert_eq!(
        (source.topics.as_slice(), source.group.as_str()),
        (&["card-payments".to_owned(), "refunds".to_owned()][..], "fraud-scoring")
    );
    assert_eq!(source.auto_offset_reset, source::AutoOffsetReset::Latest);
    assert_eq!(source.idle_timeout, Some(Duration::from_secs(30)));
    assert_eq!((source.tombstones, source.missing_records), (source::Tombstones::DeadLetter, source::Missing::Stop));
    assert_eq!(
        (source.client.get("sasl.password"), source.client.get("fetch.wait.max.ms")),
        (Some("hunter2"), Some("100"))
    );
    assert_eq!(source.client.get("socket.keepalive.enable"), Some("false"));
    let sink::Connector::Kafka(sink) = &p.sinks[0].0.connector else { panic!("not kafka") };
    assert_eq!((sink.topic.as_str(), sink.key.as_deref(), sink.headers), ("card-scores", Some("user_id"), true));
    assert_eq!((sink.delivery, sink.identity.as_str()), (sink::Delivery::ExactlyOnce, "fraud"));
    assert_eq!(sink.client.get("linger.ms"), Some("7"), "an override takes the place of a property");
    assert_eq!((p.kafka.transactional_id.as_str(), p.kafka.pointer_topic.as_str()), ("fraud", "fraud-epochs"));
    assert_eq!(p.kafka.producer.as_ref().map(Properties::brokers), Some("localhost:9092"));
}

#[test]
fn names_of_the_process_can_be_set() {
    let text = GOOD
        .replace("[checkpoint]", "[kafka]\ntransactional_id = \"fraud-2\"\npointer_topic = \"epochs\"\n\n[checkpoint]");
    let (p, _) = read_text(&text, &[]).unwrap();
    assert_eq!((p.kafka.transactional_id.as_str(), p.kafka.pointer_topic.as_str()), ("fraud-2", "epochs"));
    let source::Connector::Kafka(source) = &p.sources[0].connector else { panic!("not kafka") };
    assert_eq!((source.identity.as_str(), source.auto_offset_reset), ("fraud-2", source::AutoOffsetReset::Latest));
}

#[test]
fn no_producer_is_needed_without_an_exactly_once_sink() {
    let text = GOOD.replace("topic = \"card-", "delivery = \"at_least_once\"\ntopic = \"card-");
    let (p, warnings) = read_text(&text, &[]).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(p.kafka.producer, None);
}

#[test]
fn the_value_of_a_property_is_never_shown() {
    for (from, to) in [
        ("\"card-scores\"", "\"${TOKEN}!\""),
        ("linger.ms = 5", "linger.ms = \"${TOKEN}\""),
        ("linger.ms = 5", "sasl.password = \"${TOKEN}\""),
        ("linger.ms = 5", "security.protocol = \"${TOKEN}\""),
        ("linger.ms = 5", "\"${TOKEN}\" = 5"),
        ("\"latest\"", "\"${TOKEN}\""),
        ("key = \"user_id\"", "key = \"${TOKEN}\""),
    ] {
        let shown = messages_of(GOOD, &[(from, to)], &[]);
        assert!(!shown.is_empty() && !shown.contains("hunter2"), "{to}: {shown}");
    }
    let (p, _) = read_text(GOOD, &[]).unwrap();
    let shown = format!("{p:?}");
    assert!(shown.contains("sasl.password") && !shown.contains("hunter2"), "{shown}");
}
