//! The exchange: rows go to the worker that owns the key group of their key, and the shares of a
//! block that several workers send are merged in the order of the source.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::interleave_record_batch;
use arrow::error::ArrowError;

use crate::record::{Batch, KEY_GROUPS, KeyHash, hash_keys, key_group};

/// Which worker owns which key group.
#[derive(Clone, Debug)]
pub(crate) struct Routing {
    owner: Vec<u16>,
    workers: usize,
}

impl Routing {
    /// Key groups in equal contiguous ranges.
    pub(crate) fn even(workers: usize) -> Self {
        let owner = (0..usize::from(KEY_GROUPS)).map(|g| (g * workers / usize::from(KEY_GROUPS)) as u16).collect();
        Self { owner, workers }
    }

    fn owner(&self, hash: KeyHash) -> u16 {
        self.owner[usize::from(key_group(hash))]
    }
}

/// Splits batches by the owner of each row's key. Keeps its scratch memory between batches.
#[derive(Debug)]
pub(crate) struct Router {
    routing: Routing,
    hashes: Vec<KeyHash>,
    rows: Vec<Vec<u32>>,
}

impl Router {
    pub(crate) fn new(routing: Routing) -> Self {
        let rows = vec![Vec::new(); routing.workers];
        Self { routing, hashes: Vec::new(), rows }
    }

    /// Calls `send(worker, batch)` with each worker's rows, in their order; workers without rows
    /// are left out.
    pub(crate) fn route(
        &mut self,
        batch: Batch,
        key: usize,
        mut send: impl FnMut(usize, Batch),
    ) -> Result<(), ArrowError> {
        if batch.is_empty() {
            return Ok(());
        }
        if self.routing.workers == 1 {
            send(0, batch);
            return Ok(());
        }
        self.hashes.clear();
        let column = batch.columns.column(key);
        if !hash_keys(column, &mut self.hashes) {
            let message = format!("a column of type {} cannot be a key", column.data_type());
            return Err(ArrowError::InvalidArgumentError(message));
        }
        self.rows.iter_mut().for_each(Vec::clear);
        for (row, &hash) in self.hashes.iter().enumerate() {
            self.rows[usize::from(self.routing.owner(hash))].push(row as u32);
        }
        if let Some(only) = self.rows.iter().position(|r| r.len() == batch.rows()) {
            send(only, batch);
            return Ok(());
        }
        for (worker, rows) in self.rows.iter_mut().enumerate() {
            if !rows.is_empty() {
                let indices = UInt32Array::from(std::mem::take(rows));
                send(worker, batch.take(&indices)?);
                // The buffer comes back unless a column kept it, which `take` does not do.
                if let Ok(buffer) = indices.into_parts().1.into_inner().into_vec::<u32>() {
                    *rows = buffer;
                }
            }
        }
        Ok(())
    }
}

/// One batch of all rows, ordered by their place in the source. `None` when there is no row.
pub(crate) fn merge(parts: Vec<Vec<Batch>>) -> Result<Option<Batch>, ArrowError> {
    let mut batches: Vec<Batch> = parts.into_iter().flatten().filter(|b| !b.is_empty()).collect();
    if batches.len() <= 1 {
        return Ok(batches.pop());
    }
    let total: usize = batches.iter().map(Batch::rows).sum();
    let mut order = Vec::with_capacity(total);
    let mut offsets = Vec::with_capacity(total);
    let mut cursor = vec![0usize; batches.len()];
    // A handful of sorted runs: a linear look for the smallest head beats a heap. Ties go to the
    // earlier run, which is the lower worker.
    for _ in 0..total {
        let mut best: Option<(u64, usize)> = None;
        for (run, batch) in batches.iter().enumerate() {
            if let Some(&offset) = batch.offsets.get(cursor[run])
                && best.is_none_or(|(least, _)| offset < least)
            {
                best = Some((offset, run));
            }
        }
        let Some((offset, run)) = best else { break };
        order.push((run, cursor[run]));
        offsets.push(offset);
        cursor[run] += 1;
    }
    let columns: Vec<&RecordBatch> = batches.iter().map(|b| &b.columns).collect();
    let columns = interleave_record_batch(&columns, &order)?;
    let timed = batches.iter().all(|b| b.event_times.len() == b.rows());
    let event_times: ScalarBuffer<i64> = if timed {
        order.iter().map(|&(run, row)| batches[run].event_times[row]).collect()
    } else {
        ScalarBuffer::default()
    };
    Ok(Some(Batch { columns, offsets: offsets.into(), event_times }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn batch(keys: &[String]) -> Batch {
        let n = keys.len() as i64;
        let schema =
            Schema::new(vec![Field::new("key", DataType::Utf8, false), Field::new("n", DataType::Int64, false)]);
        let columns = RecordBatch::try_new(
            Arc::new(schema),
            vec![Arc::new(StringArray::from(keys.to_vec())), Arc::new(Int64Array::from_iter_values(0..n))],
        );
        Batch {
            columns: columns.unwrap(),
            offsets: (0..n as u64).collect(),
            event_times: (0..n).map(|i| i * 10).collect(),
        }
    }

    proptest! {
        #[test]
        fn rows_that_are_routed_and_merged_come_back_in_order(
            keys in prop::collection::vec("[a-z]{0,3}", 0..200),
            workers in 1usize..5,
        ) {
            let whole = batch(&keys);
            let mut parts = vec![Vec::new(); workers];
            Router::new(Routing::even(workers)).route(whole.clone(), 0, |w, b| parts[w].push(b)).unwrap();
            // All rows of a key go to one worker.
            for key in &keys {
                let holds = |p: &&Vec<Batch>| p.iter().any(|b| b.columns.column(0).as_string::<i32>().iter().any(|k| k == Some(key)));
                prop_assert_eq!(parts.iter().filter(holds).count(), 1);
            }
            let merged = merge(parts).unwrap();
            if keys.is_empty() {
                prop_assert!(merged.is_none());
            } else {
                let merged = merged.unwrap();
                prop_assert_eq!(&merged.columns, &whole.columns);
                prop_assert_eq!(&merged.offsets[..], &whole.offsets[..]);
                prop_assert_eq!(&merged.event_times[..], &whole.event_times[..]);
            }
        }
    }

    #[test]
    fn merging_keeps_the_order_of_the_source_whatever_the_sender() {
        let whole = batch(&["a".into(), "b".into(), "c".into(), "d".into()]);
        let pick = |rows: &[u32]| whole.take(&UInt32Array::from(rows.to_vec())).unwrap();
        let merged = merge(vec![vec![pick(&[1, 3])], vec![], vec![pick(&[0, 2])]]).unwrap().unwrap();
        assert_eq!(merged.columns.column(1).as_primitive::<Int64Type>().values(), &[0, 1, 2, 3]);
    }
}
