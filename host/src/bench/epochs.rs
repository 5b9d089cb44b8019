//! What exactly-once costs: throughput with epochs beside without, how long an epoch takes while rows
//! flow, how soon rows flow again after `kill -9`, and how long a savepoint takes.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::measure;
use super::pipelines::{ENRICH, fraud, head, transactions};
use super::runs::{FRAUD, placed, transactions_file};
use super::subject::{Places, said};
use crate::report::{Bar, Measurement};
use crate::source::transactions::{Generator, Settings};

/// Keys in all.
const KEYS: u32 = 1_000_000;
/// Rows a second of the run whose epochs are looked at: with uniform keys nearly each is another key.
const RATE: u64 = 110_000;
/// How long. It ends between two barriers, so that the last one does not stand behind another's epoch.
const MILLISECONDS: u64 = 20_500;

/// `[checkpoint]`; a snapshot is not part of what is measured.
fn checkpoint(interval: &str) -> String {
    format!("[checkpoint]\ninterval = \"{interval}\"\nsnapshot_interval = \"1h\"\n\n")
}

pub(super) fn run(places: &Places) -> Result<Vec<Measurement>, String> {
    let mut measures = throughput(places)?;
    measures.extend(million_keys(places)?);
    Ok(measures)
}

/// Runs in turn, so that a machine whose speed drifts does not tip the ratio.
fn throughput(places: &Places) -> Result<Vec<Measurement>, String> {
    let model = placed(places, "fraud.onnx", FRAUD)?;
    let input = transactions_file(places, "demo", Settings { rows: 1_000_000, ..Settings::default() })?;
    let rate = |interval: &str| {
        let rest = checkpoint(interval) + &transactions(&input) + &fraud(&model);
        let pipeline = head("epochs", None, &places.plugins) + &rest;
        places.run("epochs", &pipeline)?.get("rows_per_second")
    };
    let (mut second, mut tenth) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let without = rate("1h")?;
        second.push(rate("1s")? / without);
        tenth.push(rate("100ms")? / without);
    }
    let name = |interval: &str| format!("fraud pipeline, 1,000,000 rows: epochs every {interval} ÷ one epoch");
    Ok(vec![
        measure(name("1 s"), median(&mut second), "ratio", Some(Bar::AtLeast(0.95))),
        measure(name("100 ms"), median(&mut tenth), "ratio", Some(Bar::AtLeast(0.85))),
    ])
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn million_keys(places: &Places) -> Result<Vec<Measurement>, String> {
    let settings = Settings { users: KEYS, zipf: 0.0, rows: 2_000_000, ..Settings::default() };
    let input = transactions_file(places, "million", settings.clone())?;
    // The keys that are at work fit into the cache, as in a deployment that means to be fast.
    let head =
        head("million", None, &places.plugins).replace("path = \"state\"\n", "path = \"state\"\ncache = \"512MiB\"\n");
    let pipeline = |source: &str| head.clone() + &checkpoint("1s") + source + ENRICH;
    let folder = places.folder("million")?;
    places.run("million", &pipeline(&transactions(&input)))?;
    let mut measures = savepoint(places, &folder)?;

    let stdin = transactions(Path::new("-")).replace("connector = \"file\"\npath = \"-\"\n", "connector = \"stdin\"\n");
    let live = feed(places, &folder, &pipeline(&stdin), &settings)?;
    let get = |path: &str| live.pointer(path).and_then(serde_json::Value::as_f64).unwrap_or(f64::NAN);
    let name = |what: &str| format!("{KEYS} keys, {RATE} rows/s of other keys, epochs every 1 s: {what}");
    let ms = 1e3;
    measures.extend([
        measure(name("epoch, p50"), get("/epoch/steps/total/p50_us") / ms, "ms", None),
        measure(name("epoch, p99"), get("/epoch/steps/total/p99_us") / ms, "ms", Some(Bar::AtMost(150.0))),
        measure(name("of which barrier, p99"), get("/epoch/steps/barrier/p99_us") / ms, "ms", None),
        measure(name("of which record to disk, p99"), get("/epoch/steps/prepare/p99_us") / ms, "ms", None),
        measure(name("into the database beside it, p99"), get("/epoch/steps/apply/p99_us") / ms, "ms", None),
        measure(name("longest gap at the sink"), get("/longest_gap_ms"), "ms", Some(Bar::AtMost(20.0))),
    ]);
    let more = transactions_file(places, "million-more", Settings { seed: settings.seed + 1, ..settings })?;
    let first = restart(places, &folder, &pipeline(&transactions(&more)))?;
    let name = format!("restart after kill -9 with {KEYS} keys: to the first row out");
    measures.push(measure(name, first, "ms", Some(Bar::AtMost(1_000.0))));
    Ok(measures)
}

/// A host on the pipeline file of a folder.
fn host(places: &Places, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(&places.host);
    command.current_dir(folder).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn savepoint(places: &Places, folder: &Path) -> Result<Vec<Measurement>, String> {
    let mut measures = Vec::new();
    for (what, arguments) in [
        ("create", &["savepoint", "create", "pipeline.toml", "bench"][..]),
        ("restore", &["savepoint", "restore", "pipeline.toml", "bench", "--replace"]),
    ] {
        let start = Instant::now();
        let output = host(places, folder, arguments).output().map_err(|e| format!("{}: {e}", folder.display()))?;
        if !output.status.success() {
            return Err(said(folder, &output));
        }
        let took = start.elapsed().as_secs_f64();
        measures.push(measure(format!("savepoint of {KEYS} keys: {what}"), took, "s", None));
    }
    Ok(measures)
}

/// Hands a host rows at a rate, and returns its report.
fn feed(places: &Places, folder: &Path, pipeline: &str, settings: &Settings) -> Result<serde_json::Value, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
    std::fs::write(folder.join("pipeline.toml"), pipeline).map_err(failed)?;
    let arguments = ["run", "--json", "--no-progress", "--allow-non-restored-state", "pipeline.toml"];
    let mut child = host(places, folder, &arguments).stdin(Stdio::piped()).spawn().map_err(failed)?;
    let Some(stdin) = child.stdin.take() else { return Err("the host has no standard input".into()) };
    let mut out = BufWriter::with_capacity(64 << 10, stdin);
    let settings = Settings { seed: settings.seed + 2, rows: RATE * MILLISECONDS / 1000, ..settings.clone() };
    let (mut generator, mut line, mut made) = (Generator::new(&settings), Vec::new(), 0);
    let start = Instant::now();
    while made < settings.rows {
        let due = (start.elapsed().as_secs_f64() * RATE as f64) as u64;
        while made < due.min(settings.rows) {
            line.clear();
            generator.next_json(&mut line);
            out.write_all(&line).map_err(failed)?;
            made += 1;
        }
        out.flush().map_err(failed)?;
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(out);
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        return Err(said(folder, &output));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| format!("the report is no JSON: {e}"))
}

/// Kills a host in the middle of its work, and starts it again: milliseconds from the start of the
/// process to its first row out.
fn restart(places: &Places, folder: &Path, pipeline: &str) -> Result<f64, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
    std::fs::write(folder.join("pipeline.toml"), pipeline).map_err(failed)?;
    let arguments = ["run", "--json", "--no-progress", "--allow-non-restored-state", "pipeline.toml"];
    let mut child = host(places, folder, &arguments).spawn().map_err(failed)?;
    std::thread::sleep(Duration::from_millis(2_500));
    child.kill().map_err(failed)?;
    child.wait().map_err(failed)?;
    let output = host(places, folder, &arguments).output().map_err(failed)?;
    if !output.status.success() {
        return Err(said(folder, &output));
    }
    let report: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|e| format!("the report is no JSON: {e}"))?;
    report["first_row_ms"].as_f64().ok_or_else(|| format!("the run ended before it was killed: {report}"))
}
