//! The source against librdkafka's mock brokers.

use super::*;
use crate::codec::Format;
use crate::dataflow::{FailureKind, Stopped};
use crate::kafka::testing::{self, Cluster, client};
use crate::source::config::{AutoOffsetReset, Connector};

fn settings(cluster: &Cluster) -> Kafka {
    Kafka {
        topics: vec!["payments".into()],
        group: "scoring".into(),
        auto_offset_reset: AutoOffsetReset::Earliest,
        idle_timeout: None,
        tombstones: Tombstones::Skip,
        missing_records: Missing::Stop,
        identity: "fraud".into(),
        client: client(cluster),
    }
}

fn cluster(partitions: i32, values: &[&str]) -> Cluster {
    let cluster = testing::cluster(&[("payments", partitions)]);
    for partition in 0..partitions {
        testing::write(&cluster, "payments", partition, values);
    }
    cluster
}

/// What a source handed over; it stops when there are `enough` rows, or as many partitions are idle.
#[derive(Default)]
struct Collected {
    opened: Vec<(String, u64)>,
    rows: Vec<(u32, u64, Vec<u8>)>,
    next: Vec<(u32, u64)>,
    idle: Vec<u32>,
    enough: usize,
    enough_idle: usize,
}

impl Output for Collected {
    fn open(&mut self, at: Position) -> u32 {
        self.opened.push((at.partition, at.next));
        self.opened.len() as u32 - 1
    }

    fn close(&mut self, _: u32) {}

    fn send(&mut self, partition: u32, chunk: Chunk, next: Next, _: Instant) -> Result<(), Stopped> {
        let Chunk::Raw(block) = chunk else { panic!("a source of Kafka sends bytes") };
        let mut start = 0;
        for (index, &end) in block.ends.iter().enumerate() {
            let offset = block.offsets.get(index).copied().unwrap_or(block.first_offset + index as u64);
            self.rows.push((partition, offset, block.bytes[start..end as usize].to_vec()));
            start = end as usize;
        }
        self.next.push((partition, next.place));
        Ok(())
    }

    fn idle(&mut self, partition: u32) {
        self.idle.push(partition);
    }

    fn settle(&mut self, _: Duration) -> bool {
        true
    }

    fn stopped(&self) -> bool {
        self.rows.len() >= self.enough && self.idle.len() >= self.enough_idle
    }
}

fn run(settings: &Kafka, start: &[Position], output: &mut Collected) -> Result<(), Error> {
    let config = Config {
        name: "in".into(),
        connector: Connector::Kafka(settings.clone()),
        format: Format::Json,
        schema: Arc::new(arrow::datatypes::Schema::empty()),
        event_time: None,
        max_out_of_orderness: Duration::ZERO,
        max_record_bytes: 100,
    };
    let limits = Limits { rows: 4, bytes: 1 << 10, record: 100 };
    let consumers = Arc::new(Consumers::default());
    let result = Box::new(open(&config, settings, limits, &consumers)).run(start, output);
    assert!(consumers.close(Duration::from_secs(60)));
    result
}

fn position(partition: &str, next: u64) -> Position {
    Position::new(partition, next)
}

#[test]
fn every_partition_is_read_from_its_beginning_in_order() {
    let cluster = cluster(2, &["a", "b", "c", "d", "e"]);
    let mut output = Collected { enough: 10, ..Default::default() };
    run(&settings(&cluster), &[], &mut output).unwrap();
    for name in ["payments/0", "payments/1"] {
        let number = output.opened.iter().position(|(opened, _)| opened == name).unwrap() as u32;
        let rows: Vec<_> = output.rows.iter().filter(|row| row.0 == number).map(|row| (row.1, &row.2[..])).collect();
        assert_eq!(rows, [(0, &b"a"[..]), (1, b"b"), (2, b"c"), (3, b"d"), (4, b"e")]);
        assert_eq!(output.next.iter().rfind(|(n, _)| *n == number), Some(&(number, 5)));
    }
}

#[test]
fn a_known_position_goes_before_everything_else() {
    let cluster = cluster(1, &["a", "b", "c"]);
    let mut output = Collected { enough: 1, ..Default::default() };
    run(&settings(&cluster), &[position("payments/0", 2)], &mut output).unwrap();
    assert_eq!(output.opened, [("payments/0".to_owned(), 2)]);
    assert_eq!(output.rows, [(0, 2, b"c".to_vec())]);
}

#[test]
fn without_a_position_the_setting_says_where_to_begin() {
    let cluster = cluster(1, &["a", "b", "c"]);
    let mut settings = settings(&cluster);
    settings.auto_offset_reset = AutoOffsetReset::Latest;
    settings.idle_timeout = Some(Duration::from_millis(100));
    let mut output = Collected { enough_idle: 1, ..Default::default() };
    run(&settings, &[], &mut output).unwrap();
    assert_eq!((output.opened, output.rows), (vec![("payments/0".to_owned(), 3)], vec![]));
}

#[test]
fn a_partition_that_nobody_has_read_stops_the_pipeline_when_that_is_wanted() {
    let cluster = cluster(1, &["a"]);
    let mut settings = settings(&cluster);
    settings.auto_offset_reset = AutoOffsetReset::Error;
    let error = run(&settings, &[], &mut Collected { enough: 1, ..Default::default() }).unwrap_err();
    assert_eq!(error.kind, FailureKind::Stop);
    assert!(error.message.contains("payments/0") && error.message.contains("auto_offset_reset"), "{error}");
}

#[test]
fn a_partition_of_a_topic_that_was_read_begins_at_its_beginning() {
    let cluster = cluster(2, &["a", "b", "c"]);
    let mut settings = settings(&cluster);
    settings.auto_offset_reset = AutoOffsetReset::Latest;
    let mut output = Collected { enough: 3, ..Default::default() };
    run(&settings, &[position("payments/0", 3)], &mut output).unwrap();
    output.opened.sort();
    assert_eq!(output.opened, [("payments/0".to_owned(), 3), ("payments/1".to_owned(), 0)]);
}

#[test]
fn a_position_outside_the_log_stops_and_says_what_is_there() {
    let cluster = cluster(1, &["a", "b", "c"]);
    let error =
        run(&settings(&cluster), &[position("payments/0", 99)], &mut Collected { enough: 1, ..Default::default() });
    let error = error.unwrap_err();
    assert_eq!(error.kind, FailureKind::Stop);
    assert!(
        error.message.contains("position 99 of payments/0") && error.message.contains("end of its log at 3"),
        "{error}"
    );
}

#[test]
fn a_long_record_is_cut_and_counted() {
    let long = "x".repeat(101);
    let cluster = cluster(1, &["a", &long, "b"]);
    let mut output = Collected { enough: 3, ..Default::default() };
    run(&settings(&cluster), &[], &mut output).unwrap();
    let lengths: Vec<usize> = output.rows.iter().map(|row| row.2.len()).collect();
    assert_eq!(lengths, [1, 100, 1]);
}

#[test]
fn a_topic_that_is_missing_stops_the_pipeline() {
    let cluster = cluster(1, &["a"]);
    let mut settings = settings(&cluster);
    settings.topics.push("refunds".into());
    let error = run(&settings, &[], &mut Collected { enough: 1, ..Default::default() }).unwrap_err();
    assert_eq!(error.kind, FailureKind::Stop);
    assert!(error.message.contains("`refunds`"), "{error}");
}
