//! The other end of `tests/kafka/Client.java`: one JVM for the whole test binary, which speaks to
//! brokers through Kafka's official client. Requests and answers are lines of JSON over its standard
//! input and output; several threads may wait for answers at a time.
//!
//! The JVM ends when its standard input does, however this process ends, and takes the brokers with it
//! that it was told to guard.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::{Value, json};

use crate::{PATIENCE, root};

/// What `tests/kafka/Client.java` can do, see there.
pub(super) struct Client {
    state: Mutex<State>,
    waiting: Arc<Mutex<HashMap<u64, Sender<Value>>>>,
}

struct State {
    input: ChildStdin,
    next: u64,
}

/// The client of this process, or why there is none.
pub(super) fn client() -> Result<&'static Client, String> {
    static CLIENT: OnceLock<Result<Client, String>> = OnceLock::new();
    CLIENT.get_or_init(Client::start).as_ref().map_err(Clone::clone)
}

/// The folder of Kafka's jars, which `scripts/setup-kafka.sh` fills.
pub(super) fn jars() -> Result<PathBuf, String> {
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home).map(|c| c.join("millstream"));
    let cache = std::env::var_os("MILLSTREAM_CACHE").map(PathBuf::from).or(cache).unwrap_or_default();
    let entries = std::fs::read_dir(&cache).into_iter().flatten().filter_map(|e| Some(e.ok()?.path()));
    let is_kafka = |p: &PathBuf| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("kafka-"));
    let found = entries.filter(|p| is_kafka(p) && p.join(".done").is_file()).max();
    found.map(|f| f.join("libs")).ok_or_else(|| format!("no Kafka in {}; run `make setup-tests`", cache.display()))
}

/// A JVM that starts fast and stays small.
pub(super) fn java(heap: &str) -> Command {
    let home = std::env::var_os("JAVA_HOME").map(|h| PathBuf::from(h).join("bin/java")).filter(|p| p.is_file());
    let mut command = Command::new(home.unwrap_or_else(|| "java".into()));
    command.args([heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]);
    command.arg("-Dorg.slf4j.simpleLogger.showDateTime=true");
    command
}

impl Client {
    fn start() -> Result<Self, String> {
        let jars = jars()?;
        let mut command = java("-Xmx256m");
        // A broker that a test stopped is no news.
        command.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=off").arg("-cp").arg(jars.join("*"));
        command.arg(root().join("tests/kafka/Client.java"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().map_err(|e| format!("java cannot be started: {e}; run `make setup-tests`"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("java has no pipes".into());
        };
        let waiting: Arc<Mutex<HashMap<u64, Sender<Value>>>> = Arc::default();
        let answers = Arc::clone(&waiting);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let answer: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"));
                let id = answer["id"].as_u64().unwrap_or_default();
                if let Some(sender) = answers.lock().unwrap().remove(&id) {
                    let _ = sender.send(answer);
                }
            }
            // Whoever waits is told: the senders are dropped.
            answers.lock().unwrap().clear();
            let _ = child.wait();
        });
        let client = Self { state: Mutex::new(State { input, next: 1 }), waiting };
        // A JRE without a compiler cannot run a source file, and says so on standard error.
        match client.ask(json!({ "do": "hello" })) {
            Ok(_) => Ok(client),
            Err(_) => {
                Err("java could not run tests/kafka/Client.java (a JDK from 17 on can); run `make setup-tests`".into())
            }
        }
    }

    /// Sends a request, an object with the key `do`, and waits for its answer.
    pub(super) fn ask(&self, mut request: Value) -> Result<Value, String> {
        let (sender, receiver) = mpsc::channel();
        {
            let mut state = self.state.lock().unwrap();
            request["id"] = json!(state.next);
            self.waiting.lock().unwrap().insert(state.next, sender);
            state.next += 1;
            let line = format!("{request}\n");
            state.input.write_all(line.as_bytes()).map_err(|e| format!("Kafka's client is gone: {e}"))?;
        }
        let mut answer = receiver.recv_timeout(PATIENCE).map_err(|e| format!("no answer to {request}: {e}"))?;
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["ok"].take()),
        }
    }
}
