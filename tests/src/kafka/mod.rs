//! A real Kafka broker for tests: one KRaft node on loopback with a data folder of its own, started,
//! killed and paused as a test likes. What is in it is read and written through Kafka's own client
//! ([`client`]), never through ours.
//!
//! `MILLSTREAM_TEST_KAFKA=host:port` names a broker that runs already: tests that only need topics use
//! it, those that stop the broker or put a proxy before it are skipped.

mod client;
mod log;
mod settings;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};

use crate::proxy::Proxy;
use crate::skip;
use client::{Client, client};
pub use log::{Input, Isolation, Offsets, Record};

/// How many proxies stand ready before a broker. Each needs a listener of its own, which a broker
/// gets when it starts.
const PROXIES: usize = 10;

/// How often a starting broker is asked, two seconds each: far more than it takes on a busy machine.
const START_TRIES: usize = 60;

/// A broker. One that this process started ends with it.
pub struct Broker {
    client: &'static Client,
    bootstrap: String,
    own: Option<Own>,
}

/// What belongs to a broker of our own.
struct Own {
    folder: tempfile::TempDir,
    process: Mutex<Child>,
    proxies: Mutex<Vec<Proxy>>,
}

/// The broker that all tests of this binary share, or `None` with a line that says why `test` is
/// skipped. Such a test leaves the broker running and uses topics of its own.
pub fn shared(test: &str) -> Option<&'static Broker> {
    static SHARED: OnceLock<Result<Broker, String>> = OnceLock::new();
    let start = || match std::env::var("MILLSTREAM_TEST_KAFKA") {
        Ok(address) => Broker::at(address),
        Err(_) => Broker::start(),
    };
    SHARED.get_or_init(start).as_ref().map_err(|reason| skip(test, reason)).ok()
}

/// A broker for this test alone, which may stop it; or `None` with a line that says why `test` is
/// skipped.
pub fn own(test: &str) -> Option<Broker> {
    if std::env::var_os("MILLSTREAM_TEST_KAFKA").is_some() {
        skip(test, "it stops the broker, and MILLSTREAM_TEST_KAFKA names one that is not ours");
        return None;
    }
    Broker::start().map_err(|reason| skip(test, &reason)).ok()
}

impl Broker {
    /// Starts a broker with an empty data folder.
    ///
    /// # Errors
    /// When Kafka or Java is missing. A broker that does not come up is a failure of the test.
    pub fn start() -> Result<Self, String> {
        let (client, jars) = (client()?, client::jars()?);
        let folder = tempfile::Builder::new().prefix("millstream-kafka-").tempdir().map_err(|e| e.to_string())?;
        let [bootstrap, controller] = [(); 2].map(|()| settings::free_port());
        let proxies: Vec<Proxy> = (0..PROXIES).map(|_| Proxy::before(settings::free_port())).collect();
        let text = settings::broker(folder.path(), bootstrap, controller, &proxies);
        let config = folder.path().join("server.properties");
        std::fs::write(&config, text).map_err(|e| e.to_string())?;
        client.ask(json!({ "do": "format", "config": config })).expect("a formatted data folder");
        let process = Mutex::new(spawn(folder.path(), &jars));
        let own = Own { folder, process, proxies: Mutex::new(proxies) };
        let broker = Self { client, bootstrap: format!("127.0.0.1:{bootstrap}"), own: Some(own) };
        broker.await_start();
        Ok(broker)
    }

    fn at(address: String) -> Result<Self, String> {
        let broker = Self { client: client()?, bootstrap: address, own: None };
        broker.await_start();
        Ok(broker)
    }

    fn await_start(&self) {
        if let Some(own) = &self.own {
            let pid = own.process.lock().unwrap().id();
            self.ask("guard", json!({ "pid": pid, "folder": own.folder.path() }));
        }
        for _ in 0..START_TRIES {
            if self.client.ask(json!({ "do": "ready", "bootstrap": self.bootstrap, "seconds": 2 })).is_ok() {
                return;
            }
            if let Some(own) = &self.own {
                let ended = own.process.lock().unwrap().try_wait();
                assert!(matches!(ended, Ok(None)), "the broker ended when it was started\n{}", self.log());
            }
        }
        panic!("the broker at {} does not answer\n{}", self.bootstrap, self.log());
    }

    /// `host:port`, for `bootstrap.servers`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// A proxy before this broker, for this test alone: clients that start at its address stay on it.
    /// `None` with a line that says why `test` is skipped.
    pub fn proxy(&self, test: &str) -> Option<Proxy> {
        let Some(own) = &self.own else {
            skip(test, "it needs a proxy, and the broker of MILLSTREAM_TEST_KAFKA knows none");
            return None;
        };
        Some(own.proxies.lock().unwrap().pop().unwrap_or_else(|| panic!("all {PROXIES} proxies are taken")))
    }

    /// The end of the broker's log.
    pub fn log(&self) -> String {
        let text = self.own.as_ref().map(|own| std::fs::read_to_string(own.folder.path().join("broker.log")));
        let text = text.and_then(Result::ok).unwrap_or_default();
        text.lines().rev().take(30).collect::<Vec<_>>().into_iter().rev().map(|l| format!("{l}\n")).collect()
    }

    // --- the process ---

    fn own(&self) -> &Own {
        self.own.as_ref().expect("a broker of our own; start it with `own`")
    }

    fn signal(&self, signal: &str) {
        let pid = self.own().process.lock().unwrap().id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.is_ok_and(|s| s.success()), "the broker was not sent SIG{signal}");
    }

    /// Kills the broker as a power cut does its process.
    pub fn kill9(&self) {
        let mut process = self.own().process.lock().unwrap();
        process.kill().expect("a killed broker");
        process.wait().expect("a dead broker");
    }

    /// Starts a killed broker again, at the same address with the same data.
    pub fn start_again(&self) {
        let own = self.own();
        *own.process.lock().unwrap() = spawn(own.folder.path(), &client::jars().expect("Kafka's jars"));
        self.await_start();
    }

    /// Kills the broker and starts it again.
    pub fn restart(&self) {
        self.kill9();
        self.start_again();
    }

    /// Stops the broker where it is (SIGSTOP): connections stay open and nothing answers.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets a paused broker go on.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    // --- topics ---

    /// A name that no other test of this broker uses.
    pub fn unique(&self, name: &str) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        format!("{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Creates a topic.
    pub fn create_topic(&self, topic: &str, partitions: u32, configs: &[(&str, &str)]) {
        let configs: BTreeMap<_, _> = configs.iter().copied().collect();
        self.ask("create_topic", json!({ "topic": topic, "partitions": partitions, "configs": configs }));
    }

    /// Raises the number of a topic's partitions.
    pub fn add_partitions(&self, topic: &str, total: u32) {
        self.ask("add_partitions", json!({ "topic": topic, "total": total }));
    }

    /// Deletes the records of a partition before an offset, as retention does.
    pub fn delete_records(&self, topic: &str, partition: u32, before: u64) {
        self.ask("delete_records", json!({ "topic": topic, "partition": partition, "before": before }));
    }

    // --- records ---

    /// Writes records and waits until the broker has them; their partitions and offsets.
    pub fn produce(&self, topic: &str, records: &[Input]) -> Vec<(u32, u64)> {
        let places = self.ask("produce", json!({ "topic": topic, "records": Input::json(records) }));
        serde_json::from_value(places).expect("places of records")
    }

    /// All records from the beginning to the end of the log as it is now, by partition and offset.
    pub fn consume(&self, topic: &str, isolation: Isolation) -> Vec<Record> {
        // Through a file: an answer of any size must not have to fit into the client's memory.
        let into = tempfile::NamedTempFile::new().expect("a temporary file");
        self.ask("consume", json!({ "topic": topic, "isolation": isolation.name(), "into": into.path() }));
        log::read(into.path())
    }

    /// Begins to count the records of a topic as they become visible.
    pub fn tail(&self, topic: &str, isolation: Isolation) -> Tail<'_> {
        let number = self.ask("tail", json!({ "topic": topic, "isolation": isolation.name() }));
        Tail { broker: self, number }
    }

    /// One transaction of a producer of its own, at this broker or through a proxy before it.
    ///
    /// # Errors
    /// Kafka's own, as `class: message`.
    pub fn transact(&self, transaction: &Transaction<'_>) -> Result<(), String> {
        let offsets: BTreeMap<_, _> = transaction.offsets.iter().copied().collect();
        let asked = self.client.ask(json!({
            "do": "transact",
            "bootstrap": transaction.bootstrap,
            "transactional_id": transaction.id,
            "topic": transaction.topic,
            "records": Input::json(transaction.records),
            "group": transaction.group,
            "offsets": offsets,
            "commit": transaction.commit,
            "patience_ms": transaction.patience.as_millis() as u64,
        }));
        asked.map(drop)
    }

    // --- offsets ---

    /// Committed offsets of a group, by `topic/partition`.
    pub fn committed_offsets(&self, group: &str) -> BTreeMap<String, u64> {
        serde_json::from_value(self.ask("committed", json!({ "group": group }))).expect("offsets")
    }

    /// Where the partitions of a topic begin and end.
    pub fn offsets(&self, topic: &str) -> BTreeMap<u32, Offsets> {
        let found: BTreeMap<u32, [u64; 3]> =
            serde_json::from_value(self.ask("offsets", json!({ "topic": topic }))).expect("offsets");
        let named = |[start, last_stable, high_watermark]: [u64; 3]| Offsets { start, last_stable, high_watermark };
        found.into_iter().map(|(partition, offsets)| (partition, named(offsets))).collect()
    }

    /// How many records of a topic belong to aborted transactions: in the log before the last stable
    /// offset, and never seen by `read_committed`. Meaningful once no transaction is open.
    pub fn aborted_records(&self, topic: &str) -> u64 {
        let count = |isolation| self.consume(topic, isolation).len() as u64;
        count(Isolation::ReadUncommitted).saturating_sub(count(Isolation::ReadCommitted))
    }

    /// How many members a consumer group has.
    pub fn members(&self, group: &str) -> u64 {
        self.ask("members", json!({ "group": group })).as_u64().unwrap_or_default()
    }

    fn ask(&self, what: &str, mut request: Value) -> Value {
        request["do"] = json!(what);
        request["bootstrap"] = json!(self.bootstrap);
        self.client.ask(request).unwrap_or_else(|e| panic!("{what}: {e}\n{}", self.log()))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(own) = &self.own {
            let pid = own.process.lock().map_or(0, |p| p.id());
            let _ = self.client.ask(json!({ "do": "end", "pid": pid, "bootstrap": self.bootstrap }));
            let _ = own.process.lock().map(|mut p| p.wait());
        }
    }
}

/// A running count of a topic's visible records; see [`Broker::tail`].
pub struct Tail<'a> {
    broker: &'a Broker,
    number: Value,
}

impl Tail<'_> {
    /// How many records were visible so far.
    pub fn count(&self) -> u64 {
        self.broker.ask("tailed", json!({ "tail": self.number })).as_u64().unwrap_or_default()
    }
}

impl Drop for Tail<'_> {
    fn drop(&mut self) {
        let _ = self.broker.client.ask(json!({ "do": "untail", "tail": self.number }));
    }
}

/// A transaction of the independent client; see [`Broker::transact`].
#[derive(Clone, Debug)]
pub struct Transaction<'a> {
    /// Where the producer connects.
    pub bootstrap: &'a str,
    /// `transactional.id`.
    pub id: &'a str,
    /// The topic of the records.
    pub topic: &'a str,
    /// The records.
    pub records: &'a [Input],
    /// A group whose offsets are part of the transaction.
    pub group: Option<&'a str>,
    /// Its offsets, by `topic/partition`.
    pub offsets: &'a [(&'a str, u64)],
    /// Whether it ends in a commit.
    pub commit: bool,
    /// How long each step may take.
    pub patience: Duration,
}

fn spawn(folder: &Path, jars: &Path) -> Child {
    let log = File::options().append(true).create(true).open(folder.join("broker.log")).expect("the broker's log");
    let mut command = client::java("-Xmx384m");
    // Native parts of compression libraries are unpacked there: they must go with the folder.
    command.arg(format!("-Djava.io.tmpdir={}", folder.display()));
    command.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=info");
    command.arg("-cp").arg(jars.join("*")).arg("kafka.Kafka").arg(folder.join("server.properties"));
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("the broker's log")).stderr(log);
    command.spawn().expect("a started broker")
}
