//! `millstream run`: a pipeline from its first row to its last, and what it did.

use clap::Args;

use super::exit::Failure;
use super::numbers;
use super::output::Output;
use super::pipeline::PipelineArguments;
use super::progress::ProgressLine;
use super::table::{Align, Table};
use crate::config::Pipeline;
use crate::report::Report;
use crate::{app, sink};

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Draw no progress line
    #[arg(long)]
    no_progress: bool,
    /// Begin with this savepoint; a pipeline that has gone on from it already goes on where it is
    #[arg(long, value_name = "NAME")]
    from_savepoint: Option<String>,
    /// Leave out positions and state of sources and operators that the pipeline no longer has
    #[arg(long)]
    allow_non_restored_state: bool,
    /// Go on from this epoch, against what the log or Kafka says; for when one of them was lost
    #[arg(long, value_name = "EPOCH")]
    resume_from: Option<u64>,
}

pub(super) fn execute(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let (pipeline, warnings) = arguments.pipeline.load()?;
    if output.json
        && let Some(name) = stdout_sink(&pipeline)
    {
        return Err(Failure::Usage(format!(
            "--json and sink `{name}` both write to standard output; give the sink a file, as in \
             `--set sink.{name}.connector=file --set sink.{name}.path=out.jsonl`"
        )));
    }
    if !output.json {
        output.warnings(&warnings);
    }
    let line = ProgressLine::start(!arguments.no_progress && !output.json);
    let beginning = app::Beginning {
        allow_non_restored_state: arguments.allow_non_restored_state,
        resume_from: arguments.resume_from,
    };
    let progress = line.progress().clone();
    let options = app::Options { progress, beginning, savepoint: arguments.from_savepoint.clone() };
    let result = app::run(pipeline, options);
    // Takes the line away before anything else is written.
    drop(line);
    let report = result?;
    if output.json {
        return output.object(&report);
    }
    output.note(&describe(&report));
    Ok(())
}

fn stdout_sink(pipeline: &Pipeline) -> Option<&str> {
    let is_stdout = |c: &&sink::Config| matches!(c.connector, sink::Connector::Stdout);
    pipeline.sinks.iter().map(|(config, _)| config).find(is_stdout).map(|c| c.name.as_str())
}

/// The report as a short table.
fn describe(report: &Report) -> String {
    let how = if report.stopped { "stopped and drained" } else { "finished" };
    let title = format!("{} {how} in {}\n\n", report.pipeline, numbers::seconds(report.elapsed_seconds));
    let mut rows = Table::new(&[Align::Left, Align::Right]);
    rows.row(["rows in", &numbers::count(report.rows_in)]);
    for sink in &report.sinks {
        let count = numbers::count(sink.rows);
        match &sink.path {
            Some(path) => rows.row([format!("rows to {}", sink.name), count, path.display().to_string()]),
            None => rows.row([format!("rows to {}", sink.name), count]),
        }
    }
    rows.row(["dead letters", &numbers::count(report.dead_lettered)]);
    for generation in &report.generations {
        rows.row([
            format!("rows by {}", generation.operator),
            numbers::count(generation.rows),
            match generation.since_epoch {
                // The one that the run began with.
                0 => format!("generation {} ({})", generation.generation, generation.version),
                since => format!("generation {} ({}) since epoch {since}", generation.generation, generation.version),
            },
        ]);
    }
    for inference in &report.inference {
        for (source, count) in &inference.rows {
            rows.row([format!("rows by {}", inference.operator), numbers::count(*count), source.replace('_', " ")]);
        }
        if inference.rejected > 0 {
            rows.row([
                format!("rows by {}", inference.operator),
                numbers::count(inference.rejected),
                "no answer".into(),
            ]);
        }
    }
    let mut facts = Table::default();
    facts.row(["throughput", &format!("{} rows/s", numbers::count(report.rows_per_second.max(0.0).round() as u64))]);
    if let Some(l) = &report.latency {
        let [p50, p90, p99, max] = [l.p50_us, l.p90_us, l.p99_us, l.max_us].map(numbers::microseconds);
        facts.row(["latency", &format!("p50 {p50}  p90 {p90}  p99 {p99}  max {max}")]);
    }
    for inference in &report.inference {
        let failed: Vec<String> =
            inference.failures.iter().map(|(class, n)| format!("{} {class}", numbers::count(*n))).collect();
        let mut calls = format!("{} calls", numbers::count(inference.requests));
        if let Some(mean) = inference.mean_call_us {
            calls += &format!(", mean {}", numbers::microseconds(mean));
        }
        if !failed.is_empty() {
            calls += &format!("; failed: {}", failed.join(", "));
        }
        facts.row([&format!("model of {}", inference.operator), &calls]);
    }
    facts.row(["CPU per row", &numbers::microseconds(report.cpu_seconds_per_row * 1e6)]);
    facts.row(["peak memory", &numbers::bytes(report.peak_memory_bytes)]);
    format!("{title}{}\n{}", rows.render(2), facts.render(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{GenerationReport, Latency, SinkReport};

    #[test]
    fn the_report_is_a_short_aligned_table() {
        let generation = |generation, version: &str, rows, since_epoch| GenerationReport {
            operator: "user-features".into(),
            generation,
            version: version.into(),
            rows,
            since_epoch,
            ..GenerationReport::default()
        };
        let report = Report {
            pipeline: "fraud-scoring".into(),
            rows_in: 1_000_000,
            sinks: vec![
                SinkReport { name: "scores".into(), rows: 999_998, path: Some("out/s.jsonl".into()), bytes: 5 },
                SinkReport { name: "rejected".into(), rows: 2, ..SinkReport::default() },
            ],
            dead_lettered: 2,
            generations: vec![generation(1, "1.0.0", 400_000, 0), generation(2, "1.1.0", 600_000, 3)],
            elapsed_seconds: 1.42,
            rows_per_second: 704_225.4,
            latency: Some(Latency { p50_us: 210.0, p90_us: 480.0, p99_us: 1_230.0, max_us: 18_400.0 }),
            cpu_seconds_per_row: 0.41e-6,
            peak_memory_bytes: 191_000_000,
            ..Report::default()
        };
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("run_report", describe(&report));
        });
    }
}
