//! A topic of Kafka.
//!
//! `exactly_once`: records are part of the transaction that commits their epoch; readers with
//! `isolation.level=read_committed` see them when it is committed, once. All such sinks share one
//! producer, the [`Transactor`]. A sink that is an epoch ahead waits for it.
//!
//! `at_least_once`: records are written as they come, by an idempotent producer of the sink's own. An
//! epoch is prepared when the broker has confirmed each of its records; after a failure the records
//! since the committed epoch are written again.
//!
//! A record's value is its bytes without a line end. Headers say what it came from and what made it:
//! `millstream-epoch`, `millstream-position` (`source/partition@place`), `millstream-generations` and
//! `millstream-models`.

#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::config::{Config, Delivery, Kafka};
use super::provenance::{Produced, Provenance};
use super::{Error, Prepared, Sink, SinkRows};
use crate::dataflow::Records;
use crate::kafka::{self, Producer, Record, Transactor};
use crate::record::SinkState;

/// What sinks that write to Kafka share.
#[derive(Clone, Debug, Default)]
pub struct KafkaParts {
    /// The transactional producer; there when a sink is exactly-once.
    pub transactor: Option<Arc<Transactor>>,
    /// What produced each epoch.
    pub provenance: Arc<Provenance>,
    /// Ends the waiting of at-least-once sinks.
    pub closed: Arc<AtomicBool>,
}

/// A sink that writes to a topic.
pub(super) struct KafkaSink {
    name: String,
    topic: Arc<str>,
    has_key: bool,
    headers: bool,
    writer: Writer,
    provenance: Arc<Provenance>,
    /// The newest epoch that was prepared.
    prepared: Option<u64>,
    /// The epoch that is written, once something was.
    epoch: Option<Epoch>,
    position: String,
}

struct Epoch {
    number: String,
    produced: Arc<Produced>,
}

#[derive(Clone)]
enum Writer {
    ExactlyOnce(Arc<Transactor>),
    AtLeastOnce(Arc<Producer>, Arc<AtomicBool>),
}

impl Writer {
    fn write(&self, record: &Record<'_>) -> Result<(), kafka::Error> {
        match self {
            Self::ExactlyOnce(transactor) => transactor.produce(record),
            Self::AtLeastOnce(producer, closed) => producer.send(record, &|| closed.load(Ordering::SeqCst)),
        }
    }

    /// What makes sure, from another thread, that all written so far has arrived.
    fn settle(&self) -> impl FnOnce() -> Result<(), kafka::Error> + Send + 'static {
        let lot = match self {
            Self::ExactlyOnce(_) => 0,
            Self::AtLeastOnce(producer, _) => producer.end_lot(),
        };
        let writer = self.clone();
        move || match writer {
            // Until the transaction is committed, nothing of the next epoch is written.
            Self::ExactlyOnce(transactor) => transactor.flushed(),
            Self::AtLeastOnce(producer, closed) => producer.written(lot, &|| closed.load(Ordering::SeqCst)),
        }
    }

    fn flush(&self) -> Result<(), kafka::Error> {
        match self {
            Self::ExactlyOnce(transactor) => transactor.flushed(),
            Self::AtLeastOnce(producer, closed) => producer.flush(&|| closed.load(Ordering::SeqCst)),
        }
    }
}

/// A sink that is ready to write.
pub(super) fn open(config: &Config, settings: &Kafka, parts: &KafkaParts) -> Result<KafkaSink, Error> {
    let name = &config.name;
    let writer = match (settings.delivery, &parts.transactor) {
        (Delivery::ExactlyOnce, Some(transactor)) => Writer::ExactlyOnce(transactor.clone()),
        (Delivery::ExactlyOnce, None) => {
            let error =
                kafka::Error { kind: kafka::Kind::Stop, message: "it was given no transactional producer".into() };
            return Err(failure(name, error));
        }
        (Delivery::AtLeastOnce, _) => {
            let producer = Producer::start(&format!("sink `{name}`"), &settings.identity, &settings.client);
            Writer::AtLeastOnce(Arc::new(producer.map_err(|error| failure(name, error))?), parts.closed.clone())
        }
    };
    Ok(KafkaSink {
        name: name.clone(),
        topic: settings.topic.as_str().into(),
        has_key: settings.key.is_some(),
        headers: settings.headers,
        writer,
        provenance: parts.provenance.clone(),
        prepared: None,
        epoch: None,
        position: String::new(),
    })
}

impl KafkaSink {
    /// The epoch that is written now. Waits while another one has the transaction.
    fn enter(&self) -> Result<Epoch, kafka::Error> {
        let number = match &self.writer {
            Writer::ExactlyOnce(transactor) => transactor.enter(self.prepared)?,
            Writer::AtLeastOnce(..) => self.prepared.map_or(self.provenance.first(), |prepared| prepared + 1),
        };
        Ok(Epoch { number: number.to_string(), produced: self.provenance.of(number) })
    }

    fn write_records(&mut self, bytes: &[u8], records: &Records) -> Result<(), kafka::Error> {
        if self.epoch.is_none() {
            self.epoch = Some(self.enter()?);
        }
        let Some(epoch) = &self.epoch else { return Ok(()) };
        let (mut start, mut key_start) = (0, 0);
        for (index, &end) in records.ends.iter().enumerate() {
            let value = without_line_end(bytes.get(start..end as usize).unwrap_or_default());
            start = end as usize;
            let key_end = records.key_ends.get(index).map_or(key_start, |&end| end as usize);
            let key = records.keys.get(key_start..key_end).unwrap_or_default();
            key_start = key_end;
            let is_null = !self.has_key || records.null_keys.get(index).copied().unwrap_or(false);
            self.position.clear();
            let place = records.origins.get(index).copied().unwrap_or_default();
            // Writing to a String cannot fail.
            let _ = write!(self.position, "{}/{}@{place}", records.source, records.partition);
            let headers = [
                ("millstream-epoch", epoch.number.as_str()),
                ("millstream-position", self.position.as_str()),
                ("millstream-generations", epoch.produced.generations.as_str()),
                ("millstream-models", epoch.produced.models.as_str()),
            ];
            let headers = if self.headers { &headers[..] } else { &[] };
            let key = (!is_null).then_some(key);
            self.writer.write(&Record { topic: &self.topic, partition: None, key, value, headers })?;
        }
        Ok(())
    }
}

impl Sink for KafkaSink {
    fn write(&mut self, rows: &SinkRows) -> Result<(), Error> {
        let Some(records) = &rows.records else { return Ok(()) };
        self.write_records(&rows.bytes, records).map_err(|error| failure(&self.name, error))
    }

    /// librdkafka sends by itself.
    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn prepare(&mut self, epoch: u64) -> Result<Prepared, Error> {
        let wrote = self.epoch.take().is_some();
        self.prepared = Some(epoch);
        let (name, settle) = (self.name.clone(), self.writer.settle());
        let sync = move || settle().map_err(|error| failure(&name, error));
        let state = match &self.writer {
            Writer::ExactlyOnce(_) => SinkState::Kafka { topic: self.topic.to_string() },
            Writer::AtLeastOnce(..) => SinkState::Nothing,
        };
        Ok(Prepared { state, sync: wrote.then(|| Box::new(sync) as _) })
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        match &self.writer {
            // What was written belongs to an epoch, which is committed or not.
            Writer::ExactlyOnce(_) => Ok(()),
            Writer::AtLeastOnce(..) => self.writer.flush().map_err(|error| failure(&self.name, error)),
        }
    }
}

fn without_line_end(bytes: &[u8]) -> &[u8] {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn failure(sink: &str, error: kafka::Error) -> Error {
    let failure = Error::new(format!("sink `{sink}`"), error.message);
    match error.kind {
        kafka::Kind::Stop => failure,
        kafka::Kind::Fenced => failure.fenced(),
        kafka::Kind::Retry | kafka::Kind::Rewind => failure.rewind(),
    }
}
