//! The broker of the tests does what the tests of the host take for granted.

use std::time::Duration;

use millstream_tests::kafka::{self, Broker, Input, Isolation, Transaction};

const PATIENCE: Duration = Duration::from_secs(30);

fn values(broker: &Broker, topic: &str, isolation: Isolation) -> Vec<String> {
    broker.consume(topic, isolation).into_iter().filter_map(|r| r.value).collect()
}

#[test]
fn records_are_read_back_with_partition_offset_and_key() {
    let Some(broker) = kafka::shared("records_are_read_back_with_partition_offset_and_key") else { return };
    let topic = broker.unique("plain");
    broker.create_topic(&topic, 2, &[]);
    let tombstone = Input { key: Some("k".into()), ..Input::default() };
    let places = broker.produce(&topic, &[Input::value("a").at(1), Input::keyed("k", "ü").at(1), tombstone.at(0)]);
    assert_eq!(places, [(1, 0), (1, 1), (0, 0)]);
    let read = broker.consume(&topic, Isolation::ReadCommitted);
    let plain: Vec<_> = read.iter().map(|r| (r.partition, r.offset, r.key.as_deref(), r.value.as_deref())).collect();
    assert_eq!(plain, [(0, 0, Some("k"), None), (1, 0, None, Some("a")), (1, 1, Some("k"), Some("ü"))]);

    broker.add_partitions(&topic, 3);
    broker.delete_records(&topic, 1, 1);
    let offsets = broker.offsets(&topic);
    let plain: Vec<_> = offsets.values().map(|o| (o.start, o.last_stable, o.high_watermark)).collect();
    assert_eq!(plain, [(0, 1, 1), (1, 2, 2), (0, 0, 0)]);
}

#[test]
fn aborted_records_are_in_the_log_and_hidden_from_read_committed() {
    let Some(broker) = kafka::shared("aborted_records_are_in_the_log_and_hidden_from_read_committed") else { return };
    let (topic, group) = (broker.unique("aborted"), broker.unique("group"));
    broker.create_topic(&topic, 1, &[]);
    let input = format!("{topic}/0");
    let (bad, good) = ([Input::value("bad")], [Input::value("good")]);
    let mut transaction = Transaction {
        bootstrap: broker.bootstrap(),
        id: &topic,
        topic: &topic,
        records: &bad,
        group: Some(&group),
        offsets: &[(&input, 7)],
        commit: false,
        patience: PATIENCE,
    };
    broker.transact(&transaction).unwrap();
    assert!(broker.committed_offsets(&group).is_empty());
    (transaction.records, transaction.commit) = (&good, true);
    broker.transact(&transaction).unwrap();
    assert_eq!(broker.committed_offsets(&group), [(input.clone(), 7)].into());
    assert_eq!(values(broker, &topic, Isolation::ReadCommitted), ["good"]);
    assert_eq!(values(broker, &topic, Isolation::ReadUncommitted), ["bad", "good"]);
    assert_eq!(broker.aborted_records(&topic), 1);
    let tail = broker.tail(&topic, Isolation::ReadCommitted);
    while tail.count() == 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(tail.count(), 1);
}

#[test]
fn a_killed_broker_comes_back_with_its_records_and_a_paused_one_goes_on() {
    let Some(broker) = kafka::own("a_killed_broker_comes_back_with_its_records_and_a_paused_one_goes_on") else {
        return;
    };
    broker.create_topic("t", 1, &[]);
    broker.produce("t", &[Input::value("before")]);
    broker.restart();
    assert_eq!(values(&broker, "t", Isolation::ReadCommitted), ["before"]);
    broker.pause();
    let went_on = std::thread::scope(|scope| {
        let written = scope.spawn(|| broker.produce("t", &[Input::value("after")]));
        std::thread::sleep(Duration::from_millis(200));
        let early = written.is_finished();
        broker.resume();
        (early, written.join().unwrap())
    });
    assert_eq!(went_on, (false, vec![(0, 1)]));
}
