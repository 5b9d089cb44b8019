//! What the host's own columns say of the rows that came out.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;

use super::by_the_model;

/// The columns that the pipelines of this module write.
pub(super) const FIELDS: &str =
    r#"["score", "prediction_source", "error_class", "model_version", "attempts", "latency_ms"]"#;

/// One row.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Row {
    pub transaction_id: Option<i64>,
    pub amount: Option<f64>,
    pub score: Option<f64>,
    pub prediction_source: Option<String>,
    pub error_class: Option<String>,
    pub attempts: Option<u64>,
    pub latency_ms: Option<f64>,
}

/// Sums over an output.
#[derive(Clone, Debug, Default)]
pub(super) struct Summary {
    pub rows: u64,
    /// Rows that the model itself answered.
    pub by_model: u64,
    pub sources: BTreeMap<String, u64>,
    pub errors: BTreeMap<String, u64>,
    /// Rows that took more than one attempt.
    pub retried: u64,
    /// Milliseconds, of rows that the model answered; sorted by `quantile`.
    pub latencies: Vec<f64>,
}

impl Summary {
    pub(super) fn add(&mut self, row: &Row) {
        self.rows += 1;
        let source = row.prediction_source.as_deref().unwrap_or("none");
        *self.sources.entry(source.to_owned()).or_default() += 1;
        if let Some(class) = row.error_class.as_deref().filter(|class| !class.is_empty()) {
            *self.errors.entry(class.to_owned()).or_default() += 1;
        }
        self.retried += u64::from(row.attempts.is_some_and(|n| n > 1));
        if by_the_model(source) {
            self.by_model += 1;
            self.latencies.extend(row.latency_ms);
        }
    }

    /// A quantile of the latencies; NaN when there are none.
    pub(super) fn quantile(&mut self, q: f64) -> f64 {
        quantile(&mut self.latencies, q)
    }
}

/// A quantile; NaN of nothing.
pub(super) fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = ((values.len() as f64 * q) as usize).min(values.len().saturating_sub(1));
    values.get(at).copied().unwrap_or(f64::NAN)
}

/// Reads an output, without its first rows.
pub(super) fn read(path: &Path, skip: usize, mut each: impl FnMut(&Row)) -> Result<(), String> {
    let file = File::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
    for line in BufReader::new(file).lines().skip(skip) {
        let line = line.map_err(|e| format!("{}: {e}", path.display()))?;
        each(&serde_json::from_str(&line).map_err(|e| format!("{}: {e}: {line}", path.display()))?);
    }
    Ok(())
}

/// Sums over an output, without its first rows.
pub(super) fn summary(path: &Path, skip: usize) -> Result<Summary, String> {
    let mut summary = Summary::default();
    read(path, skip, |row| summary.add(row))?;
    Ok(summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_fallback_have_no_share_in_the_latency() {
        let mut sum = Summary::default();
        for line in [
            r#"{"score":1.0,"prediction_source":"primary","error_class":null,"attempts":1,"latency_ms":50.5}"#,
            r#"{"score":1.0,"prediction_source":"retry","error_class":"","attempts":2,"latency_ms":80}"#,
            r#"{"score":0.5,"prediction_source":"constant","error_class":"timeout","attempts":3,"latency_ms":900}"#,
        ] {
            sum.add(&serde_json::from_str(line).unwrap());
        }
        assert_eq!((sum.rows, sum.by_model, sum.retried, sum.errors["timeout"]), (3, 2, 2, 1));
        assert_eq!((sum.quantile(0.0), sum.quantile(0.99)), (50.5, 80.0));
        assert!(quantile(&mut [], 0.5).is_nan());
    }
}
