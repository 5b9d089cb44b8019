//! A member of a consumer group that answers rebalances itself.
//!
//! librdkafka hands a rebalance to whoever polls, and goes on when the partitions were assigned or
//! released. Here that is an [`Event`] like a message: the source settles its epoch, then calls
//! [`Consumer::assign`] or [`Consumer::release`]. While the client is closed nobody is there to ask,
//! and the callback answers at once.
//!
//! A call that waits for a broker returns in bounded time; [`Kind::Retry`] says that it may be made
//! again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer as _, ConsumerContext, ConsumerGroupMetadata, RebalanceProtocol,
};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::error::{Error, Kind, of_code};
use super::log::Log;
use super::{GroupConfig, Lag, Partition};

/// Longest wait for an answer of a broker in one call.
const ANSWER: Duration = Duration::from_secs(5);

/// What a consumer has for its source.
#[derive(Debug)]
pub enum Event<'a> {
    /// A record.
    Message(Message<'a>),
    /// These partitions are the source's now, once it calls [`Consumer::assign`].
    Assigned(Vec<Partition>),
    /// These partitions are to be given up, by [`Consumer::release`].
    Revoked {
        /// Which.
        partitions: Vec<Partition>,
        /// Whether they belong to another process already: nothing may be committed for them.
        lost: bool,
    },
    /// A position lies outside its partition's log; [`Consumer::ends`] tell which.
    OutOfRange,
    /// Nothing at the moment.
    Nothing,
}

/// A record of a topic.
#[derive(Debug)]
pub struct Message<'a>(BorrowedMessage<'a>);

impl Message<'_> {
    /// Whether it belongs to this partition.
    pub fn is_of(&self, partition: &Partition) -> bool {
        self.0.partition() == partition.number && self.0.topic() == partition.topic
    }

    /// The partition it belongs to.
    pub fn partition(&self) -> Partition {
        Partition { topic: self.0.topic().to_owned(), number: self.0.partition() }
    }

    /// Its offset.
    pub fn offset(&self) -> u64 {
        u64::try_from(self.0.offset()).unwrap_or_default()
    }

    /// Its value; none for a tombstone.
    pub fn value(&self) -> Option<&[u8]> {
        self.0.payload()
    }
}

/// A member of a group.
pub struct Consumer {
    group: GroupConfig,
    inner: BaseConsumer<Context>,
}

impl Consumer {
    /// Joins the group, once it is polled.
    ///
    /// # Errors
    /// When librdkafka does not take the properties.
    pub fn start(group: &GroupConfig, lag: Arc<Lag>) -> Result<Arc<Self>, Error> {
        let context = Context::new(&format!("source `{}`", group.source), lag);
        let failed = |error| Error::of(format_args!("cannot join group `{}`", group.group), &error);
        let inner: BaseConsumer<Context> = group.client.consumer(group).create_with_context(context).map_err(failed)?;
        let topics: Vec<&str> = group.topics.iter().map(String::as_str).collect();
        inner.subscribe(&topics).map_err(failed)?;
        Ok(Arc::new(Self { group: group.clone(), inner }))
    }

    /// Checks that the topics are there.
    ///
    /// # Errors
    /// [`Kind::Retry`] when no broker answers.
    pub fn check_topics(&self) -> Result<(), Error> {
        for topic in &self.group.topics {
            let found = self
                .inner
                .fetch_metadata(Some(topic), ANSWER)
                .map_err(|error| self.failed("ask for topics", &error))?;
            let error = found.topics().iter().find(|t| t.name() == topic).and_then(|t| t.error());
            match error.map(Code::from) {
                None => {}
                Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
                    let message = format!("there is no topic `{topic}`{}; create it, or correct `topics`", self.at());
                    return Err(Error::new(Kind::Stop, message));
                }
                Some(code) => {
                    let doing = format!("cannot read topic `{topic}`{}", self.at());
                    return Err(Error::of(doing, &KafkaError::MetadataFetch(code)));
                }
            }
        }
        Ok(())
    }

    /// The next event, waiting at most `wait` for one.
    ///
    /// # Errors
    /// When the consumer cannot go on. A broker that is gone is no error: librdkafka connects again.
    pub fn poll(&self, wait: Duration) -> Result<Event<'_>, Error> {
        let polled = self.inner.poll(wait);
        if let Some(event) = self.inner.context().rebalance_event() {
            return Ok(event);
        }
        let error = match polled {
            None => return Ok(Event::Nothing),
            Some(Ok(message)) => return Ok(Event::Message(Message(message))),
            Some(Err(error)) => error,
        };
        if let KafkaError::MessageConsumptionFatal(Code::FencedInstanceId) = error {
            let message = format!(
                "another process has taken over as this member of group `{}`{}; give each process its own \
                 `[kafka] transactional_id`",
                self.group.group,
                self.at()
            );
            return Err(Error::new(Kind::Fenced, message));
        }
        match error {
            KafkaError::MessageConsumption(Code::AutoOffsetReset | Code::OffsetOutOfRange) => Ok(Event::OutOfRange),
            // Logged already. What passes by itself is no reason to end, and after the interval
            // between two polls was exceeded the partitions are lost, which is an event of its own.
            KafkaError::MessageConsumption(code) if of_code(code) == Kind::Retry || code == Code::PollExceeded => {
                Ok(Event::Nothing)
            }
            error => Err(self.failed(&format!("go on{}", self.inner.context().log.last()), &error)),
        }
    }

    /// Begins to read partitions, each at its offset. Answers [`Event::Assigned`].
    ///
    /// # Errors
    /// When librdkafka refuses them.
    pub fn assign(&self, positions: &[(Partition, u64)]) -> Result<(), Error> {
        let list = list(positions.iter().map(|(partition, next)| (partition, Some(*next))));
        let assigned = list.and_then(|list| match self.inner.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.inner.incremental_assign(&list),
            _ => self.inner.assign(&list),
        });
        self.inner.context().answered();
        assigned.map_err(|error| self.failed("begin to read its partitions", &error))
    }

    /// Gives partitions up. Answers [`Event::Revoked`].
    ///
    /// # Errors
    /// When librdkafka refuses them.
    pub fn release(&self, partitions: &[Partition]) -> Result<(), Error> {
        let list = list(partitions.iter().map(|partition| (partition, None)));
        let released = list.and_then(|list| match self.inner.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.inner.incremental_unassign(&list),
            _ => self.inner.unassign(),
        });
        self.inner.context().answered();
        released.map_err(|error| self.failed("give up its partitions", &error))
    }

    /// The group's committed offsets of partitions, in their order. Waits for open transactions that
    /// will change them.
    ///
    /// # Errors
    /// [`Kind::Retry`] when there is no answer yet.
    pub fn committed(&self, partitions: &[Partition]) -> Result<Vec<Option<u64>>, Error> {
        let failed = |error| self.failed("ask for the committed offsets", &error);
        let list = list(partitions.iter().map(|partition| (partition, None))).map_err(failed)?;
        let found = self.inner.committed_offsets(list, ANSWER).map_err(failed)?;
        let offset = |partition: &Partition| {
            let Some(element) = found.find_partition(&partition.topic, partition.number) else { return Ok(None) };
            element.error().map_err(failed)?;
            Ok(match element.offset() {
                Offset::Offset(offset) => u64::try_from(offset).ok(),
                _ => None,
            })
        };
        partitions.iter().map(offset).collect()
    }

    /// First offset of a partition and the one behind its last record, as far as it may be read.
    ///
    /// # Errors
    /// [`Kind::Retry`] when there is no answer.
    pub fn ends(&self, partition: &Partition) -> Result<(u64, u64), Error> {
        let found = self.inner.fetch_watermarks(&partition.topic, partition.number, ANSWER);
        let (low, high) = found.map_err(|error| self.failed(&format!("ask for the ends of {partition}"), &error))?;
        Ok((u64::try_from(low).unwrap_or_default(), u64::try_from(high).unwrap_or_default()))
    }

    /// Tells the group how far it is, for the eyes of operators. Nothing depends on it.
    pub(super) fn hint(&self, positions: &[(Partition, u64)]) {
        let list = list(positions.iter().map(|(partition, next)| (partition, Some(*next))));
        if let Err(error) = list.and_then(|list| self.inner.commit(&list, CommitMode::Async)) {
            self.inner.context().log.event(&error, &format!("offsets were not committed: {error}"));
        }
    }

    /// What a transaction needs to commit offsets in the name of the group.
    pub(super) fn metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.inner.group_metadata()
    }

    fn failed(&self, doing: &str, error: &KafkaError) -> Error {
        let last =
            if super::error::classify(error) == Kind::Retry { self.inner.context().log.last() } else { String::new() };
        Error::of(format_args!("group `{}`{} cannot {doing}{last}", self.group.group, self.at()), error)
    }

    /// Where that is, for messages.
    fn at(&self) -> String {
        format!(" at {}", self.group.client.brokers())
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let context = self.inner.context();
        context.closing.store(true, Ordering::SeqCst);
        // Without an answer closing would wait for ever.
        if let Some(rebalance) = context.take() {
            context.answer(&self.inner, &rebalance);
        }
    }
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer").field("group", &self.group).finish_non_exhaustive()
    }
}

/// A list of partitions for librdkafka.
pub(super) fn list<'a>(
    partitions: impl Iterator<Item = (&'a Partition, Option<u64>)>,
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (partition, next) in partitions {
        match next {
            None => {
                list.add_partition(&partition.topic, partition.number);
            }
            Some(next) => {
                let offset = i64::try_from(next).map_err(|_| KafkaError::SetPartitionOffset(Code::InvalidArgument))?;
                list.add_partition_offset(&partition.topic, partition.number, Offset::Offset(offset))?;
            }
        }
    }
    Ok(list)
}

/// What librdkafka calls back.
struct Context {
    log: Log,
    lag: Arc<Lag>,
    closing: AtomicBool,
    /// The rebalance that waits for its answer. There is at most one.
    rebalance: Mutex<Option<Rebalance>>,
}

#[derive(Clone)]
struct Rebalance {
    assign: bool,
    lost: bool,
    partitions: TopicPartitionList,
    /// Whether the source knows of it.
    told: bool,
}

impl Context {
    fn new(node: &str, lag: Arc<Lag>) -> Self {
        Self { log: Log::new(node), lag, closing: AtomicBool::new(false), rebalance: Mutex::default() }
    }

    /// The rebalance that the source does not know of yet.
    fn rebalance_event(&self) -> Option<Event<'static>> {
        let mut rebalance = self.rebalance.lock().unwrap_or_else(PoisonError::into_inner);
        let rebalance = rebalance.as_mut().filter(|rebalance| !rebalance.told)?;
        rebalance.told = true;
        let elements = rebalance.partitions.elements();
        let partition = |e: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| Partition {
            topic: e.topic().to_owned(),
            number: e.partition(),
        };
        let partitions = elements.iter().map(partition).collect();
        Some(if rebalance.assign {
            Event::Assigned(partitions)
        } else {
            Event::Revoked { partitions, lost: rebalance.lost }
        })
    }

    fn take(&self) -> Option<Rebalance> {
        self.rebalance.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn answered(&self) {
        self.take();
    }

    /// Answers a rebalance for a source that is gone: it takes nothing, and gives up everything.
    fn answer(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance) {
        let nothing = TopicPartitionList::new();
        let answered = match (consumer.rebalance_protocol(), rebalance.assign) {
            (RebalanceProtocol::Cooperative, true) => consumer.incremental_assign(&nothing),
            (RebalanceProtocol::Cooperative, false) => consumer.incremental_unassign(&rebalance.partitions),
            (_, true) => consumer.assign(&nothing),
            (_, false) => consumer.unassign(),
        };
        if let Err(error) = answered {
            self.log.event(&error, &format!("a rebalance could not be answered: {error}"));
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.log.line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.event(&error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.lag.statistics(statistics);
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let assign = error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let lost = !assign && consumer.assignment_lost();
        let rebalance = Rebalance { assign, lost, partitions: partitions.clone(), told: false };
        if self.closing.load(Ordering::SeqCst) {
            return self.answer(consumer, &rebalance);
        }
        *self.rebalance.lock().unwrap_or_else(PoisonError::into_inner) = Some(rebalance);
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            self.log.event(&error, &format!("offsets were not committed: {error}"));
        }
    }
}
