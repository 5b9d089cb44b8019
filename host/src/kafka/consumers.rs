//! The members of groups that a pipeline's sources are. A source registers its consumer when it
//! starts; the commit of an epoch takes from here in whose name offsets are committed. The consumer
//! outlives its source's thread: the last epoch is committed after the source has ended.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::consumer::ConsumerGroupMetadata;

use super::error::{Error, Kind};
use super::{Consumer, Lag, Partition};
use crate::record::Position;

/// The consumers of a pipeline, by name of their source.
#[derive(Debug, Default)]
pub struct Consumers {
    members: Mutex<BTreeMap<String, Member>>,
    /// Whether positions of the epoch hold even where the group is ahead.
    trusts_epoch: AtomicBool,
}

#[derive(Debug, Default)]
struct Member {
    lag: Arc<Lag>,
    consumer: Option<Arc<Consumer>>,
}

/// Offsets to be committed for one group.
pub(super) struct GroupOffsets {
    pub source: String,
    pub metadata: ConsumerGroupMetadata,
    pub offsets: Vec<(Partition, u64)>,
}

impl Consumers {
    /// How far a source is behind. Asking for it makes the source one that reads Kafka.
    pub fn lag(&self, source: &str) -> Arc<Lag> {
        self.with(|members| members.entry(source.to_owned()).or_default().lag.clone())
    }

    /// Says whether positions of the epoch hold even where the group is ahead of them: after somebody
    /// went back to a savepoint. Otherwise a group that is ahead was served by another process.
    pub fn trust_epoch(&self, on: bool) {
        self.trusts_epoch.store(on, Ordering::Relaxed);
    }

    /// Whether they do.
    pub fn trusts_epoch(&self) -> bool {
        self.trusts_epoch.load(Ordering::Relaxed)
    }

    /// Registers the consumer of a source.
    pub fn add(&self, source: &str, consumer: Arc<Consumer>) {
        let before = self.with(|members| members.entry(source.to_owned()).or_default().consumer.replace(consumer));
        // The new one takes its place in the group, so nobody has to wait until it is gone.
        drop(before.map(|before| close(vec![before])));
    }

    /// Tells the groups how far they are, without waiting and only for the eyes of operators: for
    /// pipelines whose epochs are not committed by a Kafka transaction.
    pub fn hint(&self, positions: &BTreeMap<String, Vec<Position>>) {
        let members = self.with(|members| {
            let with_consumer = members.iter().filter_map(|(name, m)| Some((name.clone(), m.consumer.clone()?)));
            with_consumer.collect::<Vec<_>>()
        });
        for (source, consumer) in members {
            let offsets = positions.get(&source).map(|positions| offsets(positions)).unwrap_or_default();
            if !offsets.is_empty() {
                consumer.hint(&offsets);
            }
        }
    }

    /// What a transaction has to commit for each group.
    pub(super) fn offsets(&self, positions: &BTreeMap<String, Vec<Position>>) -> Result<Vec<GroupOffsets>, Error> {
        let mut groups = Vec::new();
        for (source, positions) in positions {
            let consumer = self.with(|members| members.get(source).map(|member| member.consumer.clone()));
            // A source that is none of Kafka has no group.
            let Some(consumer) = consumer else { continue };
            let offsets = offsets(positions);
            if offsets.is_empty() {
                continue;
            }
            let Some(metadata) = consumer.and_then(|consumer| consumer.metadata()) else {
                let message = format!("source `{source}` has left its group; its offsets cannot be committed");
                return Err(Error::new(Kind::Rewind, message));
            };
            groups.push(GroupOffsets { source: source.clone(), metadata, offsets });
        }
        Ok(groups)
    }

    /// Closes all consumers, waiting at most `patience`: librdkafka may hang when it closes one
    /// whose broker is gone. False when that was not long enough; they then end with the process.
    pub fn close(&self, patience: Duration) -> bool {
        let consumers: Vec<Arc<Consumer>> =
            self.with(|members| members.values_mut().filter_map(|member| member.consumer.take()).collect());
        close(consumers).recv_timeout(patience) != Err(RecvTimeoutError::Timeout)
    }

    fn with<T>(&self, f: impl FnOnce(&mut BTreeMap<String, Member>) -> T) -> T {
        f(&mut self.members.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Closes consumers on a thread of their own; the channel ends when they are closed.
fn close(consumers: Vec<Arc<Consumer>>) -> Receiver<()> {
    let (done, closed) = channel::<()>();
    let closing = std::thread::Builder::new().name("kafka-close".into()).spawn(move || {
        drop(consumers);
        drop(done);
    });
    if let Err(error) = closing {
        tracing::warn!(%error, "there was no thread to close consumers, so they were closed without a limit");
    }
    closed
}

/// The positions of partitions of topics.
fn offsets(positions: &[Position]) -> Vec<(Partition, u64)> {
    positions.iter().filter_map(|position| Some((position.partition.parse().ok()?, position.next))).collect()
}
