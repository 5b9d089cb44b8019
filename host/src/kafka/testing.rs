//! Mock brokers for the tests of sources and sinks, which know no rdkafka.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::{Producer, Properties, Record};

/// A broker inside the process.
pub(crate) type Cluster = MockCluster<'static, DefaultProducerContext>;

/// A broker with these topics and numbers of partitions.
pub(crate) fn cluster(topics: &[(&str, i32)]) -> Cluster {
    let cluster = MockCluster::new(1).unwrap();
    for (topic, partitions) in topics {
        cluster.create_topic(topic, *partitions, 1).unwrap();
    }
    cluster
}

/// The client of a pipeline that knows the broker.
pub(crate) fn client(cluster: &Cluster) -> Properties {
    let mut client = Properties::default();
    client.set("bootstrap.servers", &cluster.bootstrap_servers()).unwrap();
    client
}

/// Writes values to a partition.
pub(crate) fn write(cluster: &Cluster, topic: &str, partition: i32, values: &[&str]) {
    let producer = Producer::start("test", "test", &client(cluster)).unwrap();
    for value in values {
        let value = value.as_bytes();
        let record = Record { topic, partition: Some(partition), key: None, value, headers: &[] };
        producer.send(&record, &|| false).unwrap();
    }
    producer.flush(&|| false).unwrap();
}

/// Key, value and headers (`name: value`) of a record.
pub(crate) type Written = (Option<String>, String, Vec<String>);

/// The first `count` records of a partition 0.
pub(crate) fn written(cluster: &Cluster, topic: &str, count: usize) -> Vec<Written> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("group.id", "test")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut found = Vec::new();
    while found.len() < count {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message.unwrap();
        let headers = message.headers().map(|headers| {
            headers.iter().map(|h| format!("{}: {}", h.key, text(h.value.unwrap_or_default()))).collect()
        });
        found.push((message.key().map(text), text(message.payload().unwrap()), headers.unwrap_or_default()));
    }
    found
}
