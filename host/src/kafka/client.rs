//! Settings of librdkafka by name, as `[source.NAME.client]` and `[sink.NAME.client]` give them.
//!
//! Every property may be set but those that the host owns: on them its guarantees rest. Queues are
//! bounded by default, as librdkafka's own defaults (1 GiB to send, 64 MiB received) are made for
//! a process that does nothing else. Values may be secrets, so nothing here shows one.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use super::config::GroupConfig;

/// Property that every client needs.
pub(super) const BOOTSTRAP: &str = "bootstrap.servers";
/// How long the broker keeps a transaction of a process that is gone: as long, readers of the topic
/// wait. A minute covers a slow commit and a restart of a broker.
pub(super) const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);
/// What librdkafka waits for a heartbeat by default.
const SESSION_TIMEOUT: Duration = Duration::from_secs(45);
/// Largest message that librdkafka sends by default.
const MESSAGE_BYTES: usize = 1_000_000;
/// Room for a message's key and frame, at most in practice.
const MESSAGE_OVERHEAD: usize = 4096;

/// Defaults of every client: after a broker came back it is found soon, and a half-open connection
/// is noticed.
const COMMON: &[(&str, &str)] = &[
    ("reconnect.backoff.max.ms", "1000"),
    ("socket.keepalive.enable", "true"),
    // New partitions are read without a restart.
    ("topic.metadata.refresh.interval.ms", "10000"),
];
const CONSUMER: &[(&str, &str)] = &[
    ("isolation.level", "read_committed"),
    ("queued.max.messages.kbytes", "16384"),
    ("fetch.max.bytes", "8388608"),
    // The queue is refilled soon after it was full, not a second later.
    ("fetch.queue.backoff.ms", "10"),
    // While the pipeline is full the source does not poll, and must not be thrown out for it.
    ("max.poll.interval.ms", "600000"),
    // Where the lag is read.
    ("statistics.interval.ms", "1000"),
];
const PRODUCER: &[(&str, &str)] = &[("queue.buffering.max.kbytes", "32768")];

/// Properties by name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(BTreeMap<String, String>);

/// What is wrong with a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The host sets it; why, and what to use instead.
    Owned(&'static str),
    /// librdkafka has no such property.
    Unknown,
    /// librdkafka does not take the value. What it says may show the value.
    Value(String),
}

impl Properties {
    /// Sets a property.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), Problem> {
        if let Some(reason) = owned(name) {
            return Err(Problem::Owned(reason));
        }
        match ClientConfig::new().set(name, value).create_native_config() {
            Ok(_) => {}
            Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => return Err(Problem::Unknown),
            Err(KafkaError::ClientConfig(_, reason, ..)) => return Err(Problem::Value(reason)),
            Err(_) => return Err(Problem::Value("a value cannot hold a zero byte".into())),
        }
        self.0.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// The value of a property that was set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Name of the first property that the two have differently.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let names = self.0.keys().chain(other.0.keys());
        names.filter(|name| self.get(name) != other.get(name)).min().cloned()
    }

    /// The brokers, as they are written.
    pub fn brokers(&self) -> &str {
        self.get(BOOTSTRAP).unwrap_or_default()
    }

    /// How long the broker keeps a transaction open.
    pub fn transaction_timeout(&self) -> Duration {
        self.milliseconds(&["transaction.timeout.ms"], TRANSACTION_TIMEOUT)
    }

    /// How long the broker waits for a sign of life of a member of a group.
    pub fn session_timeout(&self) -> Duration {
        self.milliseconds(&["session.timeout.ms"], SESSION_TIMEOUT)
    }

    /// Bytes that the value of a record may have, so that it can be sent.
    pub fn max_record_bytes(&self) -> usize {
        let limit: usize = self.get("message.max.bytes").and_then(|value| value.parse().ok()).unwrap_or(MESSAGE_BYTES);
        limit - MESSAGE_OVERHEAD.min(limit / 4)
    }

    fn milliseconds(&self, names: &[&str], default: Duration) -> Duration {
        let set = names.iter().find_map(|name| self.get(name)?.parse().ok());
        set.map_or(default, Duration::from_millis)
    }

    /// A member of a group.
    pub(super) fn consumer(&self, group: &GroupConfig) -> ClientConfig {
        let mut config = self.with_defaults(&[COMMON, CONSUMER]);
        config.set("client.id", self.client_id(&group.identity, &group.source));
        if self.get("group.instance.id").is_none() {
            // A restarted process takes the place of the one that died at once, instead of waiting
            // until its session has timed out.
            config.set("group.instance.id", format!("{}-{}", group.identity, group.source));
        }
        config.set("group.id", &group.group);
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        config.set("auto.offset.reset", "error");
        config.set("group.protocol", "classic");
        config.set("partition.assignment.strategy", "cooperative-sticky");
        config
    }

    /// A consumer that reads one partition from its beginning and belongs to no group: the group's
    /// name is only there because librdkafka wants one.
    pub(super) fn reader(&self, identity: &str) -> ClientConfig {
        let mut config = self.connection();
        config.set("group.id", format!("{identity}-epochs"));
        config.set("enable.auto.commit", "false");
        config.set("auto.offset.reset", "error");
        config.set("isolation.level", "read_committed");
        config.set("queued.max.messages.kbytes", "4096");
        // What is waited for may be committed while the broker waits for more.
        config.set("fetch.wait.max.ms", "50");
        config.set("client.id", self.client_id(identity, "epochs"));
        config
    }

    /// An idempotent producer; with a transactional id, one that writes transactions.
    pub(super) fn producer(&self, identity: &str, node: &str, transactional: bool) -> ClientConfig {
        let mut config = self.with_defaults(&[COMMON, PRODUCER]);
        config.set("client.id", self.client_id(identity, node));
        config.set("enable.idempotence", "true");
        config.set("delivery.report.only.error", "false");
        if transactional {
            config.set("transactional.id", identity);
            config.set("transaction.timeout.ms", self.transaction_timeout().as_millis().to_string());
        }
        config
    }

    /// What is needed to connect, for clients that neither read nor write rows.
    pub(super) fn connection(&self) -> ClientConfig {
        const PREFIXES: [&str; 10] = [
            BOOTSTRAP,
            "security.",
            "ssl.",
            "sasl.",
            "enable.ssl.",
            "enable.sasl.",
            "socket.",
            "broker.",
            "api.",
            "https.",
        ];
        let needed = |name: &str| PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        let of_connection = self.0.iter().filter(|(name, _)| needed(name));
        let properties = Self(of_connection.map(|(name, value)| (name.clone(), value.clone())).collect());
        properties.with_defaults(&[COMMON])
    }

    fn with_defaults(&self, defaults: &[&[(&str, &str)]]) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in defaults.iter().copied().flatten() {
            config.set(*name, *value);
        }
        config.extend(self.0.clone());
        config.set_log_level(RDKafkaLogLevel::Info);
        config
    }

    /// Unique among the clients of a cluster: members of a group with equal names confuse the
    /// assignment of partitions.
    fn client_id(&self, identity: &str, node: &str) -> String {
        format!("{}-{node}", self.get("client.id").unwrap_or(identity))
    }
}

impl Debug for Properties {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Why the host sets a property itself, and what a pipeline has instead.
fn owned(name: &str) -> Option<&'static str> {
    Some(match name {
        "group.id" => "set `group` of the source",
        "auto.offset.reset" => "set `auto_offset_reset` of the source",
        "transactional.id" => "set `transactional_id` in `[kafka]`",
        "enable.auto.commit" | "auto.commit.enable" | "auto.commit.interval.ms" | "enable.auto.offset.store" => {
            "positions are committed with the epoch"
        }
        "enable.idempotence" | "acks" | "request.required.acks" | "enable.gapless.guarantee" => {
            "records are always written idempotently, to all replicas in sync"
        }
        "group.protocol" | "group.remote.assignor" | "partition.assignment.strategy" => {
            "the host answers rebalances itself, by the classic protocol"
        }
        "enable.partition.eof" => "a topic has no end",
        "delivery.report.only.error" => "every delivery report is checked",
        "metadata.broker.list" => "set `bootstrap.servers`",
        "plugin.library.paths" => "no code is loaded into the host this way",
        "log.queue" | "log_level" => "use `--log` of the host, or `debug` of the client",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(set: &[(&str, &str)]) -> Properties {
        let mut properties = Properties::default();
        for (name, value) in set {
            properties.set(name, value).unwrap();
        }
        properties
    }

    #[test]
    fn a_property_that_the_host_owns_is_refused_with_the_reason() {
        let mut properties = Properties::default();
        let refused = properties.set("group.id", "x");
        assert_eq!(refused, Err(Problem::Owned("set `group` of the source")));
        assert_eq!(properties.get("group.id"), None);
    }

    #[test]
    fn librdkafka_knows_its_properties_and_their_values() {
        let mut properties = Properties::default();
        assert_eq!(properties.set("linger.msec", "5"), Err(Problem::Unknown));
        assert!(matches!(properties.set("linger.ms", "soon"), Err(Problem::Value(_))));
        assert!(matches!(properties.set("linger.ms", "\0"), Err(Problem::Value(_))));
        assert_eq!(properties.set("linger.ms", "5"), Ok(()));
    }

    #[test]
    fn no_value_is_shown() {
        let properties = properties(&[("sasl.password", "hunter2"), (BOOTSTRAP, "kafka:9092")]);
        assert_eq!(format!("{properties:?}"), r#"{"bootstrap.servers", "sasl.password"}"#);
    }

    #[test]
    fn what_a_pipeline_sets_goes_before_defaults_but_not_before_what_the_host_owns() {
        let set = properties(&[("queued.max.messages.kbytes", "99"), ("isolation.level", "read_uncommitted")]);
        let group = GroupConfig {
            source: "payments".into(),
            group: "scoring".into(),
            topics: vec![],
            identity: "fraud".into(),
            client: set.clone(),
        };
        let config = set.consumer(&group);
        assert_eq!(config.get("queued.max.messages.kbytes"), Some("99"));
        assert_eq!(config.get("isolation.level"), Some("read_uncommitted"));
        assert_eq!(config.get("fetch.queue.backoff.ms"), Some("10"));
        assert_eq!(config.get("auto.offset.reset"), Some("error"));
        assert_eq!(config.get("group.instance.id"), Some("fraud-payments"));
        assert_eq!(config.get("client.id"), Some("fraud-payments"));
    }

    #[test]
    fn the_reader_of_pointers_gets_the_connection_and_nothing_of_the_producer() {
        let set = properties(&[(BOOTSTRAP, "a:1"), ("sasl.password", "x"), ("compression.type", "zstd")]);
        let config = set.reader("fraud");
        assert_eq!((config.get(BOOTSTRAP), config.get("sasl.password")), (Some("a:1"), Some("x")));
        assert_eq!(config.get("compression.type"), None);
        assert_eq!(config.get("isolation.level"), Some("read_committed"));
    }

    #[test]
    fn a_transaction_times_out_as_set() {
        assert_eq!(properties(&[]).transaction_timeout(), Duration::from_secs(60));
        let set = properties(&[("transaction.timeout.ms", "90000"), ("message.max.bytes", "2000")]);
        assert_eq!(set.transaction_timeout(), Duration::from_secs(90));
        assert_eq!(set.max_record_bytes(), 1500);
        assert_eq!(properties(&[]).max_record_bytes(), MESSAGE_BYTES - MESSAGE_OVERHEAD);
        assert_eq!(set.producer("fraud", "sinks", true).get("transaction.timeout.ms"), Some("90000"));
        assert_eq!(set.producer("fraud", "out", false).get("transactional.id"), None);
    }

    #[test]
    fn the_first_difference_of_two_clients_is_named() {
        let one = properties(&[(BOOTSTRAP, "a:1"), ("linger.ms", "5")]);
        let two = properties(&[(BOOTSTRAP, "a:1"), ("compression.type", "lz4"), ("linger.ms", "5")]);
        assert_eq!(one.difference(&two), Some("compression.type".into()));
        assert_eq!(one.difference(&one.clone()), None);
    }
}
