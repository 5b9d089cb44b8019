//! The sink against librdkafka's mock brokers.

use super::*;
use crate::codec::Format;
use crate::kafka::testing::{self, Cluster, client, written};
use crate::kafka::{Consumers, Outcome};
use crate::sink::Connector;
use std::collections::BTreeMap;

fn cluster() -> Cluster {
    testing::cluster(&[("scores", 1), ("fraud-epochs", 1)])
}

fn settings(cluster: &Cluster, delivery: Delivery) -> Kafka {
    let (topic, key) = ("scores".to_owned(), Some("user".to_owned()));
    Kafka { topic, key, delivery, headers: true, identity: "fraud".into(), client: client(cluster) }
}

fn sink(settings: &Kafka, parts: &KafkaParts) -> Box<KafkaSink> {
    let connector = Connector::Kafka(settings.clone());
    let config = Config { name: "out".into(), connector, format: Format::Json, fields: None };
    Box::new(open(&config, settings, parts).unwrap())
}

fn parts(first: u64, transactor: Option<Arc<Transactor>>) -> KafkaParts {
    KafkaParts { transactor, provenance: Provenance::new(first), closed: Arc::default() }
}

/// Two records, the second without a key.
fn rows() -> SinkRows {
    let records = Records {
        ends: vec![3, 7],
        keys: b"ada".to_vec(),
        key_ends: vec![3, 3],
        null_keys: vec![false, true],
        origins: vec![41, 43],
        source: "payments".into(),
        partition: "pay/2".into(),
    };
    SinkRows { bytes: b"{}\n[1]\n".to_vec(), rows: 2, records: Some(Box::new(records)) }
}

#[test]
fn a_record_has_its_key_its_value_and_says_what_it_came_from() {
    let cluster = cluster();
    let parts = parts(7, None);
    let mut produced = Produced::default();
    produced.generation("enrich", 2, "0123456789abcdef");
    parts.provenance.set(7, produced);
    let mut sink = sink(&settings(&cluster, Delivery::AtLeastOnce), &parts);
    sink.write(&rows()).unwrap();
    let prepared = sink.prepare(7).unwrap();
    assert_eq!(prepared.state, SinkState::Nothing, "nothing that could be taken back");
    prepared.sync.unwrap()().unwrap();
    let headers = |place: u32| {
        vec![
            "millstream-epoch: 7".to_owned(),
            format!("millstream-position: payments/pay/2@{place}"),
            "millstream-generations: enrich=2:0123456789ab".to_owned(),
            "millstream-models: ".to_owned(),
        ]
    };
    let expected = [(Some("ada".into()), "{}".into(), headers(41)), (None, "[1]".into(), headers(43))];
    assert_eq!(written(&cluster, "scores", 2), expected);
}

#[test]
fn an_epoch_without_records_needs_no_flush() {
    let cluster = cluster();
    let mut sink = sink(&settings(&cluster, Delivery::AtLeastOnce), &parts(1, None));
    assert!(sink.prepare(1).unwrap().sync.is_none());
    sink.write(&rows()).unwrap();
    assert_eq!(sink.epoch.as_ref().map(|epoch| epoch.number.as_str()), Some("2"));
}

#[test]
fn headers_can_be_left_out() {
    let cluster = cluster();
    let settings = Kafka { headers: false, key: None, ..settings(&cluster, Delivery::AtLeastOnce) };
    let mut sink = sink(&settings, &parts(1, None));
    sink.write(&rows()).unwrap();
    sink.finish().unwrap();
    assert_eq!(written(&cluster, "scores", 1), [(None, "{}".to_owned(), vec![])]);
}

#[test]
fn an_exactly_once_sink_waits_with_the_next_epoch_until_the_one_before_is_committed() {
    let cluster = cluster();
    let settings = settings(&cluster, Delivery::ExactlyOnce);
    let config = kafka::Config {
        transactional_id: "fraud".into(),
        pointer_topic: "fraud-epochs".into(),
        producer: Some(settings.client.clone()),
    };
    let (transactor, _) = Transactor::start(&config, &|| false).unwrap();
    let mut sink = sink(&settings, &parts(1, Some(transactor.clone())));
    transactor.begin(1).unwrap();
    sink.write(&rows()).unwrap();
    let prepared = sink.prepare(1).unwrap();
    assert_eq!(prepared.state, SinkState::Kafka { topic: "scores".into() });
    prepared.sync.unwrap()().unwrap();
    let ahead = std::thread::spawn(move || {
        sink.write(&rows()).unwrap();
        sink.epoch.as_ref().map(|epoch| epoch.number.clone())
    });
    let outcome = transactor.commit(1, 1, 1, &BTreeMap::new(), &Consumers::default());
    assert_eq!(outcome, Outcome::Committed);
    transactor.begin(2).unwrap();
    assert_eq!(ahead.join().unwrap().as_deref(), Some("2"));
}

#[test]
fn an_exactly_once_sink_without_a_transactor_is_refused() {
    let cluster = cluster();
    let settings = settings(&cluster, Delivery::ExactlyOnce);
    let connector = Connector::Kafka(settings.clone());
    let config = Config { name: "out".into(), connector, format: Format::Json, fields: None };
    assert!(open(&config, &settings, &parts(1, None)).is_err());
}
