//! The pipeline of the crash loop: rows of users are counted per user, by a plugin whose state is the
//! count; what cannot be decoded is a dead letter. Source and sinks are files or topics.

use std::fmt::Write;

use crate::kafka::Broker;
use crate::{Job, fixture};

/// Where rows come from or go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// A file; as a source, followed.
    File,
    /// A topic; as a sink, exactly once.
    Kafka,
}

/// Names within a broker, none of them used by another pipeline.
#[derive(Clone, Debug)]
pub struct Names {
    /// The pipeline, and its consumer group.
    pub pipeline: String,
    /// Input topic.
    pub input: String,
    /// Output topic.
    pub output: String,
    /// Topic of dead letters.
    pub dead: String,
}

impl Names {
    /// Names of a broker and their topics; without a broker, just names.
    pub fn create(broker: Option<&Broker>) -> Self {
        let unique = |name: &str| broker.map_or_else(|| name.to_owned(), |b| b.unique(name));
        let names = Self { pipeline: unique("loop"), input: unique("in"), output: unique("out"), dead: unique("dead") };
        if let Some(broker) = broker {
            broker.create_topic(&names.input, 4, &[]);
            broker.create_topic(&names.output, 2, &[]);
            broker.create_topic(&names.dead, 1, &[]);
        }
        names
    }
}

/// The input file.
pub const INPUT: &str = "in.jsonl";
/// The output file.
pub const OUTPUT: &str = "out.jsonl";
/// The file of dead letters.
pub const DEAD: &str = "dead.jsonl";

/// What a test may have otherwise.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where clients connect, if not at the broker itself.
    pub bootstrap: Option<String>,
    /// Settings of the sinks' client, by name.
    pub sink_client: Vec<(&'static str, &'static str)>,
    /// `[state] path`.
    pub state: String,
    /// `[checkpoint] path`, if not the default.
    pub checkpoint: Option<String>,
    /// `[checkpoint] snapshot_interval`.
    pub snapshot_interval: &'static str,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bootstrap: None,
            sink_client: Vec::new(),
            state: "state".into(),
            checkpoint: None,
            snapshot_interval: "2s",
        }
    }
}

/// A job with the pipeline and its plugin.
pub fn job(source: Medium, sink: Medium, names: &Names, bootstrap: &str, options: &Options) -> Job {
    let job = Job::new(&text(source, sink, names, options.bootstrap.as_deref().unwrap_or(bootstrap), options));
    job.install(&fixture("counter-v1"), "counter.wasm");
    job.write(INPUT, "");
    job
}

fn text(source: Medium, sink: Medium, names: &Names, bootstrap: &str, options: &Options) -> String {
    let checkpoint = options.checkpoint.as_ref().map_or_else(String::new, |path| format!("path = \"{path}\""));
    format!(
        r#"
[pipeline]
name = "{pipeline}"
workers = 2
dead_letters = "dead"

[checkpoint]
interval = "100ms"
snapshot_interval = "{snapshot_interval}"
{checkpoint}

[state]
path = "{state}"

[plugins]
folder = "plugins"
watch = false
{source}
[source.in.fields]
id = "i64"
user = "utf8"

[operator.count]
plugin = "counter"
inputs = ["in"]
key = "user"
{out}{dead}"#,
        pipeline = names.pipeline,
        state = options.state,
        snapshot_interval = options.snapshot_interval,
        source = source_text(source, names, bootstrap),
        out = sink_text(sink, "out", "[\"count\"]", OUTPUT, &names.output, bootstrap, options),
        dead = sink_text(sink, "dead", "[]", DEAD, &names.dead, bootstrap, options),
    )
}

fn source_text(medium: Medium, names: &Names, bootstrap: &str) -> String {
    match medium {
        Medium::File => format!(
            r#"
[source.in]
connector = "file"
path = "{INPUT}"
format = "json"
follow = true
"#
        ),
        Medium::Kafka => format!(
            r#"
[source.in]
connector = "kafka"
topics = ["{input}"]
group = "{group}"
auto_offset_reset = "earliest"
format = "json"
[source.in.client]
"bootstrap.servers" = "{bootstrap}"
"#,
            input = names.input,
            group = names.pipeline,
        ),
    }
}

fn sink_text(
    medium: Medium,
    name: &str,
    inputs: &str,
    file: &str,
    topic: &str,
    bootstrap: &str,
    options: &Options,
) -> String {
    let mut text = format!("\n[sink.{name}]\ninputs = {inputs}\nformat = \"json\"\n");
    match medium {
        Medium::File => text += &format!("connector = \"file\"\npath = \"{file}\"\n"),
        Medium::Kafka => {
            text += &format!("connector = \"kafka\"\ntopic = \"{topic}\"\ndelivery = \"exactly_once\"\n");
            if name == "out" {
                text += "key = \"user\"\n";
            }
            text += &format!("[sink.{name}.client]\n\"bootstrap.servers\" = \"{bootstrap}\"\n");
            for (setting, value) in &options.sink_client {
                let _ = writeln!(text, "\"{setting}\" = \"{value}\"");
            }
        }
    }
    text
}
