//! The pipelines that are measured, as a user would write them.

use std::path::Path;

/// `[pipeline]` and what every pipeline of a benchmark shares.
pub(super) fn head(name: &str, workers: Option<usize>, plugins: &Path) -> String {
    let workers = workers.map_or(String::new(), |w| format!("workers = {w}\n"));
    let plugins = plugins.display();
    format!(
        "[pipeline]\nname = \"{name}\"\n{workers}\n[state]\npath = \"state\"\n\n[plugins]\nfolder = \"{plugins}\"\nwatch = false\n\n"
    )
}

/// A file of transactions, with the fields that a pipeline reads of them.
pub(super) fn transactions(input: &Path) -> String {
    format!(
        "[source.transactions]\nconnector = \"file\"\npath = \"{}\"\nformat = \"json\"\n{TRANSACTIONS}",
        input.display()
    )
}

/// Transactions made at a rate.
pub(super) fn generated_transactions(rate: u64, rows: u64) -> String {
    format!(
        "[source.transactions]\nconnector = \"generator\"\nkind = \"transactions\"\nformat = \"json\"\nseed = 1\nrate = {rate}\nrows = {rows}\n{TRANSACTIONS}"
    )
}

const TRANSACTIONS: &str = r#"event_time = "timestamp"
[source.transactions.fields]
transaction_id = "i64"
timestamp = "timestamp"
user_id = "utf8"
terminal_id = "utf8"
amount = "f64"
fraud = "i32"

"#;

/// Last amount, ratio, count and mean over 24 h, to a file.
pub(super) const ENRICH: &str = r#"[operator.enrich]
plugin = "simple-enrichment"
inputs = ["transactions"]
key = "user_id"
forward = ["transaction_id", "user_id", "amount", "timestamp"]

[sink.out]
connector = "file"
inputs = ["enrich"]
path = "out.jsonl"
format = "json"
"#;

/// Features per user and per terminal, and a model.
pub(super) fn fraud(model: &Path) -> String {
    format!(
        r#"[models.fraud]
path = "{}"

[operator.user-features]
plugin = "feature-enrichment"
inputs = ["transactions"]
key = "user_id"

[operator.terminal-features]
plugin = "terminal-activity"
inputs = ["user-features"]
key = "terminal_id"

[operator.feature-vector]
plugin = "feature-vector"
inputs = ["terminal-features"]
forward = ["transaction_id", "user_id", "terminal_id", "fraud"]

[operator.score]
kind = "inference"
inputs = ["feature-vector"]
model = "fraud"
features = "features"
output = "score"

[sink.out]
connector = "file"
inputs = ["score"]
path = "out.jsonl"
format = "json"
fields = ["transaction_id", "user_id", "terminal_id", "fraud", "score", "model_version"]
"#,
        model.display()
    )
}

/// Vectors of 128 floats through the 128→64→64→1 network. `text` makes them JSON lines of 1.2 KB.
pub(super) fn vectors(model: &Path, text: bool, pace: &str, sink: &str) -> String {
    let kind = if text { "vector-lines" } else { "vectors" };
    format!(
        r#"[models.mlp]
path = "{}"

[source.vectors]
connector = "generator"
kind = "{kind}"
size = 128
seed = 1
{pace}

[operator.score]
kind = "inference"
inputs = ["vectors"]
model = "mlp"
features = "features"
output = "score"
provenance = false

[sink.out]
inputs = ["score"]
format = "json"
fields = ["score"]
{sink}
"#,
        model.display()
    )
}

pub(super) const TO_FILE: &str = "connector = \"file\"\npath = \"out.jsonl\"";
pub(super) const TO_NOWHERE: &str = "connector = \"blackhole\"";
