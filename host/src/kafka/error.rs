//! What an error of Kafka means to a pipeline. librdkafka repairs by itself what can be repaired
//! (lost connections, moved leaders); what it hands out is classified here, in one place.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Try again: nothing is lost, something is not there for the moment.
    Retry,
    /// Go back to the committed epoch, with new clients.
    Rewind,
    /// Stop: a person has to change something first.
    Stop,
    /// Another process with the same identity has taken over.
    Fenced,
}

/// An error of a Kafka client, in words that name what it was about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What to do about it.
    pub kind: Kind,
    /// What happened, to which topic or broker, and what to do.
    pub message: String,
}

impl Error {
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// `doing` says what was tried, as in "cannot join group `scoring`".
    pub(super) fn of(doing: impl std::fmt::Display, error: &KafkaError) -> Self {
        let kind = classify(error);
        let help = advice(code(error)).map(|help| format!("; {help}")).unwrap_or_default();
        Self { kind, message: format!("{doing}: {}{help}", describe(error)) }
    }
}

/// What to do about an error of librdkafka.
pub(super) fn classify(error: &KafkaError) -> Kind {
    match error {
        // Wrong properties and the like: no code, and no cure but another configuration.
        KafkaError::ClientConfig(..)
        | KafkaError::ClientCreation(_)
        | KafkaError::AdminOpCreation(_)
        | KafkaError::Nul(_) => Kind::Stop,
        KafkaError::Transaction(error) => {
            let kind = of_code(error.code());
            match kind {
                Kind::Fenced | Kind::Stop => kind,
                _ if error.is_retriable() => Kind::Retry,
                _ => Kind::Rewind,
            }
        }
        KafkaError::Canceled => Kind::Rewind,
        _ => of_code(code(error)),
    }
}

/// The code behind an error. `AdminOp` has one that the crate does not hand out by itself.
pub(super) fn code(error: &KafkaError) -> Code {
    match error {
        KafkaError::AdminOp(code) => *code,
        _ => error.rdkafka_error_code().unwrap_or(Code::Fail),
    }
}

pub(super) fn of_code(code: Code) -> Kind {
    match code {
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::OperationTimedOut
        | Code::TimedOutQueue
        | Code::WaitingForCoordinator
        | Code::WaitCache
        | Code::InProgress
        | Code::PreviousInProgress
        | Code::QueueFull
        | Code::Retry
        | Code::DestroyBroker
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::RequestTimedOut
        | Code::BrokerNotAvailable
        | Code::ReplicaNotAvailable
        | Code::NetworkException
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::RebalanceInProgress
        | Code::NotController
        | Code::ConcurrentTransactions
        | Code::KafkaStorageError
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::OffsetNotAvailable
        | Code::PreferredLeaderNotAvailable
        | Code::UnstableOffsetCommit
        | Code::ThrottlingQuotaExceeded => Kind::Retry,
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch | Code::FencedInstanceId => Kind::Fenced,
        Code::UnknownTopic
        | Code::UnknownTopicOrPartition
        | Code::UnknownPartition
        | Code::AutoOffsetReset
        | Code::OffsetOutOfRange
        | Code::InvalidArgument
        | Code::NotImplemented
        | Code::UnsupportedFeature
        | Code::SSL
        | Code::Authentication
        | Code::InvalidMessageSize
        | Code::MessageSizeTooLarge
        | Code::MessageBatchTooLarge
        | Code::OffsetMetadataTooLarge
        | Code::InvalidTopic
        | Code::InconsistentGroupProtocol
        | Code::InvalidGroupId
        | Code::InvalidSessionTimeout
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::UnsupportedSASLMechanism
        | Code::SaslAuthenticationFailed
        | Code::SecurityDisabled
        | Code::UnsupportedVersion
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::InvalidConfig
        | Code::PolicyViolation
        | Code::InvalidTransactionTimeout
        | Code::InvalidRecord
        | Code::GroupMaxSizeReached
        | Code::UnsupportedCompressionType => Kind::Stop,
        _ => Kind::Rewind,
    }
}

/// What the error says, without values of properties: they may be secrets.
pub(super) fn describe(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, _, key, _) => format!("librdkafka does not take the value of property `{key}`"),
        KafkaError::Transaction(error) => error.string(),
        KafkaError::AdminOp(code) => code.to_string(),
        _ => match error.rdkafka_error_code() {
            Some(code) => code.to_string(),
            None => error.to_string(),
        },
    }
}

/// What a person can do, where that is known.
fn advice(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            "create the topic, or check its name and the permission to see it"
        }
        Code::TopicAuthorizationFailed => "grant this principal the topic (READ for sources, WRITE for sinks)",
        Code::GroupAuthorizationFailed => "grant this principal READ on the consumer group",
        Code::TransactionalIdAuthorizationFailed => {
            "grant this principal WRITE and DESCRIBE on the transactional id, or set `[kafka] transactional_id`"
        }
        Code::ClusterAuthorizationFailed => "grant this principal IDEMPOTENT_WRITE on the cluster",
        Code::SaslAuthenticationFailed | Code::Authentication => "check the `sasl.*` properties of the client",
        Code::SSL => "check the `ssl.*` properties of the client and `security.protocol`",
        Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge => {
            "raise `max.message.bytes` of the topic, or lower `message.max.bytes` of the client: a record over that \
             becomes a dead letter"
        }
        Code::InvalidTransactionTimeout => {
            "lower `transaction.timeout.ms`, or raise the broker's `transaction.max.timeout.ms`"
        }
        Code::UnsupportedVersion | Code::UnsupportedFeature => "transactions need Apache Kafka 2.5 or newer",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_without_a_code_needs_another_configuration() {
        assert_eq!(classify(&KafkaError::ClientCreation("no".into())), Kind::Stop);
    }

    #[test]
    fn what_passes_by_itself_is_tried_again_and_what_does_not_stops() {
        for code in [Code::BrokerTransportFailure, Code::AllBrokersDown, Code::CoordinatorLoadInProgress] {
            assert_eq!(of_code(code), Kind::Retry, "{code:?}");
        }
        for code in [Code::UnknownTopicOrPartition, Code::SaslAuthenticationFailed, Code::MessageSizeTooLarge] {
            assert_eq!(of_code(code), Kind::Stop, "{code:?}");
        }
        for code in [Code::IllegalGeneration, Code::UnknownMemberId, Code::OutOfOrderSequenceNumber, Code::Fatal] {
            assert_eq!(of_code(code), Kind::Rewind, "{code:?}");
        }
        assert_eq!(of_code(Code::FencedInstanceId), Kind::Fenced);
    }

    #[test]
    fn a_refused_value_is_never_shown() {
        let refused = rdkafka::ClientConfig::new().set("sasl.mechanisms", "hunter2\0").create_native_config();
        let refused = refused
            .err()
            .or_else(|| rdkafka::ClientConfig::new().set("security.protocol", "hunter2").create_native_config().err());
        let shown = Error::of("cannot create a client", &refused.unwrap()).to_string();
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
