//! Against librdkafka's mock brokers: they speak the protocol, transactions and groups included, but
//! show records of open transactions to everyone. What only a real broker can prove is in `tests/`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::testing::{Cluster, cluster};
use super::*;
use crate::record::Position;

fn client(cluster: &Cluster) -> Properties {
    let mut client = testing::client(cluster);
    client.set("transaction.timeout.ms", "5000").unwrap();
    client
}

fn config(cluster: &Cluster) -> Config {
    Config { transactional_id: "fraud".into(), pointer_topic: "fraud-epochs".into(), producer: Some(client(cluster)) }
}

fn group(cluster: &Cluster, topic: &str) -> GroupConfig {
    GroupConfig {
        source: "payments".into(),
        group: "scoring".into(),
        topics: vec![topic.into()],
        identity: "fraud".into(),
        client: client(cluster),
    }
}

fn record<'a>(topic: &'a str, value: &'a str) -> Record<'a> {
    Record { topic, partition: Some(0), key: None, value: value.as_bytes(), headers: &[("from", "test")] }
}

fn position(partition: &str, next: u64) -> Position {
    Position::new(partition, next)
}

fn never() -> bool {
    false
}

/// Joins the group and reads one partition from its beginning.
fn reading(cluster: &Cluster, topic: &str) -> Arc<Consumer> {
    let consumer = Consumer::start(&group(cluster, topic), Arc::default()).unwrap();
    loop {
        if let Event::Assigned(partitions) = consumer.poll(Duration::from_millis(100)).unwrap() {
            let start: Vec<_> = partitions.into_iter().map(|partition| (partition, 0)).collect();
            consumer.assign(&start).unwrap();
            return consumer;
        }
    }
}

#[test]
fn the_pointer_of_a_committed_epoch_is_found_at_the_next_start() {
    let cluster = cluster(&[("fraud-epochs", 1), ("scores", 1)]);
    let config = config(&cluster);
    let (transactor, pointer) = Transactor::start(&config, &never).unwrap();
    assert_eq!(pointer, Pointer::Absent);
    transactor.begin(1).unwrap();
    assert_eq!(transactor.enter(None).unwrap(), 1);
    transactor.produce(&record("scores", "{}")).unwrap();
    transactor.flushed().unwrap();
    let outcome = transactor.commit(1, 4, 99, &BTreeMap::new(), &Consumers::default());
    assert_eq!(outcome, Outcome::Committed);
    let (_, pointer) = Transactor::start(&config, &never).unwrap();
    assert_eq!(pointer, Pointer::Found { epoch: 1, run: 4, checksum: 99 });
}

#[test]
fn positions_of_files_are_no_offsets() {
    let cluster = cluster(&[("fraud-epochs", 1), ("payments", 1), ("scores", 1)]);
    let consumers = Consumers::default();
    let consumer = reading(&cluster, "payments");
    consumers.add("payments", consumer);
    let (transactor, _) = Transactor::start(&config(&cluster), &never).unwrap();
    transactor.begin(1).unwrap();
    transactor.produce(&record("scores", "{}")).unwrap();
    let positions = BTreeMap::from([
        ("payments".to_owned(), vec![position("payments/0", 17)]),
        ("files".to_owned(), vec![position("data/events.jsonl", 3)]),
    ]);
    assert_eq!(transactor.commit(1, 1, 1, &positions, &consumers), Outcome::Committed);
    assert!(consumers.close(Duration::from_secs(30)));
}

#[test]
fn a_source_that_left_its_group_aborts_the_epoch() {
    let cluster = cluster(&[("fraud-epochs", 1)]);
    let consumers = Consumers::default();
    consumers.lag("payments");
    let (transactor, _) = Transactor::start(&config(&cluster), &never).unwrap();
    transactor.begin(1).unwrap();
    let positions = BTreeMap::from([("payments".to_owned(), vec![position("payments/0", 17)])]);
    let outcome = transactor.commit(1, 1, 1, &positions, &consumers);
    assert!(matches!(&outcome, Outcome::Aborted(reason) if reason.contains("`payments`")), "{outcome:?}");
}

#[test]
fn a_sink_that_is_an_epoch_ahead_waits_for_the_transaction_and_closing_ends_the_wait() {
    let cluster = cluster(&[("fraud-epochs", 1)]);
    let (transactor, _) = Transactor::start(&config(&cluster), &never).unwrap();
    transactor.begin(5).unwrap();
    assert_eq!(transactor.enter(Some(4)).unwrap(), 5);
    let (ahead, other) = (transactor.clone(), transactor.clone());
    let ahead = std::thread::spawn(move || ahead.enter(Some(5)));
    // Nothing was written in epoch 5: its transaction serves epoch 6.
    transactor.begin(6).unwrap();
    assert_eq!(ahead.join().unwrap().unwrap(), 6);
    let waiting = std::thread::spawn(move || other.enter(Some(6)));
    transactor.close();
    assert_eq!(waiting.join().unwrap().unwrap_err().kind, Kind::Rewind);
}

#[test]
fn an_epoch_without_an_open_transaction_is_not_committed() {
    let cluster = cluster(&[("fraud-epochs", 1)]);
    let (transactor, _) = Transactor::start(&config(&cluster), &never).unwrap();
    let commit = || transactor.commit(1, 1, 1, &BTreeMap::new(), &Consumers::default());
    assert!(matches!(commit(), Outcome::Aborted(_)));
    transactor.begin(1).unwrap();
    assert_eq!(commit(), Outcome::Committed);
    assert!(matches!(commit(), Outcome::Aborted(_)));
}

#[test]
fn a_newer_process_fences_an_older_one() {
    let cluster = cluster(&[("fraud-epochs", 1), ("scores", 1)]);
    let config = config(&cluster);
    let (old, _) = Transactor::start_as("old", &config, &never).unwrap();
    old.begin(1).unwrap();
    let (new, _) = Transactor::start_as("new", &config, &never).unwrap();
    cluster.request_errors(RDKafkaApiKey::EndTxn, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH]);
    old.produce(&record("scores", "{}")).unwrap();
    let outcome = old.commit(1, 1, 1, &BTreeMap::new(), &Consumers::default());
    assert!(matches!(&outcome, Outcome::Fenced(reason) if reason.contains("transactional_id")), "{outcome:?}");
    new.begin(1).unwrap();
    assert_eq!(new.commit(1, 2, 1, &BTreeMap::new(), &Consumers::default()), Outcome::Committed);
}

#[test]
fn a_transaction_that_the_broker_gave_up_is_not_taken_for_another_process() {
    let cluster = cluster(&[("fraud-epochs", 1), ("scores", 1)]);
    let (transactor, _) = Transactor::start(&config(&cluster), &never).unwrap();
    transactor.begin(1).unwrap();
    transactor.produce(&record("scores", "{}")).unwrap();
    cluster.request_errors(RDKafkaApiKey::EndTxn, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH]);
    let outcome = transactor.commit(1, 1, 1, &BTreeMap::new(), &Consumers::default());
    assert!(matches!(&outcome, Outcome::Uncertain(reason) if reason.contains("for its age")), "{outcome:?}");
}

#[test]
fn a_commit_outlives_errors_that_pass() {
    let cluster = cluster(&[("fraud-epochs", 1), ("scores", 1)]);
    let (transactor, _) = Transactor::start(&config(&cluster), &never).unwrap();
    transactor.begin(1).unwrap();
    transactor.produce(&record("scores", "{}")).unwrap();
    let errors = [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS,
    ];
    cluster.request_errors(RDKafkaApiKey::EndTxn, &errors);
    cluster.request_errors(RDKafkaApiKey::AddPartitionsToTxn, &errors);
    assert_eq!(transactor.commit(1, 1, 1, &BTreeMap::new(), &Consumers::default()), Outcome::Committed);
}

#[test]
fn an_offset_commit_of_an_old_generation_aborts() {
    let cluster = cluster(&[("fraud-epochs", 1), ("payments", 1), ("scores", 1)]);
    let consumers = Consumers::default();
    consumers.add("payments", reading(&cluster, "payments"));
    let (transactor, _) = Transactor::start(&config(&cluster), &never).unwrap();
    transactor.begin(1).unwrap();
    transactor.produce(&record("scores", "{}")).unwrap();
    cluster.request_errors(RDKafkaApiKey::TxnOffsetCommit, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION]);
    let positions = BTreeMap::from([("payments".to_owned(), vec![position("payments/0", 17)])]);
    let outcome = transactor.commit(1, 1, 1, &positions, &consumers);
    assert!(matches!(outcome, Outcome::Aborted(_)), "{outcome:?}");
}

#[test]
fn closing_interrupts_a_commit_whose_broker_is_gone() {
    let cluster = cluster(&[("fraud-epochs", 1), ("scores", 1)]);
    let mut config = config(&cluster);
    let mut client = client(&cluster);
    // Far beyond what a test waits for.
    client.set("transaction.timeout.ms", "600000").unwrap();
    config.producer = Some(client);
    let (transactor, _) = Transactor::start(&config, &never).unwrap();
    transactor.begin(1).unwrap();
    cluster.broker_down(1).unwrap();
    let committing = transactor.clone();
    let started = Instant::now();
    let commit = std::thread::spawn(move || committing.commit(1, 1, 1, &BTreeMap::new(), &Consumers::default()));
    transactor.close();
    assert!(matches!(commit.join().unwrap(), Outcome::Uncertain(_) | Outcome::Aborted(_)));
    assert!(started.elapsed() < Duration::from_secs(300), "it waited for the transaction to time out");
}

#[test]
fn a_start_without_a_broker_waits_until_it_is_stopped() {
    let mut client = Properties::default();
    // A port where nothing listens.
    client.set("bootstrap.servers", "127.0.0.1:9").unwrap();
    let config =
        Config { transactional_id: "fraud".into(), pointer_topic: "fraud-epochs".into(), producer: Some(client) };
    let since = Instant::now();
    let stopped = || since.elapsed() > Duration::from_secs(2);
    let error = Transactor::start(&config, &stopped).unwrap_err();
    assert_eq!(error.kind, Kind::Retry);
    assert!(error.message.contains("127.0.0.1:9"), "{error}");
}

#[test]
fn every_report_is_checked() {
    let cluster = cluster(&[("scores", 1)]);
    let producer = Producer::start("sink `out`", "fraud", &client(&cluster)).unwrap();
    producer.send(&record("scores", "{}"), &never).unwrap();
    producer.flush(&never).unwrap();
    cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    producer.send(&record("scores", "{}"), &never).unwrap();
    let error = producer.flush(&never).unwrap_err();
    assert_eq!(error.kind, Kind::Stop);
    assert!(error.message.contains("scores") && error.message.contains("max.message.bytes"), "{error}");
    assert_eq!(producer.send(&record("scores", "{}"), &never).unwrap_err(), error);
}

#[test]
fn a_consumer_reads_what_was_written_and_knows_its_lag() {
    let cluster = cluster(&[("payments", 1)]);
    testing::write(&cluster, "payments", 0, &["a", "b", "c"]);
    let consumer = reading(&cluster, "payments");
    let mut values = Vec::new();
    while values.len() < 3 {
        if let Event::Message(message) = consumer.poll(Duration::from_millis(100)).unwrap() {
            values.push((message.offset(), message.value().unwrap().to_vec()));
        }
    }
    assert_eq!(values, [(0, b"a".to_vec()), (1, b"b".to_vec()), (2, b"c".to_vec())]);
    let partition = Partition { topic: "payments".into(), number: 0 };
    assert_eq!(consumer.ends(&partition).unwrap(), (0, 3));
}

#[test]
fn a_topic_that_is_missing_is_named() {
    let cluster = cluster(&[("payments", 1)]);
    let consumer = Consumer::start(&group(&cluster, "paymants"), Arc::default()).unwrap();
    let error = consumer.check_topics().unwrap_err();
    assert_eq!(error.kind, Kind::Stop);
    assert!(error.message.contains("`paymants`"), "{error}");
}

#[test]
fn a_consumer_closes_even_when_its_assignment_was_never_answered() {
    let cluster = cluster(&[("payments", 1)]);
    let consumer = Consumer::start(&group(&cluster, "payments"), Arc::default()).unwrap();
    while !matches!(consumer.poll(Duration::from_millis(100)).unwrap(), Event::Assigned(_)) {}
    let consumers = Consumers::default();
    consumers.add("payments", consumer);
    assert!(consumers.close(Duration::from_secs(60)));
}
