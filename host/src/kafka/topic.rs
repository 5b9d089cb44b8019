//! The topic of pointers: created when it is missing, and checked when it is there. One that is not
//! compacted would forget which epoch was committed.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::Config;
use super::error::{Error, Kind};

/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(5);
/// The same for an answer that is good to have.
const GLANCE: Duration = Duration::from_secs(2);

/// Small segments, compacted soon: the topic is read as a whole at each start, and grows by one
/// record an epoch.
const SETTINGS: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("segment.bytes", "1048576"),
    ("segment.ms", "600000"),
    ("min.cleanable.dirty.ratio", "0.1"),
];

/// Makes sure that the topic is there and fit.
pub(super) fn ensure(config: &Config) -> Result<(), Error> {
    let Some(client) = &config.producer else { return Ok(()) };
    let topic = config.pointer_topic.as_str();
    let at = client.brokers();
    let failed =
        |doing: &str, error: KafkaError| Error::of(format_args!("cannot {doing} topic `{topic}` at {at}"), &error);
    // A consumer, as asking for a topic as a producer may create it with the broker's defaults.
    let reader: BaseConsumer = client.reader(&config.transactional_id).create().map_err(|e| failed("look for", e))?;
    let metadata = reader.fetch_metadata(Some(topic), ANSWER).map_err(|error| failed("look for", error))?;
    let found = metadata.topics().iter().find(|t| t.name() == topic);
    match found.and_then(|t| t.error()).map(Code::from) {
        None => {}
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
            return create(config).map_err(|e| failed("create", e));
        }
        Some(code) => return Err(failed("look for", KafkaError::MetadataFetch(code))),
    }
    let partitions = found.map_or(0, |t| t.partitions().len());
    if partitions != 1 {
        let message = format!(
            "topic `{topic}` at {at} has {partitions} partitions, and the topic of epochs needs one; name another in \
             `[kafka] pointer_topic`"
        );
        return Err(Error::new(Kind::Stop, message));
    }
    match cleanup_policy(config) {
        Ok(Some(policy)) if !policy.split(',').any(|word| word.trim() == "compact") => {
            let message = format!(
                "topic `{topic}` at {at} has cleanup.policy={policy}: the broker would delete which epoch was committed; \
                 set cleanup.policy=compact on it, or name another in `[kafka] pointer_topic`"
            );
            Err(Error::new(Kind::Stop, message))
        }
        Ok(_) => Ok(()),
        // It takes a permission that nothing else here takes.
        Err(error) => {
            tracing::debug!(topic, %error, "it cannot be told whether the topic is compacted");
            Ok(())
        }
    }
}

fn create(config: &Config) -> Result<(), KafkaError> {
    // The broker's default of replicas.
    let mut topic = NewTopic::new(&config.pointer_topic, 1, TopicReplication::Fixed(-1));
    for (name, value) in SETTINGS {
        topic = topic.set(name, value);
    }
    let results = ask(config, ANSWER, |admin, options| admin.create_topics([&topic], options))?;
    match results.into_iter().next() {
        // Another process was faster.
        None | Some(Ok(_) | Err((_, Code::TopicAlreadyExists))) => {
            tracing::info!(topic = config.pointer_topic, "created the topic of epochs");
            Ok(())
        }
        Some(Err((_, code))) => Err(KafkaError::AdminOp(code)),
    }
}

fn cleanup_policy(config: &Config) -> Result<Option<String>, KafkaError> {
    let topic = ResourceSpecifier::Topic(&config.pointer_topic);
    let results = ask(config, GLANCE, |admin, options| admin.describe_configs([&topic], options))?;
    let resource = results.into_iter().next().transpose().map_err(KafkaError::AdminOp)?;
    Ok(resource.and_then(|resource| resource.get("cleanup.policy")?.value.clone()))
}

/// Asks as an administrator. The answer comes as a future, for which an executor of one call is
/// enough.
fn ask<T, F>(
    config: &Config,
    limit: Duration,
    call: impl FnOnce(&AdminClient<DefaultClientContext>, &AdminOptions) -> F,
) -> Result<T, KafkaError>
where
    F: Future<Output = Result<T, KafkaError>>,
{
    let Some(client) = &config.producer else { return Err(KafkaError::Canceled) };
    let admin: AdminClient<DefaultClientContext> = client.connection().create()?;
    let options = AdminOptions::new().request_timeout(Some(limit)).operation_timeout(Some(limit));
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| KafkaError::AdminOpCreation(error.to_string()))?;
    runtime.block_on(call(&admin, &options))
}
