//! The pipelines that are measured, as a user would write them.

use crate::{Job, plugin, root};

/// Where rows come from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// Vectors of 15 numbers that the host makes, so many a second, or as many as are taken.
    Vectors { rate: Option<u64>, rows: u64 },
    /// Transactions that the host makes, through the features of the fraud example.
    Enriched { rate: u64, rows: u64 },
    /// The file `transactions.jsonl`; the amount is the only feature.
    File,
}

/// What differs from one scenario to the next.
#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    pub source: Source,
    pub urls: Vec<String>,
    pub order: &'static str,
    pub capacity: usize,
    /// Rows of a request.
    pub batch: usize,
    /// Whether the limit of requests in flight adapts.
    pub adaptive: bool,
    pub http2: bool,
    /// Further keys of the operator, and its tables.
    pub keys: &'static str,
    pub tables: &'static str,
}

impl Pipeline {
    pub(super) fn new(source: Source, urls: &[String], capacity: usize) -> Self {
        Self {
            source,
            urls: urls.to_vec(),
            order: "unordered",
            capacity,
            batch: 1,
            adaptive: false,
            http2: false,
            keys: "",
            tables: "",
        }
    }

    fn source(&self) -> String {
        let vectors = |rate: Option<u64>, rows| {
            let rate = rate.map_or(String::new(), |rate| format!("rate = {rate}\n"));
            format!(
                "[source.rows]\nconnector = \"generator\"\nkind = \"vectors\"\nsize = 15\nseed = 1\nrows = {rows}\n{rate}"
            )
        };
        match self.source {
            Source::Vectors { rate, rows } => vectors(rate, rows),
            Source::Enriched { rate, rows } => {
                let head =
                    "[source.rows]\nconnector = \"generator\"\nkind = \"transactions\"\nformat = \"json\"\nseed = 1\n";
                format!("{head}rate = {rate}\nrows = {rows}\n{FIELDS}{FEATURES}")
            }
            Source::File => format!("[source.rows]\nconnector = \"file\"\npath = \"transactions.jsonl\"\n{FIELDS}"),
        }
    }

    /// The file.
    pub(super) fn text(&self) -> String {
        let (inputs, features) = match self.source {
            Source::Vectors { .. } => ("rows", "\"features\""),
            Source::Enriched { .. } => ("feature-vector", "\"features\""),
            Source::File => ("rows", "[\"amount\"]"),
        };
        let fields = match self.source {
            Source::File => super::rows::FIELDS.replacen('[', "[\"transaction_id\", \"amount\", ", 1),
            _ => super::rows::FIELDS.to_owned(),
        };
        let Self { urls, order, capacity, batch, adaptive, http2, keys, tables, .. } = self;
        let plugins = root().join("bin/plugins");
        let plugins = std::env::var("MILLSTREAM_PLUGINS").unwrap_or_else(|_| plugins.display().to_string());
        format!(
            "[pipeline]\nname = \"inference\"\ndead_letters = \"rejected\"\n\
             [checkpoint]\ninterval = \"1s\"\n[state]\npath = \"state\"\n\
             [plugins]\nfolder = \"{plugins}\"\nwatch = false\n{source}\n\
             [operator.score]\nkind = \"inference\"\ninputs = [\"{inputs}\"]\nmodel = \"m\"\nfeatures = {features}\n\
             output = \"score\"\norder = \"{order}\"\ncapacity = {capacity}\n{keys}\n\
             [operator.score.endpoint]\nprotocol = \"oip-v2\"\nurls = {urls:?}\nbinary = true\nhttp2 = {http2}\n\
             [operator.score.batch]\nmax_rows = {batch}\n\
             [operator.score.concurrency]\nadaptive = {adaptive}\n{tables}\n\
             [sink.out]\nconnector = \"file\"\ninputs = [\"score\"]\npath = \"out.jsonl\"\nformat = \"json\"\nfields = {fields}\n\
             [sink.rejected]\nconnector = \"file\"\ninputs = []\npath = \"rejected.jsonl\"\nformat = \"json\"\n",
            source = self.source(),
        )
    }

    /// It, in a folder of its own.
    pub(super) fn job(&self) -> Job {
        if let Source::Enriched { .. } = self.source {
            // Says what to do when they are not built.
            let _ = ["feature-enrichment", "terminal-activity", "feature-vector"].map(plugin);
        }
        Job::new(&self.text())
    }
}

const FIELDS: &str = r#"event_time = "timestamp"
[source.rows.fields]
transaction_id = "i64"
timestamp = "timestamp"
user_id = "utf8"
terminal_id = "utf8"
amount = "f64"
"#;

const FEATURES: &str = r#"
[operator.user-features]
plugin = "feature-enrichment"
inputs = ["rows"]
key = "user_id"
[operator.terminal-features]
plugin = "terminal-activity"
inputs = ["user-features"]
key = "terminal_id"
[operator.feature-vector]
plugin = "feature-vector"
inputs = ["terminal-features"]
forward = ["transaction_id", "user_id"]
"#;
