//! The counters of a run in the text format of Prometheus. The number of series is bounded by the
//! pipeline file and the partitions that it reads.

use std::fmt::{Display, Write};

use super::Inference;
use crate::dataflow::LatencySummary;
use crate::epoch::EpochSummary;

/// How a run is doing.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Whether rows flow; not while it starts or is rewound.
    pub running: bool,
    /// Rows read.
    pub rows_in: u64,
    /// Bytes read, after decompression.
    pub bytes_in: u64,
    /// Rows between sources and sinks.
    pub in_flight: u64,
    /// Rows that became dead letters.
    pub dead_letters: u64,
    /// From a row's arrival until it is out.
    pub latency: LatencySummary,
    /// By sink.
    pub sinks: Vec<SinkFacts>,
    /// Of the epochs.
    pub epochs: EpochSummary,
    /// By operator, the generation that runs.
    pub generations: Vec<Generation>,
    /// By partition.
    pub lag: Vec<Lag>,
    /// By inference operator that answers later.
    pub inference: Vec<Inference>,
}

/// What a sink took.
#[derive(Clone, Debug, Default)]
pub struct SinkFacts {
    /// Its name.
    pub name: String,
    /// Rows.
    pub rows: u64,
    /// Bytes, before compression.
    pub bytes: u64,
}

/// The generation that an operator runs.
#[derive(Clone, Debug, Default)]
pub struct Generation {
    /// The operator.
    pub operator: String,
    /// Number of the generation.
    pub number: u64,
    /// Version of the plugin.
    pub version: String,
    /// SHA-256 of the plugin.
    pub sha256: String,
}

/// How far a partition is behind.
#[derive(Clone, Debug, Default)]
pub struct Lag {
    /// The source.
    pub source: String,
    /// Its partition.
    pub partition: String,
    /// Records that were not read yet.
    pub records: u64,
}

/// All of it as text.
pub fn render(facts: &Facts) -> String {
    let mut text = Text::default();
    let none: &[(&str, &str)] = &[];
    text.family("running", "gauge", "Whether rows flow: 1, or 0 while it starts or is rewound");
    text.line("running", &[("pipeline", &facts.pipeline)], u8::from(facts.running));
    for (name, help, value) in [
        ("source_rows_total", "Rows read", facts.rows_in),
        ("source_bytes_total", "Bytes read, after decompression", facts.bytes_in),
        ("dead_letters_total", "Rows that became dead letters", facts.dead_letters),
        ("epochs_total", "Epochs committed", facts.epochs.committed),
        ("epochs_empty_total", "Epochs in which nothing changed, which leave no record", facts.epochs.empty),
        ("epochs_stretched_total", "Barriers that waited for the epochs before them", facts.epochs.stretched),
        ("epoch_bytes_total", "Bytes of epoch records", facts.epochs.bytes),
        ("rewinds_total", "Returns to the last committed epoch", facts.epochs.rewinds),
    ] {
        text.family(name, "counter", help);
        text.line(name, none, value);
    }
    text.family("in_flight_rows", "gauge", "Rows between sources and sinks");
    text.line("in_flight_rows", none, facts.in_flight);
    text.family("epoch", "gauge", "The newest committed epoch");
    text.line("epoch", none, facts.epochs.last);
    text.family("failures_total", "counter", "Failures by the part that failed");
    for (part, count) in &facts.epochs.failures {
        text.line("failures_total", &[("part", part)], count);
    }
    text.family("sink_rows_total", "counter", "Rows written");
    for sink in &facts.sinks {
        text.line("sink_rows_total", &[("sink", &sink.name)], sink.rows);
    }
    text.family("sink_bytes_total", "counter", "Bytes written, before compression");
    for sink in &facts.sinks {
        text.line("sink_bytes_total", &[("sink", &sink.name)], sink.bytes);
    }
    text.family("latency_seconds", "gauge", "From a row's arrival until it is out, since the start");
    let l = &facts.latency;
    for (quantile, us) in [("0.5", l.p50_us), ("0.9", l.p90_us), ("0.99", l.p99_us), ("1", l.max_us)] {
        text.line("latency_seconds", &[("quantile", quantile)], seconds(us));
    }
    text.family("epoch_step_seconds", "gauge", "Duration of each step of an epoch, since the start");
    for (step, s) in &facts.epochs.steps {
        for (quantile, us) in [("0.5", s.p50_us), ("0.99", s.p99_us), ("1", s.max_us)] {
            text.line("epoch_step_seconds", &[("step", step), ("quantile", quantile)], seconds(us));
        }
    }
    text.family("generation", "gauge", "Number of the plugin generation that an operator runs");
    for g in &facts.generations {
        let labels = [("operator", g.operator.as_str()), ("version", &g.version), ("sha256", &g.sha256)];
        text.line("generation", &labels, g.number);
    }
    text.family("source_lag_records", "gauge", "Records of a partition that were not read yet");
    for lag in &facts.lag {
        text.line("source_lag_records", &[("source", &lag.source), ("partition", &lag.partition)], lag.records);
    }
    super::inference::render(&facts.inference, &mut text);
    text.0
}

fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

/// The text as it grows.
#[derive(Default)]
pub(super) struct Text(pub(super) String);

// Writing to a string cannot fail.
impl Text {
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP millstream_{name} {help}.\n# TYPE millstream_{name} {kind}");
    }

    pub(super) fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.0, "millstream_{name}");
        for (index, (label, value)) in labels.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{value}\"", if index == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_has_a_type_and_a_value_and_labels_are_escaped() {
        let facts = Facts {
            pipeline: "fraud".into(),
            running: true,
            rows_in: 7,
            sinks: vec![SinkFacts { name: "out\"".into(), rows: 3, bytes: 30 }],
            lag: vec![Lag { source: "in".into(), partition: "topic/0".into(), records: 12 }],
            ..Facts::default()
        };
        let text = render(&facts);
        for line in [
            "millstream_running{pipeline=\"fraud\"} 1",
            "millstream_source_rows_total 7",
            "millstream_sink_rows_total{sink=\"out\\\"\"} 3",
            "millstream_source_lag_records{source=\"in\",partition=\"topic/0\"} 12",
        ] {
            assert!(text.lines().any(|l| l == line), "`{line}` is missing in\n{text}");
        }
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            assert!(text.contains(&format!("# TYPE {name} ")), "{name} has no type");
            assert!(line.rsplit(' ').next().is_some_and(|v| v.parse::<f64>().is_ok()), "{line}");
        }
    }
}
