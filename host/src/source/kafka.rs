//! Topics of Kafka, read as a member of a consumer group.
//!
//! One thread polls and sorts what comes by partition. A round takes what is there without waiting,
//! at most the limits of a batch, and hands over one block a partition.
//!
//! **Where a partition begins**: at the committed epoch's position; else at the group's committed
//! offset; else, when the topic was read before and the partition is new, at its beginning; else as
//! `auto_offset_reset` says. librdkafka itself never chooses: a position that the log no longer has
//! stops the pipeline, unless `missing_records = "skip"`.
//!
//! **Rebalances** are settled: partitions are given up when everything read of them is committed.
//! Partitions that were lost (the group believed this process dead) may be another's already, so the
//! pipeline rewinds.
//!
//! Timestamps, keys and headers of messages are not columns. While the pipeline is full nobody
//! polls; the group allows for `max.poll.interval.ms` of that, ten minutes unless set.

mod block;
mod start;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use block::Builder;

use super::config::{Kafka, Missing, Tombstones};
use super::{Chunk, Config, Error, Output, Source};
use crate::codec::Limits;
use crate::dataflow::Next;
use crate::kafka::{self, Consumer, Consumers, Event, GroupConfig, Lag, Message, Partition, Progress};
use crate::record::Position;

/// How long a poll waits while nothing comes: as long, a stop may go unnoticed.
const POLL: Duration = Duration::from_millis(50);
/// Pause before a broker that does not answer is asked again.
const PAUSE: Duration = Duration::from_millis(250);
/// How often that is told.
const PATIENCE: Duration = Duration::from_secs(10);

/// A source that is about to join its group.
pub(super) struct KafkaSource {
    name: String,
    settings: Kafka,
    limits: Limits,
    consumers: Arc<Consumers>,
}

/// The source of a pipeline. Nothing is connected yet.
pub(super) fn open(config: &Config, settings: &Kafka, limits: Limits, consumers: &Arc<Consumers>) -> KafkaSource {
    KafkaSource { name: config.name.clone(), settings: settings.clone(), limits, consumers: consumers.clone() }
}

/// Why reading ended.
enum End {
    /// The pipeline wants no more rows.
    Stopped,
    Failed(kafka::Error),
}

impl From<kafka::Error> for End {
    fn from(error: kafka::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<super::Stopped> for End {
    fn from(_: super::Stopped) -> Self {
        Self::Stopped
    }
}

impl Source for KafkaSource {
    fn run(self: Box<Self>, start: &[Position], output: &mut dyn Output) -> Result<(), Error> {
        let name = self.name.clone();
        match self.read(start, output) {
            Ok(()) | Err(End::Stopped) => Ok(()),
            Err(End::Failed(error)) => Err(failure(&name, error)),
        }
    }
}

impl KafkaSource {
    fn read(self, start: &[Position], output: &mut dyn Output) -> Result<(), End> {
        let Self { name, settings, limits, consumers } = self;
        let lag = consumers.lag(&name);
        let group = GroupConfig {
            source: name.clone(),
            group: settings.group.clone(),
            topics: settings.topics.clone(),
            identity: settings.identity.clone(),
            client: settings.client.clone(),
        };
        let consumer = Consumer::start(&group, lag.clone())?;
        consumers.add(&name, consumer.clone());
        again(output, || consumer.check_topics())?;
        let known = start.iter().filter_map(|position| Some((position.partition.parse().ok()?, position.clone())));
        let known: BTreeMap<Partition, Position> = known.collect();
        let read_before = known.keys().map(|partition| partition.topic.clone()).collect();
        let patience = settings.client.session_timeout() * 2 / 3;
        Reading {
            name,
            settings,
            limits,
            consumer: &consumer,
            lag,
            patience,
            known,
            trusts_epoch: consumers.trusts_epoch(),
            read_before,
            assigned: Vec::new(),
            last: 0,
            rows: 0,
            bytes: 0,
            skipped: 0,
        }
        .run(output)
    }
}

/// A partition that is read.
struct Assigned {
    partition: Partition,
    /// Its number in the pipeline.
    number: u32,
    /// The offset behind the last record that was taken.
    next: u64,
    block: Builder,
    /// When something came last, or when it was assigned.
    heard: Instant,
    idle: bool,
    progress: Arc<Progress>,
}

/// The loop of a source.
struct Reading<'a> {
    name: String,
    settings: Kafka,
    limits: Limits,
    consumer: &'a Consumer,
    lag: Arc<Lag>,
    /// How long an epoch may take before partitions are given up without it.
    patience: Duration,
    /// Positions of the committed epoch that were not used yet.
    known: BTreeMap<Partition, Position>,
    /// Whether they hold even where the group is ahead.
    trusts_epoch: bool,
    /// Topics of which a partition was read before.
    read_before: BTreeSet<String>,
    assigned: Vec<Assigned>,
    /// Index of the partition of the last message: messages come in runs.
    last: usize,
    /// Rows and bytes of the round.
    rows: usize,
    bytes: usize,
    /// Tombstones that were skipped in the round.
    skipped: u64,
}

impl Reading<'_> {
    fn run(mut self, output: &mut dyn Output) -> Result<(), End> {
        while !output.stopped() {
            let wait = if self.rows == 0 { POLL } else { Duration::ZERO };
            let consumer = self.consumer;
            let event = match consumer.poll(wait)? {
                Event::Message(message) => {
                    self.take(&message);
                    if self.rows < self.limits.rows && self.bytes < self.limits.bytes {
                        continue;
                    }
                    Event::Nothing
                }
                event => event,
            };
            self.flush(output)?;
            match event {
                Event::Assigned(partitions) => self.assign(partitions, output)?,
                Event::Revoked { partitions, lost } => self.revoke(&partitions, lost, output)?,
                Event::OutOfRange => self.out_of_range(output)?,
                Event::Message(_) | Event::Nothing => self.find_idle(output),
            }
        }
        Ok(())
    }

    /// Takes a message into the block of its partition.
    fn take(&mut self, message: &Message<'_>) {
        if !self.assigned.get(self.last).is_some_and(|a| message.is_of(&a.partition)) {
            // One that was given up a moment ago may still have had messages on the way.
            let Some(index) = self.assigned.iter().position(|a| message.is_of(&a.partition)) else { return };
            self.last = index;
        }
        let Some(assigned) = self.assigned.get_mut(self.last) else { return };
        let offset = message.offset();
        // librdkafka was known to hand out a message twice after a pause.
        if offset < assigned.next {
            return;
        }
        assigned.next = offset + 1;
        self.rows += 1;
        let value = match (message.value(), self.settings.tombstones) {
            (Some(value), _) => value,
            // No record of any schema: decoding rejects it.
            (None, Tombstones::DeadLetter) => b"null",
            (None, Tombstones::Skip) => {
                self.skipped += 1;
                return assigned.block.skip();
            }
        };
        self.bytes += value.len();
        assigned.block.push(offset, value, self.limits.record);
    }

    /// Hands over the blocks of the round.
    fn flush(&mut self, output: &mut dyn Output) -> Result<(), End> {
        if self.rows == 0 {
            return Ok(());
        }
        (self.rows, self.bytes) = (0, 0);
        self.lag.skip(std::mem::take(&mut self.skipped));
        for assigned in &mut self.assigned {
            let Some((block, since)) = assigned.block.take(assigned.next) else { continue };
            let next = Next { place: assigned.next, byte: 0, identity: 0 };
            output.send(assigned.number, Chunk::Raw(block), next, since)?;
            assigned.progress.advance(assigned.next);
            (assigned.heard, assigned.idle) = (since, false);
        }
        Ok(())
    }

    fn find_idle(&mut self, output: &mut dyn Output) {
        let Some(timeout) = self.settings.idle_timeout else { return };
        for assigned in self.assigned.iter_mut().filter(|a| !a.idle && a.heard.elapsed() >= timeout) {
            assigned.idle = true;
            output.idle(assigned.number);
        }
    }

    /// Begins to read partitions.
    fn assign(&mut self, partitions: Vec<Partition>, output: &mut dyn Output) -> Result<(), End> {
        let positions = self.positions(partitions, output)?;
        let offsets: Vec<(Partition, u64)> = positions.iter().map(|(p, position)| (p.clone(), position.next)).collect();
        for (partition, position) in positions {
            let next = position.next;
            tracing::info!(source = self.name, %partition, next, "reading a partition");
            self.read_before.insert(partition.topic.clone());
            let progress = self.lag.open(&partition, next);
            let number = output.open(position);
            let (heard, idle) = (Instant::now(), false);
            self.assigned.push(Assigned { partition, number, next, block: Builder::default(), heard, idle, progress });
        }
        Ok(self.consumer.assign(&offsets)?)
    }

    /// Gives partitions up, when all that was read of them is committed.
    fn revoke(&mut self, partitions: &[Partition], lost: bool, output: &mut dyn Output) -> Result<(), End> {
        let group = &self.settings.group;
        let shown = partitions.iter().map(Partition::to_string).collect::<Vec<_>>().join(", ");
        if lost {
            let message = format!(
                "group `{group}` took {shown} away as this process seemed dead: it did not poll for \
                 max.poll.interval.ms, or sent no sign of life for session.timeout.ms"
            );
            return Err(rewind(message).into());
        }
        tracing::info!(source = self.name, partitions = shown, "giving up partitions");
        if !output.settle(self.patience) {
            if output.stopped() {
                return Err(End::Stopped);
            }
            let message = format!(
                "group `{group}` wants {shown} back, and the epoch that holds their last rows was not committed within \
                 {:?} (two thirds of session.timeout.ms)",
                self.patience
            );
            return Err(rewind(message).into());
        }
        for partition in partitions {
            let Some(index) = self.assigned.iter().position(|a| a.partition == *partition) else { continue };
            let assigned = self.assigned.swap_remove(index);
            output.close(assigned.number);
            self.lag.close(partition);
        }
        Ok(self.consumer.release(partitions)?)
    }

    /// A position was refused by a broker: tells which, or goes on behind the gap when it may.
    fn out_of_range(&mut self, output: &mut dyn Output) -> Result<(), End> {
        let mut moved = false;
        for assigned in &mut self.assigned {
            let (partition, next) = (&assigned.partition, assigned.next);
            let (first, end) = again(output, || self.consumer.ends(partition))?;
            let table = format!("[source.{}]", self.name);
            if next > end {
                let message = format!(
                    "position {next} of {partition} lies behind the end of its log at {end}: the topic was deleted and \
                     created anew, or has lost records; to read the new log, give `{table}` another `group` and \
                     `[state]` another `path`, or restore a savepoint that fits"
                );
                return Err(stop(message).into());
            }
            if next >= first {
                continue;
            }
            let missing = first - next;
            if self.settings.missing_records == Missing::Stop {
                let message = format!(
                    "position {next} of {partition} lies before the start of its log at {first}: {missing} offsets were \
                     deleted before they were read; to go on without them, set `missing_records = \"skip\"` in `{table}`"
                );
                return Err(stop(message).into());
            }
            tracing::warn!(source = self.name, %partition, from = next, to = first, "records are missing and were skipped");
            let partition = partition.clone();
            self.consumer.release(std::slice::from_ref(&partition))?;
            self.consumer.assign(&[(partition, first)])?;
            assigned.next = first;
            // So that the epoch knows of it, too.
            assigned.block.skip();
            self.rows += 1;
            moved = true;
        }
        if moved {
            return Ok(());
        }
        Err(rewind("a broker refused a position that lies within its log".to_owned()).into())
    }
}

/// Asks until a broker answers.
fn again<T>(output: &dyn Output, mut ask: impl FnMut() -> Result<T, kafka::Error>) -> Result<T, End> {
    let mut told: Option<Instant> = None;
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(error) if error.kind != kafka::Kind::Retry => return Err(error.into()),
            Err(error) => {
                if told.is_none_or(|told| told.elapsed() >= PATIENCE) {
                    tracing::warn!(%error, "waiting for an answer");
                    told = Some(Instant::now());
                }
            }
        }
        if output.stopped() {
            return Err(End::Stopped);
        }
        std::thread::sleep(PAUSE);
    }
}

fn stop(message: String) -> kafka::Error {
    kafka::Error { kind: kafka::Kind::Stop, message }
}

fn rewind(message: String) -> kafka::Error {
    kafka::Error { kind: kafka::Kind::Rewind, message }
}

fn failure(source: &str, error: kafka::Error) -> Error {
    let failure = super::failure(source, error.message);
    match error.kind {
        kafka::Kind::Stop => failure,
        kafka::Kind::Fenced => failure.fenced(),
        kafka::Kind::Retry | kafka::Kind::Rewind => failure.rewind(),
    }
}
