//! Kill it anywhere, as often as you like, and the output is what it would have been.

use millstream_tests::crash::{Medium, Plan};
use millstream_tests::kafka;

/// Deaths of a loop: enough for each named step to come up once. `MILLSTREAM_KILLS` makes it more.
fn kills(default: u64) -> u64 {
    std::env::var("MILLSTREAM_KILLS").ok().and_then(|k| k.parse().ok()).unwrap_or(default)
}

fn survives(test: &str, source: Medium, sink: Medium, kills: u64, seed: u64) {
    let plan = Plan::new(source, sink, kills, seed);
    let broker = if plan.needs_broker() { kafka::shared(test) } else { None };
    if plan.needs_broker() && broker.is_none() {
        return;
    }
    let verdict = plan.run(broker);
    verdict.expect_pass();
    assert!(verdict.deaths() >= kills, "{verdict}");
    assert!(verdict.missed.is_empty(), "{verdict}");
}

#[test]
fn from_file_to_file() {
    survives("from_file_to_file", Medium::File, Medium::File, kills(20), 1);
}

#[test]
fn from_kafka_to_kafka() {
    survives("from_kafka_to_kafka", Medium::Kafka, Medium::Kafka, kills(20), 2);
}

#[test]
fn from_file_to_kafka() {
    survives("from_file_to_kafka", Medium::File, Medium::Kafka, kills(5), 3);
}

#[test]
fn from_kafka_to_file() {
    survives("from_kafka_to_file", Medium::Kafka, Medium::File, kills(5), 4);
}
