//! The pipeline of the crash loop: rows of users are counted per user, by a plugin whose state is the
//! count; what cannot be decoded is a dead letter. Source and sinks are files or topics.

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

/// Files of the job's folder.
pub const INPUT: &str = "in.jsonl";
/// The output.
pub const OUTPUT: &str = "out.jsonl";
/// Dead letters.
pub const DEAD: &str = "dead.jsonl";

/// A job with the pipeline and its plugin. Clients connect to `bootstrap`.
pub fn job(source: Medium, sink: Medium, names: &Names, bootstrap: &str, more: &str) -> Job {
    let client = |part: &str| format!("[{part}.client]\n\"bootstrap.servers\" = \"{bootstrap}\"\n");
    let source = match source {
        Medium::File => format!("connector = \"file\"\npath = \"{INPUT}\"\nformat = \"json\"\nfollow = true\n"),
        Medium::Kafka => format!(
            "connector = \"kafka\"\ntopics = [\"{}\"]\ngroup = \"{}\"\nauto_offset_reset = \"earliest\"\nformat = \"json\"\n{}",
            names.input,
            names.pipeline,
            client("source.in")
        ),
    };
    let to = |name: &str, inputs: &str, file: &str, topic: &str, key: &str| match sink {
        Medium::File => {
            format!("[sink.{name}]\nconnector = \"file\"\ninputs = [{inputs}]\npath = \"{file}\"\nformat = \"json\"\n")
        }
        Medium::Kafka => format!(
            "[sink.{name}]\nconnector = \"kafka\"\ninputs = [{inputs}]\ntopic = \"{topic}\"\n{key}delivery = \"exactly_once\"\n{}",
            client(&format!("sink.{name}"))
        ),
    };
    let text = format!(
        r#"
[pipeline]
name = "{pipeline}"
workers = 2
dead_letters = "dead"

[checkpoint]
interval = "100ms"
snapshot_interval = "2s"

[state]
path = "state"

[plugins]
folder = "plugins"
watch = false

[source.in]
{source}
[source.in.fields]
id = "i64"
user = "utf8"

[operator.count]
plugin = "counter"
inputs = ["in"]
key = "user"

{out}
{dead}
{more}
"#,
        pipeline = names.pipeline,
        out = to("out", "\"count\"", OUTPUT, &names.output, "key = \"user\"\n"),
        dead = to("dead", "", DEAD, &names.dead, ""),
    );
    let job = Job::new(&text);
    job.install(&fixture("counter-v1"), "counter.wasm");
    job.write(INPUT, "");
    job
}
