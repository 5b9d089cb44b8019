//! Who decides whether an epoch is committed: the log, or the transaction of the Kafka sinks.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Control, Failure, Transactor};
use crate::epoch::protocol::{Action, CommitPermit, Outcome, Pointer};
use crate::epoch::{Decider, Decision, EpochRecord, LogDecides};
use crate::kafka::{self, Consumers};
use crate::record::Position;

pub(super) enum Decides {
    Log,
    Kafka(KafkaDecides),
}

pub(super) struct KafkaDecides {
    pub config: kafka::Config,
    pub consumers: Arc<Consumers>,
    pub control: Arc<Control>,
    pub transactor: Option<Arc<Transactor>>,
    /// Positions of the epoch that is committed next, of partitions that this process reads.
    pub offsets: BTreeMap<String, Vec<Position>>,
}

impl Decides {
    /// What is committed for the groups with the next epoch.
    pub(super) fn offsets(&mut self, positions: &BTreeMap<String, Vec<Position>>) {
        if let Self::Kafka(kafka) = self {
            kafka.offsets = positions.clone();
        }
    }

    /// The producer of the transactions, once it was asked for the pointer.
    pub(super) fn transactor(&self) -> Option<Arc<Transactor>> {
        match self {
            Self::Log => None,
            Self::Kafka(kafka) => kafka.transactor.clone(),
        }
    }
}

impl Decision for Decides {
    fn decider(&self) -> Decider {
        match self {
            Self::Log => LogDecides.decider(),
            Self::Kafka(kafka) => kafka.decider(),
        }
    }

    fn pointer(&mut self) -> Result<Pointer, Action> {
        match self {
            Self::Log => LogDecides.pointer(),
            Self::Kafka(kafka) => kafka.pointer(),
        }
    }

    fn delivered(&mut self, epoch: u64) -> Result<(), String> {
        match self {
            Self::Log => LogDecides.delivered(epoch),
            Self::Kafka(kafka) => kafka.delivered(epoch),
        }
    }

    fn commit(&mut self, permit: &CommitPermit, record: &EpochRecord) -> Outcome {
        match self {
            Self::Log => LogDecides.commit(permit, record),
            Self::Kafka(kafka) => kafka.commit(permit, record),
        }
    }
}

impl Decision for KafkaDecides {
    fn decider(&self) -> Decider {
        let kafka::Config { transactional_id, pointer_topic, .. } = &self.config;
        Decider::Kafka { transactional_id: transactional_id.clone(), topic: pointer_topic.clone() }
    }

    fn pointer(&mut self) -> Result<Pointer, Action> {
        let stopped = || self.control.drained();
        let (transactor, pointer) = Transactor::start(&self.config, &stopped).map_err(|e| action(&e))?;
        self.transactor = Some(transactor);
        let decider = self.decider();
        Ok(match pointer {
            kafka::Pointer::Absent => Pointer::Absent { decider },
            kafka::Pointer::Found { epoch, run, checksum } => Pointer::Found { decider, epoch, run, checksum },
        })
    }

    fn delivered(&mut self, _: u64) -> Result<(), String> {
        self.transactor.as_ref().map_or(Ok(()), |t| t.flushed().map_err(|e| e.message))
    }

    fn commit(&mut self, permit: &CommitPermit, _: &EpochRecord) -> Outcome {
        let Some(transactor) = &self.transactor else { return Outcome::Aborted("it has no producer".into()) };
        let outcome =
            transactor.commit(permit.epoch(), permit.run(), permit.checksum(), &self.offsets, &self.consumers);
        match outcome {
            kafka::Outcome::Committed => Outcome::Committed,
            kafka::Outcome::Aborted(reason) => Outcome::Aborted(reason),
            kafka::Outcome::Uncertain(reason) => Outcome::Uncertain(reason),
            kafka::Outcome::Fenced(reason) => Outcome::Fenced(reason),
        }
    }
}

fn action(error: &kafka::Error) -> Action {
    match error.kind {
        kafka::Kind::Retry | kafka::Kind::Rewind => Action::Rewind(error.message.clone()),
        kafka::Kind::Stop => Action::Stop(error.message.clone()),
        kafka::Kind::Fenced => Action::Exit(error.message.clone()),
    }
}

pub(super) fn failure(node: &str, error: &kafka::Error) -> Failure {
    super::action_failure(node, action(error))
}
