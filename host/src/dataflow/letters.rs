//! Rows that could not be processed, as dead letters.

use std::sync::Arc;

use super::failure::Failure;
use crate::codec::{Encoder, Format};
use crate::record::{Batch, DeadLetter};

/// Where rejected rows came from.
pub(crate) struct Rejected<'a> {
    pub operator: &'a str,
    pub source: &'a Arc<str>,
    pub partition: Arc<str>,
}

impl Rejected<'_> {
    /// Appends a letter for each of `rows` (index and reason) of a batch.
    pub(crate) fn write(
        &self,
        batch: &Batch,
        rows: impl Iterator<Item = (u32, String)>,
        letters: &mut Vec<DeadLetter>,
    ) -> Result<(), Failure> {
        let failed = |e: String| Failure::new(format!("operator `{}`", self.operator), e);
        let operator: Arc<str> = Arc::from(self.operator);
        let mut encoder =
            Encoder::new(Format::Json, batch.columns.schema_ref(), None).map_err(|e| failed(e.to_string()))?;
        for (row, reason) in rows {
            let mut raw = Vec::new();
            let at = (row as usize).min(batch.rows());
            let one = batch.columns.slice(at, usize::from(at < batch.rows()));
            encoder.encode(&one, &mut raw).map_err(|e| failed(e.to_string()))?;
            raw.truncate(raw.trim_ascii_end().len());
            letters.push(DeadLetter {
                source: Arc::clone(self.source),
                partition: Arc::clone(&self.partition),
                offset: batch.offsets.get(at).copied().unwrap_or_default(),
                operator: Arc::clone(&operator),
                reason,
                raw,
            });
        }
        Ok(())
    }
}
