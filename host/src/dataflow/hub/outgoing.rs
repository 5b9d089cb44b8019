//! What leaves a hub: completed rows as blocks of the hub's own sequence, marks of time, barriers.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, RecordBatch, UInt32Array};
use arrow::compute::interleave_record_batch;
use arrow::error::ArrowError;
use crossbeam_channel::Sender;

use super::AsyncOperator;
use super::group::Group;
use super::table::Ready;
use crate::dataflow::budget::{Budget, Ticket};
use crate::dataflow::failure::Failure;
use crate::dataflow::letters::Rejected;
use crate::dataflow::message::{Block, BlockContent, Header, Status};
use crate::dataflow::node::Emitted;
use crate::dataflow::worker::Names;
use crate::record::Batch;

pub(super) struct Outgoing {
    pub lane: u16,
    pub operator: String,
    pub names: Arc<Vec<Names>>,
    pub answers: Sender<Block>,
    /// Of what has left the hub and not the pipeline.
    pub budget: Arc<Budget>,
    pub sequence: u64,
    pub epoch: u64,
    /// What was last said of time.
    pub told: (Status, i64),
    pub emitted: Emitted,
    pub ids: Vec<u64>,
}

impl Outgoing {
    /// Sends rows. `watermark` counts once all of them are out.
    pub(super) fn rows(
        &mut self,
        ready: &[Ready<Group>],
        operator: &mut dyn AsyncOperator,
        watermark: i64,
    ) -> Result<(), Failure> {
        let mut start = 0;
        for end in 1..=ready.len() {
            if end < ready.len() && goes_on(&ready[start], &ready[end - 1], &ready[end]) {
                continue;
            }
            let until = if end == ready.len() { watermark } else { self.told.1 };
            self.run(&ready[start..end], operator, until)?;
            start = end;
        }
        Ok(())
    }

    /// Sends rows of one partition, in the order of their places.
    fn run(&mut self, ready: &[Ready<Group>], operator: &mut dyn AsyncOperator, watermark: i64) -> Result<(), Failure> {
        let Some(first) = ready.first() else { return Ok(()) };
        let failed = |e: String| Failure::new(format!("operator `{}`", self.operator), e);
        let inputs = together(ready).map_err(|e| failed(e.to_string()))?;
        self.ids.clear();
        self.ids.extend(ready.iter().map(|r| r.id));
        operator.emit(&self.ids, &inputs, &mut self.emitted).map_err(failed)?;
        let Group { source, partition, .. } = *first.group;
        let names = &self.names[usize::from(source)];
        let mut letters = Vec::new();
        if !self.emitted.rejected.is_empty() {
            let partition = names.partitions.name(partition);
            let rejected = Rejected { operator: &self.operator, source: &names.source, partition };
            rejected.write(&inputs, self.emitted.rejected.drain(..), &mut letters)?;
        }
        let rows = self.emitted.outputs.drain(..).find_map(|(port, rows)| (port == 0).then_some(rows));
        // Of slices only what they show: the rest belongs to their neighbours.
        let bytes = |rows: &Batch| -> usize {
            let columns = rows.columns.columns().iter();
            columns.map(|c| c.to_data().get_slice_memory_size().unwrap_or_default()).sum()
        };
        let bytes = rows.as_ref().map_or(0, bytes);
        let ticket = self.budget.overdraw(ready.len(), bytes);
        let since = ready.iter().map(|r| r.group.since).min().unwrap_or_else(Instant::now);
        self.told.1 = watermark;
        let header = Header { source, partition, since, ..self.header(Some(ticket)) };
        self.send(header, BlockContent::Answers(rows, letters));
        Ok(())
    }

    /// Says how far time has come, where that is news.
    pub(super) fn time(&mut self, status: Status, watermark: i64) {
        if self.told != (status, watermark) {
            self.told = (status, watermark);
            let header = self.header(None);
            self.send(header, BlockContent::Answers(None, Vec::new()));
        }
    }

    /// Ends the epoch.
    pub(super) fn barrier(&mut self, last: bool) {
        let header = Header { last, ..self.header(None) };
        self.send(header, BlockContent::Barrier);
        self.epoch += 1;
    }

    fn header(&self, ticket: Option<Arc<Ticket>>) -> Header {
        Header {
            lane: self.lane,
            source: 0,
            partition: 0,
            status: self.told.0,
            sequence: self.sequence,
            epoch: self.epoch,
            since: Instant::now(),
            last: false,
            min_event_time: i64::MAX,
            max_event_time: self.told.1,
            ticket,
            queued: None,
        }
    }

    fn send(&mut self, header: Header, content: BlockContent) {
        self.sequence += 1;
        // Workers that are gone have failed, or were told to stop.
        let _ = self.answers.send(Block { header, content });
    }
}

/// Rows of a block that leaves came within this time of each other: a block has one latency.
const TOGETHER: Duration = Duration::from_millis(1);

/// Whether rows can be in one batch, which begins with `first` and whose places ascend.
fn goes_on(first: &Ready<Group>, a: &Ready<Group>, b: &Ready<Group>) -> bool {
    let (early, late) = (first.group.since.min(b.group.since), first.group.since.max(b.group.since));
    let of = |r: &Ready<Group>| (r.group.source, r.group.partition);
    of(a) == of(b) && place(a) <= place(b) && late - early <= TOGETHER
}

/// Where a row came from.
pub(super) fn place(ready: &Ready<Group>) -> (u16, u32, u64) {
    let Group { source, partition, ref rows, .. } = *ready.group;
    (source, partition, rows.offsets.get(ready.row as usize).copied().unwrap_or_default())
}

/// The inputs of rows, as one batch.
fn together(ready: &[Ready<Group>]) -> Result<Batch, ArrowError> {
    let Some(first) = ready.first() else {
        return Err(ArrowError::InvalidArgumentError("no rows".into()));
    };
    if ready.iter().all(|r| Rc::ptr_eq(&r.group, &first.group)) {
        let rows = &first.group.rows;
        if ready.windows(2).all(|pair| pair[1].row == pair[0].row + 1) {
            return Ok(rows.slice(first.row as usize, ready.len()));
        }
        return rows.take(&UInt32Array::from_iter_values(ready.iter().map(|r| r.row)));
    }
    let mut groups: Vec<&Rc<Group>> = Vec::new();
    let mut picks = Vec::with_capacity(ready.len());
    for row in ready {
        // Rows of a group lie beside each other, so the last one is nearly always it.
        let known = groups.iter().rposition(|g| Rc::ptr_eq(g, &row.group));
        let at = known.unwrap_or_else(|| {
            groups.push(&row.group);
            groups.len() - 1
        });
        picks.push((at, row.row as usize));
    }
    let batches: Vec<&RecordBatch> = groups.iter().map(|g| &g.rows.columns).collect();
    let columns = interleave_record_batch(&batches, &picks)?;
    let offsets = ready.iter().map(|r| place(r).2).collect();
    let timed = groups.iter().all(|g| g.rows.event_times.len() == g.rows.rows());
    let time = |&(group, row): &(usize, usize)| groups[group].rows.event_times.get(row).copied().unwrap_or_default();
    let event_times = if timed { picks.iter().map(time).collect() } else { Default::default() };
    Ok(Batch { columns, offsets, event_times })
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    use super::*;

    #[test]
    fn rows_stand_as_they_were_handed_out_also_where_they_have_one_place() {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let columns = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![0, 1, 2, 3]))]).unwrap();
        // As of an operator that made two rows of one.
        let rows = Batch { columns, offsets: vec![10, 11, 11, 12].into(), event_times: Default::default() };
        let since = Instant::now();
        let group = Rc::new(Group { source: 0, partition: 0, watermark: 0, since, rows, keys: Vec::new() });
        for order in [[0, 1, 2, 3], [0, 2, 1, 3], [3, 2, 1, 0]] {
            let ready = order.map(|row| Ready { id: u64::from(row), group: Rc::clone(&group), row });
            let batch = together(&ready).unwrap();
            let numbers = batch.columns.column(0).as_primitive::<Int64Type>().values().to_vec();
            assert_eq!(numbers, order.map(i64::from));
        }
    }
}
