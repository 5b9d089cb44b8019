//! Generated rows as text, for what is to be decoded like any other input.

use std::io::Write;
use std::sync::Arc;

use super::generator::Make;
use super::transactions::{Generator as Transactions, Settings};
use super::vectors::Random;
use super::{Chunk, Generator};
use crate::codec::{Format, Limits};
use crate::record::RawBlock;

/// Makes one line at a time.
pub(super) trait NextLine: Send {
    /// Appends the next line, its end included, to `out`.
    fn next_line(&mut self, out: &mut Vec<u8>);
}

/// Blocks of lines.
pub(super) struct Lines<L> {
    lines: L,
    limits: Limits,
    header: Option<Arc<[u8]>>,
    /// Length of the last block, as the next one will be like it.
    last: usize,
}

impl<L> Lines<L> {
    pub fn new(lines: L, limits: Limits, header: Option<Arc<[u8]>>) -> Self {
        Self { lines, limits, header, last: 0 }
    }
}

impl Lines<TransactionLines> {
    /// Transactions of the generator's seed.
    pub fn transactions(format: Format, generator: &Generator, limits: Limits) -> Self {
        let mut settings = Settings { seed: generator.seed, ..Settings::default() };
        settings.rows = generator.rows.unwrap_or(settings.rows);
        let header = (format == Format::Csv).then(|| Transactions::header_csv().trim_ascii_end().into());
        Self::new(TransactionLines { transactions: Transactions::new(&settings), format }, limits, header)
    }
}

impl<L: NextLine> Make for Lines<L> {
    fn make(&mut self, first: u64, most: usize) -> (Chunk, u64) {
        let mut bytes = Vec::with_capacity(self.last);
        let mut ends = Vec::with_capacity(most);
        while ends.len() < most && (ends.is_empty() || bytes.len() < self.limits.bytes) {
            self.lines.next_line(&mut bytes);
            ends.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        }
        self.last = bytes.len();
        let rows = ends.len() as u64;
        let header = self.header.clone();
        (Chunk::Raw(RawBlock { bytes, ends, first_offset: first, header, ..RawBlock::default() }), rows)
    }
}

/// Card transactions.
pub(super) struct TransactionLines {
    transactions: Transactions,
    format: Format,
}

impl NextLine for TransactionLines {
    fn next_line(&mut self, out: &mut Vec<u8>) {
        match self.format {
            Format::Json => self.transactions.next_json(out),
            Format::Csv => self.transactions.next_csv(out),
        }
    }
}

/// Vectors as JSON lines: a pool of lines, over and over, as they are to cost nothing.
pub(super) struct VectorLines {
    pool: Vec<Vec<u8>>,
    next: usize,
}

/// Bytes of the pool, about: more than the caches of a core hold, so that lines are not free to read.
const POOL_BYTES: usize = 4 << 20;

impl VectorLines {
    /// Lines `{"features":[…]}` of `size` numbers with six decimals.
    pub fn new(size: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let count = (POOL_BYTES / (size.max(1) * 10)).clamp(1, 4096);
        let pool = (0..count).map(|_| Self::line(size, &mut random)).collect();
        Self { pool, next: 0 }
    }

    fn line(size: usize, random: &mut Random) -> Vec<u8> {
        let mut line = b"{\"features\":[".to_vec();
        for index in 0..size {
            let comma = if index > 0 { "," } else { "" };
            // Writing to a vector cannot fail.
            let _ = write!(line, "{comma}{:.6}", random.float());
        }
        line.extend_from_slice(b"]}\n");
        line
    }
}

impl NextLine for VectorLines {
    fn next_line(&mut self, out: &mut Vec<u8>) {
        if let Some(line) = self.pool.get(self.next) {
            out.extend_from_slice(line);
        }
        self.next = (self.next + 1) % self.pool.len().max(1);
    }
}
