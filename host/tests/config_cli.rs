//! The program as a user meets it: help, messages, exit codes, streams.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

const PIPELINE: &str = r#"[pipeline]
name = "copy"
dead_letters = "rejected"

[source.events]
connector = "file"
path = "events.jsonl"

[source.events.fields]
id = "i64"
user = "utf8?"

[sink.kept]
connector = "file"
inputs = ["events"]
path = "out/kept.jsonl"

[sink.rejected]
connector = "blackhole"
"#;

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(pipeline: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::write(folder.path("pipeline.toml"), pipeline).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs the program in this folder, with nothing of the caller's environment that matters.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        for name in ["NO_COLOR", "CLICOLOR_FORCE", "MILLSTREAM_LOG", "BENCH_JSON"] {
            command.env_remove(name);
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn help_names_every_command_and_exit_code() {
    let output = Folder::with("").run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    for command in ["run", "check", "graph", "generate", "bench", "plugins"] {
        assert!(stdout(&output).lines().any(|l| l.trim_start().starts_with(command)), "{command}");
    }
    assert!(stdout(&output).contains("Exit codes:") && stdout(&output).contains("a plugin or a model was refused"));
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    let folder = Folder::with(PIPELINE);
    for arguments in [
        &["rnu"][..],
        &["run"],
        &["check", "pipeline.toml", "--log-level", "loud"],
        &["bench", "no-such-benchmark"],
        &["generate", "transactions", "--out", "-", "--json"],
        &["generate", "transactions", "--rows", "many", "--out", "x"],
    ] {
        let output = folder.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn an_unknown_key_is_shown_at_its_line() {
    let folder = Folder::with(&PIPELINE.replace("path = \"out", "pth = \"out"));
    for command in ["run", "check", "graph"] {
        let output = folder.run(&[command, "pipeline.toml"]);
        assert_eq!(output.status.code(), Some(3), "{command}");
        assert!(output.stdout.is_empty());
        let expected = "error: unknown key `pth` in `[sink.kept]`\n  --> pipeline.toml:16:1\n   |\n\
                        16 | pth = \"out/kept.jsonl\"\n   | ^^^ not a key of a file sink\n   = help: did you mean `path`?\n";
        assert_eq!(stderr(&output), expected);
    }
}

#[test]
fn a_missing_file_is_a_configuration_error() {
    let output = Folder::with("").run(&["check", "nowhere.toml"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("nowhere.toml") && stderr(&output).contains("cannot be read"));
}

#[test]
fn a_good_pipeline_passes_its_check() {
    let folder = Folder::with(PIPELINE);
    fs::write(folder.path("events.jsonl"), "").unwrap();
    let output = folder.run(&["check", "pipeline.toml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), "copy: ok (1 source, 0 operators, 2 sinks)\n");
}

#[test]
fn json_holds_the_result_or_the_errors() {
    let folder = Folder::with(PIPELINE);
    fs::write(folder.path("events.jsonl"), "").unwrap();
    let json = |output: &Output| serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap();
    let good = folder.run(&["check", "pipeline.toml", "--json"]);
    assert_eq!(json(&good)["pipeline"], "copy");
    let bad = folder.run(&["check", "pipeline.toml", "--json", "--set", "sink.kept.pth=x"]);
    assert_eq!(bad.status.code(), Some(3));
    assert_eq!(json(&bad)["errors"][0]["place"]["override"]["argument"], "--set sink.kept.pth=x");
    let usage = folder.run(&["run", "pipeline.toml", "--json", "--set", "sink.kept.connector=stdout"]);
    assert_eq!(json(&usage)["exit_code"], 3, "`path` is no key of a stdout sink");
}

#[test]
fn set_overrides_a_key() {
    let folder = Folder::with(PIPELINE);
    let output = folder.run(&["graph", "pipeline.toml", "--set", "source.events.path=other/events.csv"]);
    assert!(stdout(&output).contains("file other/events.csv, CSV"), "{}", stdout(&output));
    let output = folder.run(&["graph", "pipeline.toml", "--set", "pipeline.workers=many"]);
    assert_eq!(output.status.code(), Some(3));
    let line = format!("\n  | --set pipeline.workers=many\n  |{}^^^^ expected an integer", " ".repeat(24));
    assert!(stderr(&output).contains(&line), "{}", stderr(&output));
}

#[test]
fn colour_follows_the_conventions() {
    let folder = Folder::with("x");
    let forced = folder.command(&["check", "pipeline.toml"]).env("CLICOLOR_FORCE", "1").output().unwrap();
    assert!(stderr(&forced).contains("\x1b["));
    let none =
        folder.command(&["check", "pipeline.toml"]).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").output().unwrap();
    assert!(!stderr(&none).contains('\x1b'));
    assert!(!stderr(&folder.run(&["check", "pipeline.toml"])).contains('\x1b'), "not a terminal");
}

#[test]
fn a_reader_that_leaves_early_causes_no_panic() {
    // More than a pipe holds, so that writing meets the closed end.
    let sinks: String = (0..3_000)
        .map(|i| format!("[sink.blackhole-number-{i}]\nconnector = \"blackhole\"\ninputs = [\"events\"]\n"))
        .collect();
    let folder = Folder::with(&format!("{PIPELINE}{sinks}"));
    let mut child =
        folder.command(&["graph", "pipeline.toml"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 5];
    let mut pipe = child.stdout.take().unwrap();
    pipe.read_exact(&mut first).unwrap();
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    assert_eq!(&first, b"copy\n");
    assert_eq!(output.status.code(), Some(0));
    assert!(!stderr(&output).contains("panic"), "{}", stderr(&output));
}

#[test]
fn a_graph_needs_no_plugins() {
    let folder = Folder::with(&format!(
        "{}\n{}",
        PIPELINE.replace("inputs = [\"events\"]", "inputs = [\"score\", \"enrich.late\"]"),
        "[state]\npath = \"state\"\n[plugins]\nfolder = \"nowhere\"\n[models.m]\npath = \"none.onnx\"\n\
         [operator.enrich]\nplugin = \"enrichment\"\ninputs = [\"events\"]\nkey = \"user\"\n\
         [operator.score]\nmodel = \"m\"\ninputs = [\"enrich\"]\nfeatures = [\"a\", \"b\"]\noutput = \"score\"\n"
    ));
    let text = folder.run(&["graph", "pipeline.toml"]);
    assert_eq!(text.status.code(), Some(0), "{}", stderr(&text));
    assert_eq!(
        stdout(&text),
        "copy\n\n\
         PARTS\n\
         \x20 source    events    file events.jsonl, JSON lines\n\
         \x20 operator  enrich    plugin enrichment, key user\n\
         \x20 operator  score     model m, a, b to score\n\
         \x20 sink      kept      file out/kept.jsonl, JSON lines\n\
         \x20 sink      rejected  counted and dropped\n\n\
         EDGES\n\
         \x20 events          ->  enrich    by user  id i64, user utf8?\n\
         \x20 enrich          ->  score\n\
         \x20 score           ->  kept\n\
         \x20 enrich.late     ->  kept\n\
         \x20 (dead letters)  ->  rejected\n"
    );
    let dot = folder.run(&["graph", "pipeline.toml", "--format", "dot"]);
    assert!(stdout(&dot).starts_with("digraph \"copy\" {\n") && stdout(&dot).ends_with("}\n"));
    assert!(stdout(&dot).contains("\"events\" -> \"enrich\" [label=\"by user\\nid i64\\nuser utf8?\"];"));
    assert!(stdout(&dot).contains("\"enrich\" -> \"kept\" [label=\"port late\"];"));
}

#[test]
fn warnings_do_not_stop_a_check() {
    let text = PIPELINE.replace("[sink.kept]", "[models.idle]\npath = \"idle.onnx\"\n[sink.kept]");
    let output = Folder::with(&text).run(&["graph", "pipeline.toml"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stderr(&output).contains("warning: no operator uses model `idle`"), "{}", stderr(&output));
}
