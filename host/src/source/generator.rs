//! Rows that the host makes, as fast as they are taken or on an open-loop schedule.

use std::time::Instant;

use super::pace::Pace;
use super::text::{Lines, VectorLines};
use super::vectors::Vectors;
use super::{Chunk, Config, Error, Generator, GeneratorKind, Next, Output, Source};
use crate::codec::{Format, Limits};
use crate::record::Position;

/// Makes the rows of a generator.
pub(super) trait Make: Send {
    /// The next rows: at least one and at most `most`. `first` is the place of the first one.
    /// Returns also how many they are.
    fn make(&mut self, first: u64, most: usize) -> (Chunk, u64);
}

struct GeneratorSource {
    name: String,
    settings: Generator,
    batch_rows: usize,
    make: Box<dyn Make>,
}

/// A generator as the settings say.
pub(super) fn open(config: &Config, settings: &Generator, limits: Limits) -> Result<Box<dyn Source>, String> {
    if settings.rate == Some(0) {
        return Err("rate = 0 makes no rows; leave it out for as many as can be taken".into());
    }
    let make: Box<dyn Make> = match settings.kind {
        GeneratorKind::Transactions => Box::new(Lines::transactions(config.format, settings, limits)),
        GeneratorKind::Vectors(size) => Box::new(Vectors::new(&config.schema, size, settings.seed, limits.rows)?),
        GeneratorKind::VectorLines(size) => {
            if config.format != Format::Json {
                return Err("vectors as text are JSON lines; set format = \"json\"".into());
            }
            Box::new(Lines::new(VectorLines::new(size, settings.seed), limits, None))
        }
    };
    let (name, settings) = (config.name.clone(), settings.clone());
    Ok(Box::new(GeneratorSource { name, settings, batch_rows: limits.rows.max(1), make }))
}

impl Source for GeneratorSource {
    fn run(mut self: Box<Self>, start: &[Position], output: &mut dyn Output) -> Result<(), Error> {
        let start = start.iter().find(|p| p.partition == self.name).cloned();
        let start = start.unwrap_or_else(|| Position::new(&self.name, 1));
        // The same seed makes the same rows: those that were taken already are made again.
        let skipped = start.next.saturating_sub(1);
        let mut again = 0;
        while again < skipped && !output.stopped() {
            let most = usize::try_from(skipped - again).unwrap_or(usize::MAX).min(self.batch_rows);
            again += self.make.make(again + 1, most).1.max(1);
        }
        let partition = output.open(start);
        let pace = Pace::new(Instant::now(), self.settings.rate);
        let total = self.settings.rows.unwrap_or(u64::MAX).saturating_sub(skipped);
        let mut made = 0;
        while made < total && !output.stopped() && pace.wait(made, || output.stopped()) {
            let due = pace.rows_due(Instant::now()).min(total).saturating_sub(made).max(1);
            let since = pace.due(made);
            let most = usize::try_from(due).unwrap_or(usize::MAX).min(self.batch_rows);
            let (chunk, rows) = self.make.make(skipped + made + 1, most);
            made += rows.max(1);
            let next = Next { place: skipped + made + 1, ..Next::default() };
            if output.send(partition, chunk, next, since).is_err() {
                break;
            }
        }
        Ok(())
    }
}
