//! Writes generated transactions to a file.

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;

use super::Error;
use crate::codec::{Compression, Format};
use crate::dataflow::{Sink, SinkRows};
use crate::progress::Progress;
use crate::report::Generated;
use crate::sink::{self, Connector};
use crate::source::transactions::{Generator, Settings};

/// Rows between two updates of the progress.
const STEP: u64 = 10_000;
/// Bytes handed to the sink at once.
const CHUNK: usize = 1 << 18;

/// Settings of generated transactions; what is `None` is left to the generator.
#[derive(Clone, Debug)]
pub struct Transactions {
    /// Rows to write.
    pub rows: u64,
    /// Seed of the random numbers.
    pub seed: u64,
    /// Days that the rows fill.
    pub days: Option<u32>,
    /// Number of users.
    pub users: Option<u32>,
    /// Number of terminals.
    pub terminals: Option<u32>,
    /// Exponent of the users' activity.
    pub zipf: Option<f64>,
    /// The file: format and compression by its name; standard output when absent.
    pub out: Option<PathBuf>,
}

/// Writes generated transactions.
///
/// # Errors
/// When the file cannot be written.
pub fn generate_transactions(options: &Transactions, progress: &Progress) -> Result<Generated, Error> {
    let settings = settings(options);
    let format = match options.out.as_deref().map(|p| p.to_string_lossy().into_owned()) {
        Some(name) if name.trim_end_matches(".gz").trim_end_matches(".zst").ends_with(".csv") => Format::Csv,
        _ => Format::Json,
    };
    let connector = match &options.out {
        Some(path) => Connector::File { path: path.clone(), compression: Compression::Auto },
        None => Connector::Stdout,
    };
    let config = sink::Config { name: "generate".into(), connector, format, fields: None };
    let failed = |e: sink::Error| Error::Failed(e.message);
    let mut sink = BufWriter::with_capacity(
        CHUNK,
        Writing { sink: sink::open(&config, None, &sink::KafkaParts::default()).map_err(failed)?, bytes: 0 },
    );
    let io = |e: std::io::Error| Error::Failed(e.to_string());
    if format == Format::Csv {
        sink.write_all(Generator::header_csv()).map_err(io)?;
    }
    let mut generator = Generator::new(&settings);
    let (mut line, mut fraud) = (Vec::new(), 0);
    for row in 1..=options.rows {
        line.clear();
        match format {
            Format::Json => generator.next_json(&mut line),
            Format::Csv => generator.next_csv(&mut line),
        }
        // The label is the last field of both forms.
        fraud += u64::from(line.ends_with(b"1}\n") || line.ends_with(b",1\n"));
        sink.write_all(&line).map_err(io)?;
        if row % STEP == 0 {
            progress.rows_out.store(row, Relaxed);
        }
    }
    let written = sink.into_inner().map_err(|e| Error::Failed(e.to_string()))?;
    written.sink.finish().map_err(failed)?;
    progress.rows_out.store(options.rows, Relaxed);
    Ok(Generated { rows: options.rows, fraud, bytes: written.bytes })
}

fn settings(options: &Transactions) -> Settings {
    let default = Settings::default();
    Settings {
        seed: options.seed,
        rows: options.rows,
        days: options.days.unwrap_or(default.days),
        users: options.users.unwrap_or(default.users),
        terminals: options.terminals.unwrap_or(default.terminals),
        zipf: options.zipf.unwrap_or(default.zipf),
        ..default
    }
}

/// A sink as a writer, counting.
struct Writing {
    sink: Box<dyn Sink>,
    bytes: u64,
}

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let rows = SinkRows { bytes: bytes.to_vec(), ..SinkRows::default() };
        self.sink.write(&rows).map_err(std::io::Error::other)?;
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.sink.flush().map_err(std::io::Error::other)
    }
}
