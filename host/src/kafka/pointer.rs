//! The pointer: the record that says which epoch was committed.
//!
//! It is written in the same transaction as the epoch's outputs and offsets, to a compacted topic
//! of one partition. Key: the transactional id. Value, JSON:
//!
//! ```json
//! {"format":1,"epoch":7,"run":2,"checksum":3735928559,"offsets":{"payments":{"card-payments/0":1042}}}
//! ```
//!
//! Who starts writes a sentinel (key `<transactional id>#sentinel`, value `{"format":1,"process":…}`)
//! in a transaction of its own and reads until it sees it. Only then everything before was seen: a
//! poll that brings nothing is not the end of a topic, and brokers were known to answer with less
//! than they had. The sentinel also tells a process that lost its transaction whether another one
//! took over.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};

use super::error::{Error, Kind, classify};
use super::{Config, Partition};
use crate::record::Position;

/// Version of both values.
const FORMAT: u32 = 1;
/// How long one poll waits: as long, a stop may go unnoticed.
const POLL: Duration = Duration::from_millis(100);
/// How often a wait is told of.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which epoch was committed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pointer {
    /// None under this transactional id.
    Absent,
    /// This one.
    Found {
        /// Number of the epoch.
        epoch: u64,
        /// Run that committed it.
        run: u64,
        /// Checksum of its record.
        checksum: u32,
    },
}

#[derive(Serialize, Deserialize)]
struct PointerValue {
    format: u32,
    epoch: u64,
    run: u64,
    checksum: u32,
    /// By source and partition: not read by the host, but whoever has lost the rest can go on there.
    offsets: BTreeMap<String, BTreeMap<String, u64>>,
}

#[derive(Serialize, Deserialize)]
struct SentinelValue {
    format: u32,
    process: String,
}

/// Value of a pointer record.
pub(super) fn encode(epoch: u64, run: u64, checksum: u32, positions: &BTreeMap<String, Vec<Position>>) -> Vec<u8> {
    let of_source = |positions: &Vec<Position>| positions.iter().map(|p| (p.partition.clone(), p.next)).collect();
    let offsets = positions.iter().map(|(source, positions)| (source.clone(), of_source(positions))).collect();
    // Text and numbers under text keys always make JSON.
    serde_json::to_vec(&PointerValue { format: FORMAT, epoch, run, checksum, offsets }).unwrap_or_default()
}

/// Key of the sentinel of a transactional id.
pub(super) fn sentinel_key(id: &str) -> String {
    format!("{id}#sentinel")
}

/// Value of a sentinel.
pub(super) fn sentinel(process: &str) -> Vec<u8> {
    serde_json::to_vec(&SentinelValue { format: FORMAT, process: process.to_owned() }).unwrap_or_default()
}

/// What the topic says about one transactional id.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct History {
    pub pointer: Pointer,
    /// The process that wrote the last sentinel.
    pub process: Option<String>,
}

impl History {
    fn new() -> Self {
        Self { pointer: Pointer::Absent, process: None }
    }

    /// Takes one record in. Records of other ids pass by.
    fn add(&mut self, config: &Config, key: &[u8], value: &[u8], offset: i64) -> Result<(), Error> {
        let (id, topic) = (&config.transactional_id, &config.pointer_topic);
        if key == id.as_bytes() {
            let value: PointerValue = read(value).map_err(|problem| unreadable(topic, offset, &problem))?;
            self.pointer = Pointer::Found { epoch: value.epoch, run: value.run, checksum: value.checksum };
        } else if key == sentinel_key(id).as_bytes() {
            let value: SentinelValue = read(value).map_err(|problem| unreadable(topic, offset, &problem))?;
            self.process = Some(value.process);
        }
        Ok(())
    }
}

fn read<'a, T: Deserialize<'a>>(value: &'a [u8]) -> Result<T, String> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let Format { format } = serde_json::from_slice(value).map_err(|error| error.to_string())?;
    if format != FORMAT {
        return Err(format!("it is of format {format}, and this version reads {FORMAT}"));
    }
    serde_json::from_slice(value).map_err(|error| error.to_string())
}

fn unreadable(topic: &str, offset: i64, problem: &str) -> Error {
    let message = format!(
        "the record at {topic}/0 offset {offset}, which says what epoch was committed, cannot be read: {problem}; \
         use the version of Millstream that wrote it, or start anew under another `[kafka] transactional_id`"
    );
    Error::new(Kind::Stop, message)
}

/// How far to read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    /// Until the record at this offset was seen.
    Seen(i64),
    /// To where the topic ends for a reader of committed records.
    End,
}

/// Reads what the topic says. Waits for a broker that is gone, until `stopped`.
pub(super) fn history(config: &Config, until: Until, stopped: &dyn Fn() -> bool) -> Result<History, Error> {
    let Some(client) = &config.producer else { return Ok(History::new()) };
    let topic = &config.pointer_topic;
    let failed =
        |error: KafkaError| Error::of(format_args!("cannot read topic `{topic}` at {}", client.brokers()), &error);
    let mut settings = client.reader(&config.transactional_id);
    settings.set("enable.partition.eof", "true");
    let reader: BaseConsumer = settings.create().map_err(failed)?;
    let mut assignment = TopicPartitionList::new();
    let partition = Partition { topic: topic.clone(), number: 0 };
    assignment.add_partition_offset(&partition.topic, partition.number, Offset::Beginning).map_err(failed)?;
    reader.assign(&assignment).map_err(failed)?;
    let mut history = History::new();
    let mut told = Instant::now();
    loop {
        if stopped() {
            return Err(Error::new(Kind::Rewind, format!("stopped while reading topic `{topic}`")));
        }
        match reader.poll(POLL) {
            Some(Ok(message)) => {
                let (key, value) = (message.key().unwrap_or_default(), message.payload().unwrap_or_default());
                history.add(config, key, value, message.offset())?;
                if matches!(until, Until::Seen(offset) if message.offset() >= offset) {
                    return Ok(history);
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => {
                if matches!(until, Until::End) {
                    return Ok(history);
                }
            }
            Some(Err(error)) if classify(&error) != Kind::Retry => return Err(failed(error)),
            Some(Err(_)) | None => {}
        }
        if told.elapsed() >= PATIENCE {
            told = Instant::now();
            tracing::warn!(
                topic,
                brokers = client.brokers(),
                "still reading which epoch was committed; is the broker there, or another transaction open?"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config { transactional_id: "fraud".into(), pointer_topic: "fraud-epochs".into(), producer: None }
    }

    fn positions() -> BTreeMap<String, Vec<Position>> {
        BTreeMap::from([("payments".to_owned(), vec![Position::new("pay/0", 42)])])
    }

    #[test]
    fn the_last_pointer_of_the_id_counts() {
        let (config, mut history) = (config(), History::new());
        history.add(&config, b"fraud", &encode(6, 1, 60, &positions()), 0).unwrap();
        history.add(&config, b"other", &encode(9, 9, 90, &positions()), 1).unwrap();
        history.add(&config, b"other#sentinel", &sentinel("them"), 2).unwrap();
        history.add(&config, b"fraud", &encode(7, 2, 70, &positions()), 3).unwrap();
        history.add(&config, b"fraud#sentinel", &sentinel("me"), 4).unwrap();
        let pointer = Pointer::Found { epoch: 7, run: 2, checksum: 70 };
        assert_eq!(history, History { pointer, process: Some("me".into()) });
    }

    #[test]
    fn the_recorded_format_is_read() {
        let value = br#"{"format":1,"epoch":7,"run":2,"checksum":4294967295,"offsets":{"payments":{"pay/0":42}}}"#;
        assert_eq!(encode(7, 2, u32::MAX, &positions()), value);
        let mut history = History::new();
        history.add(&config(), b"fraud", value, 0).unwrap();
        assert_eq!(history.pointer, Pointer::Found { epoch: 7, run: 2, checksum: u32::MAX });
    }

    #[test]
    fn a_pointer_that_cannot_be_read_stops_and_says_where_it_is() {
        for value in [&b"{\"format\":2,\"epoch\":1}"[..], b"", b"[1]", b"{\"format\":1,\"epoch\":-1}"] {
            let error = History::new().add(&config(), b"fraud", value, 77).unwrap_err();
            assert_eq!(error.kind, Kind::Stop);
            assert!(error.message.contains("fraud-epochs/0 offset 77"), "{error}");
        }
    }
}
