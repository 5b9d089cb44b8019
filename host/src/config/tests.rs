//! What a good file becomes, and golden tests of what is said about bad ones: each takes the good
//! file, breaks one thing, and compares the whole text with a file under `snapshots`.
//! `INSTA_UPDATE=always cargo test` writes them anew.

use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::checkpoint::Location;
use crate::codec::{Compression, Format};
use crate::{record, sink as sinks, source as kinds};

const GOOD: &str = r#"[pipeline]
name = "fraud-scoring"
dead_letters = "rejected"
workers = 2
max_in_flight_bytes = "16MiB"

[checkpoint]
interval = "500ms"

[state]
path = "out/state"
cache = 67108864

[plugins]
folder = "../../bin/plugins"
deadline = "2s"
memory = "32MiB"

[models.fraud]
path = "model.onnx"

[source.transactions]
connector = "file"
path = "${DATA:-transactions.jsonl.gz}"
format = "json"
event_time = "timestamp"
max_out_of_orderness = "5s"

[source.transactions.fields]
transaction_id = "i64"
timestamp = "i64"
user_id = "utf8"
amount = "f64"
fraud = "i32?"

[operator.score]
kind = "inference"
inputs = ["user-features"]
model = "fraud"
features = "features"
output = "score"

[operator.user-features]
plugin = "feature-enrichment"
inputs = ["transactions"]
key = "user_id"
forward = ["transaction_id", "fraud"]
grants = ["collections"]

[operator.user-features.config]
threshold = 1.5
windows = ["1d", "7d"]
strict = true
token = "${TOKEN}"

[sink.scores]
connector = "file"
inputs = ["score"]
path = "~/scores.csv"
fields = ["transaction_id", "score"]

[sink.rejected]
connector = "stdout"
inputs = []
"#;

fn environment(name: &str) -> Option<String> {
    match name {
        "HOME" => Some("/home/ada".to_owned()),
        "TOKEN" => Some("hunter2".to_owned()),
        "CORES" => Some("7".to_owned()),
        _ => None,
    }
}

pub(super) fn read_text(text: &str, overrides: &[&str]) -> Result<(Pipeline, Vec<Warning>), Errors> {
    let overrides = overrides.iter().map(|o| (*o).to_owned()).collect();
    let sources = Sources { file: "demo/pipeline.toml".to_owned(), text: text.to_owned(), overrides };
    load_text(Path::new("demo/pipeline.toml"), sources, &environment)
}

/// The messages about the good file with pieces replaced.
fn messages(edits: &[(&str, &str)], overrides: &[&str]) -> String {
    messages_of(GOOD, edits, overrides)
}

/// The messages about a good file with pieces replaced.
pub(super) fn messages_of(good: &str, edits: &[(&str, &str)], overrides: &[&str]) -> String {
    let mut text = good.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "the file has no `{from}`");
        text = text.replacen(from, to, 1);
    }
    match read_text(&text, overrides) {
        Err(errors) => errors.to_string(),
        Ok((_, warnings)) => warnings.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n"),
    }
}

macro_rules! golden {
    ($($name:ident: $edits:expr $(, set $overrides:expr)?;)*) => {
        $(#[test]
        fn $name() {
            #[allow(unused_mut, unused_assignments)]
            let mut overrides: &[&str] = &[];
            $(overrides = &$overrides;)?
            insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
                insta::assert_snapshot!(stringify!($name), messages(&$edits, overrides));
            });
        })*
    };
}

golden! {
    // Syntax.
    syntax_unquoted_text: [("\"fraud-scoring\"", "fraud-scoring")];
    syntax_unquoted_duration: [("\"500ms\"", "500ms"), ("\"file\"", "file"), ("model.onnx\"", "model.onnx")];
    syntax_no_value: [("workers = 2", "workers"), ("[state]", "[state")];
    syntax_duplicate_key: [("workers = 2", "workers = 2\nworkers = 3")];
    syntax_unclosed_list: [("inputs = [\"score\"]", "inputs = [\"score\"")];
    // Checkpoints.
    bad_checkpoint_location: [("interval = \"500ms\"", "path = \"gs://bucket/checkpoints\"")];
    snapshots_closer_than_barriers: [("interval = \"500ms\"", "interval = \"5m\"\nsnapshot_interval = \"2m\"")];
    no_snapshot_retained: [("interval = \"500ms\"", "retain = 0")];
    small_log: [("interval = \"500ms\"", "max_log = \"100KiB\"")];
    // Keys.
    unknown_key_with_a_near_one: [("connector = \"file\"", "conector = \"file\"")];
    unknown_key_without_a_near_one: [("event_time", "banana")];
    unknown_key_of_the_kind: [("connector = \"stdout\"", "connector = \"stdout\"\npath = \"x.csv\"")];
    unknown_table: [("[checkpoint]", "[checkpoints]")];
    missing_key: [("output = \"score\"\n", "")];
    missing_pipeline: [("[pipeline]", ""), ("name = \"fraud-scoring\"", ""), ("dead_letters = \"rejected\"", ""),
        ("workers = 2", ""), ("max_in_flight_bytes = \"16MiB\"", "")];
    missing_state_for_a_key: [("[state]\npath = \"out/state\"\ncache = 67108864\n", "")];
    missing_plugins_folder: [("folder = \"../../bin/plugins\"\n", "")];
    missing_fields: [("[source.transactions.fields]\ntransaction_id = \"i64\"\ntimestamp = \"i64\"\nuser_id = \"utf8\"\namount = \"f64\"\nfraud = \"i32?\"\n", "")];
    // Values.
    wrong_type: [("workers = 2", "workers = \"two\""), ("features = \"features\"", "features = true")];
    wrong_type_of_a_table: [("[models.fraud]\npath = \"model.onnx\"", "[models]\nfraud = \"model.onnx\"")];
    bad_duration: [("\"500ms\"", "\"500 msec\""), ("\"2s\"", "2")];
    bad_size: [("\"16MiB\"", "\"16 megs\""), ("67108864", "-1")];
    out_of_range: [("workers = 2", "workers = 0"), ("\"500ms\"", "\"1ms\"")];
    bad_choice: [("connector = \"file\"\npath", "connector = \"flie\"\npath"), ("format = \"json\"", "format = \"parquet\"")];
    bad_column_type: [("user_id = \"utf8\"", "user_id = \"string\""), ("amount = \"f64\"", "amount = \"decimal(10)\"")];
    bad_name: [("[sink.scores]", "[sink.\"All Scores\"]")];
    bad_grant: [("[\"collections\"]", "[\"collection\"]")];
    bad_plugin_config: [("strict = true", "strict = { deep = 1 }")];
    unset_variable: [("${TOKEN}", "${TOKNE}")];
    batch_larger_than_in_flight: [("\"16MiB\"", "\"64KiB\"")];
    // Edges and names.
    unknown_input: [("inputs = [\"transactions\"]", "inputs = [\"transaction\"]")];
    input_with_a_port_of_a_source: [("inputs = [\"transactions\"]", "inputs = [\"transactions.late\"]")];
    cycle: [("inputs = [\"transactions\"]", "inputs = [\"transactions\", \"score\"]")];
    same_name: [("[sink.scores]", "[sink.score]")];
    unknown_model: [("model = \"fraud\"", "model = \"fruad\"")];
    unknown_dead_letters: [("dead_letters = \"rejected\"", "dead_letters = \"reject\"")];
    unknown_key_column: [("key = \"user_id\"", "key = \"usr_id\"")];
    key_of_a_wrong_type: [("key = \"user_id\"", "key = \"amount\"")];
    unknown_event_time: [("event_time = \"timestamp\"", "event_time = \"time\"")];
    listed_twice: [("[\"transaction_id\", \"score\"]", "[\"score\", \"score\"]")];
    source_without_consumer: [("inputs = [\"transactions\"]", "inputs = [\"other\"]"),
        ("[source.transactions]", "[source.other]\nconnector = \"generator\"\nkind = \"transactions\"\n\n[source.transactions]")];
    operator_without_consumer: [("inputs = [\"score\"]", "inputs = [\"user-features\"]")];
    sink_without_inputs: [("dead_letters = \"rejected\"\n", "")];
    sink_overwrites_a_source: [("~/scores.csv", "../demo/transactions.jsonl.gz")];
    no_effect: [("event_time = \"timestamp\"\n", "")];
    // Overrides.
    override_of_a_wrong_type: [], set ["pipeline.workers=many"];
    override_of_an_unknown_source: [], set ["source.transaction.path=x.jsonl"];
    override_of_an_unknown_key: [], set ["sink.scores.pth=x.jsonl"];
    override_without_a_value: [], set ["sink.scores.path"];
    override_below_a_value: [], set ["pipeline.workers.max=3"];
    // All at once.
    several_mistakes: [("workers = 2", "workres = 2"), ("\"500ms\"", "5"), ("model = \"fraud\"", "model = \"x\""),
        ("inputs = [\"score\"]", "inputs = [\"scor\"]")], set ["state.cache=lots"];
}

#[test]
fn a_good_file_becomes_a_pipeline() {
    let (p, warnings) = read_text(GOOD, &[]).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!((p.name.as_str(), p.dead_letters.as_deref()), ("fraud-scoring", Some("rejected")));
    assert_eq!((p.dataflow.workers, p.dataflow.batch_rows), (2, 1_024));
    assert_eq!((p.dataflow.max_in_flight_rows, p.dataflow.max_in_flight_bytes), (65_536, 16 << 20));
    assert_eq!(p.dataflow.checkpoint_interval, Duration::from_millis(500));
    assert_eq!((p.state.path, p.state.cache_bytes), (PathBuf::from("demo/out/state"), 64 << 20));
    assert_eq!(p.plugins.folder, Path::new("demo/../../bin/plugins"));
    assert_eq!(p.plugins.cache, Path::new("/home/ada/.cache/millstream/compiled"));
    assert_eq!(p.plugins.limits.deadline, Duration::from_secs(2));
    assert_eq!((p.plugins.limits.memory_bytes, p.plugins.limits.recycle_bytes), (32 << 20, 16 << 20));
    assert_eq!(p.models[0].path, Path::new("demo/model.onnx"));
    // The file has them the other way round.
    assert_eq!(p.operators.iter().map(OperatorNode::name).collect::<Vec<_>>(), ["user-features", "score"]);
    assert_eq!(p.operators[1].inputs, [Input { node: "user-features".to_owned(), port: None }]);
    assert!(p.sinks[1].1.is_empty());
}

#[test]
fn checkpoints_are_kept_in_the_state_folder_unless_said_otherwise() {
    let checkpoint = |lines: &str, overrides: &[&str]| {
        let text = GOOD.replace("interval = \"500ms\"", &format!("interval = \"500ms\"\n{lines}"));
        read_text(&text, overrides).unwrap().0.checkpoint
    };
    let folder = |path: &str| Location::Folder(path.into());
    let default = checkpoint("", &[]);
    assert_eq!(default.location, folder("demo/out/state/checkpoints"));
    assert_eq!((default.snapshot_interval, default.retain), (Duration::from_secs(60), 3));
    assert_eq!(default.max_log_bytes, 256 << 20);
    assert_eq!(checkpoint("path = \"ckpt\"", &[]).location, folder("demo/ckpt"));
    assert_eq!(checkpoint("path = \"~/ckpt\"", &[]).location, folder("/home/ada/ckpt"));
    assert_eq!(checkpoint("path = \"file:///srv/ckpt\"", &[]).location, folder("/srv/ckpt"));
    assert_eq!(checkpoint("", &["checkpoint.path=elsewhere"]).location, folder("elsewhere"));
    let bucket = Location::S3 { bucket: "fraud".into(), prefix: "eu".into() };
    assert_eq!(checkpoint("path = \"s3://fraud/eu\"", &[]).location, bucket);
    let all = checkpoint("snapshot_interval = \"500ms\"\nretain = 1\nmax_log = \"1MiB\"", &[]);
    assert_eq!((all.snapshot_interval, all.retain, all.max_log_bytes), (Duration::from_millis(500), 1, 1 << 20));
    // An interval longer than the default between snapshots raises that.
    let slow = read_text(&GOOD.replace("\"500ms\"", "\"10m\""), &[]).unwrap().0;
    assert_eq!(slow.checkpoint.snapshot_interval, Duration::from_secs(600));
}

#[test]
fn a_source_has_its_schema_and_settings() {
    let (p, _) = read_text(GOOD, &[]).unwrap();
    let source = &p.sources[0];
    let kinds::Connector::File { path, compression, follow } = &source.connector else { panic!("not a file") };
    assert_eq!(path, Path::new("demo/transactions.jsonl.gz"));
    assert_eq!((*compression, *follow, source.format), (Compression::Auto, false, Format::Json));
    let columns: Vec<String> = source
        .schema
        .fields()
        .iter()
        .map(|f| {
            format!("{}:{}{}", f.name(), record::format_type(f.data_type()), if f.is_nullable() { "?" } else { "" })
        })
        .collect();
    assert_eq!(columns, ["transaction_id:i64", "timestamp:i64", "user_id:utf8", "amount:f64", "fraud:i32?"]);
    assert_eq!(source.event_time.as_deref(), Some("timestamp"));
    assert_eq!(source.max_out_of_orderness, Duration::from_secs(5));
    assert_eq!(source.max_record_bytes, 1 << 20);
}

#[test]
fn a_plugin_gets_its_configuration_as_text() {
    let (p, _) = read_text(GOOD, &[]).unwrap();
    let OperatorKind::Plugin(plugin) = &p.operators[0].kind else { panic!("not a plugin") };
    let config: Vec<(&str, &str)> = plugin.config.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(config, [("threshold", "1.5"), ("windows", "1d,7d"), ("strict", "true"), ("token", "hunter2")]);
    assert_eq!(plugin.forward.as_deref(), Some(["transaction_id".to_owned(), "fraud".to_owned()].as_slice()));
}

#[test]
fn a_sink_takes_its_format_from_the_name_of_its_file() {
    let (p, _) = read_text(GOOD, &[]).unwrap();
    let sink = &p.sinks[0].0;
    assert!(
        matches!(&sink.connector, sinks::Connector::File { path, .. } if path == Path::new("/home/ada/scores.csv"))
    );
    assert_eq!(sink.format, Format::Csv);
}

#[test]
fn an_override_takes_the_place_of_a_value() {
    let overrides = [
        "pipeline.workers=${CORES}",
        "pipeline.name=${NAME:-2024}",
        "source.transactions.path=other/data.jsonl",
        "plugins.watch=false",
        "operator.user-features.plugin=2024",
        "operator.user-features.config.extra=[1, 2]",
        "checkpoint.interval=\"2s\"",
    ];
    let (p, _) = read_text(GOOD, &overrides).unwrap();
    assert_eq!((p.dataflow.workers, p.name.as_str()), (7, "2024"));
    assert_eq!(p.dataflow.checkpoint_interval, Duration::from_secs(2));
    assert!(!p.plugins.watch);
    // From the current folder, as a shell completes it.
    assert!(
        matches!(&p.sources[0].connector, kinds::Connector::File { path, .. } if path == Path::new("other/data.jsonl"))
    );
    let OperatorKind::Plugin(plugin) = &p.operators[0].kind else { panic!("not a plugin") };
    assert_eq!(plugin.plugin, "2024", "a number is text where text is wanted");
    assert!(plugin.config.contains(&("extra".to_owned(), "1,2".to_owned())));
}

#[test]
fn a_generator_needs_no_fields() {
    let text = |kind: &str| {
        format!(
            "[pipeline]\nname = \"x\"\n[source.gen]\nconnector = \"generator\"\n{kind}\nrows = 10\nrate = 5\n\
             [sink.out]\nconnector = \"blackhole\"\ninputs = [\"gen\"]\n"
        )
    };
    let (p, _) = read_text(&text("kind = \"vectors\"\nsize = 4"), &[]).unwrap();
    let kinds::Connector::Generator(generator) = &p.sources[0].connector else { panic!("not a generator") };
    assert_eq!(
        (&generator.kind, generator.rows, generator.rate),
        (&kinds::GeneratorKind::Vectors(4), Some(10), Some(5))
    );
    assert_eq!(record::format_type(p.sources[0].schema.field(0).data_type()), "f32[4]");
    let (p, _) = read_text(&text("kind = \"transactions\""), &[]).unwrap();
    assert_eq!(p.sources[0].schema.fields().len(), 6);
}

#[test]
fn the_value_of_a_variable_is_never_shown() {
    let secret = "[\"${TOKEN}\"]";
    for (from, to) in [
        ("\"500ms\"", "\"${TOKEN}\""),
        ("workers = 2", "workers = \"${TOKEN}\""),
        ("\"fraud-scoring\"", "\"${TOKEN}?\""),
        ("\"16MiB\"", "\"${TOKEN}\""),
        ("key = \"user_id\"", "key = \"${TOKEN}\""),
        ("event_time = \"timestamp\"", "event_time = \"${TOKEN}\""),
        ("inputs = [\"score\"]", "inputs = [\"${TOKEN}\"]"),
        ("inputs = [\"score\"]", "inputs = [\"score\", \"${TOKEN}\", \"${TOKEN}\"]"),
        ("model = \"fraud\"", "model = \"${TOKEN}\""),
        ("dead_letters = \"rejected\"", "dead_letters = \"${TOKEN}\""),
        ("connector = \"stdout\"", "connector = \"${TOKEN}\""),
        ("amount = \"f64\"", "amount = \"${TOKEN}\""),
        ("[\"collections\"]", secret),
        ("output = \"score\"", "output = \"${TOKEN}\"\nmax_batch = \"${TOKEN}\""),
        ("[checkpoint]", "[plugins.${TOKEN}]\n[checkpoint]"),
    ] {
        let shown = messages(&[(from, to)], &[]);
        assert!(!shown.contains("hunter2"), "{to}: {shown}");
    }
}

#[test]
fn later_findings_point_at_the_file() {
    let (p, _) = read_text(GOOD, &[]).unwrap();
    let at = |key: &str| match p.places.error(key, "x").place {
        Place::File { line, column, .. } => Some((line, column)),
        _ => None,
    };
    let line = |text: &str| GOOD.lines().position(|l| l == text).map(|l| l + 1);
    assert_eq!(at("operator.score.model"), line("model = \"fraud\"").map(|l| (l, 9)));
    // Not written: the table, and then nothing.
    assert_eq!(at("operator.score.max_batch"), line("[operator.score]").map(|l| (l, 11)));
    assert_eq!(at("nowhere.at.all"), None);
}

#[test]
fn two_loops_are_both_named() {
    let operator = |name: &str, input: &str| format!("[operator.{name}]\nplugin = \"p\"\ninputs = [\"{input}\"]\n");
    let text: String = [("a", "b"), ("b", "a"), ("c", "c"), ("d", "a")].map(|(n, i)| operator(n, i)).concat();
    let shown = read_text(&text, &[]).unwrap_err().to_string();
    assert!(shown.contains("a → b → a") && shown.contains("c → c"), "{shown}");
    assert_eq!(shown.matches("in a circle").count(), 2, "{shown}");
}

#[test]
fn hostile_files_get_a_message() {
    let long = format!("x = \"{}", "\u{1b}[31m".repeat(10_000));
    let deep = format!("x = {}", "[".repeat(100_000));
    let many: String = (0..100_000).map(|i| format!("k{i}=1\n")).collect();
    for text in ["\u{0}", "[", "=", "[[pipeline]]", "pipeline = 1", "[source]\nx = 1", "", &long, &deep, &many] {
        let shown = read_text(text, &[]).unwrap_err().to_string();
        assert!(shown.starts_with("error: "), "{shown}");
        assert!(!shown.contains('\u{1b}') && shown.len() < 100_000, "{} bytes", shown.len());
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.toml");
    let shown = |path: &Path| load(path, &[]).unwrap_err().to_string();
    assert!(shown(&path).contains("cannot be read") && shown(&path).contains("p.toml"));
    std::fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(shown(&path).contains("larger than 1MiB"));
    std::fs::write(&path, b"# ok\n# \xff\n").unwrap();
    assert!(shown(&path).contains("not UTF-8: line 2"));
}

#[test]
fn colour_is_only_there_when_asked_for() {
    let errors = read_text("x", &[]).unwrap_err();
    assert!(errors.render(true).contains("\x1b[1;31m"));
    assert!(!errors.render(false).contains('\x1b'));
}

#[test]
fn errors_have_a_json_form() {
    let errors = read_text(&GOOD.replace("workers = 2", "workers = 0"), &["checkpoint.interval=x"]).unwrap_err();
    let json = serde_json::to_value(&errors).unwrap();
    assert_eq!(json["errors"][0]["severity"], "error");
    assert_eq!(json["errors"][0]["place"]["file"]["line"], 4);
    assert_eq!(json["errors"][0]["place"]["file"]["text"], "workers = 0");
    assert_eq!(json["errors"][1]["place"]["override"]["argument"], "--set checkpoint.interval=x");
}
