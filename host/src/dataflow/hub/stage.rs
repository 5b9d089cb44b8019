//! The thread of a hub.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crossbeam_channel::Sender;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::error::TryRecvError;

use super::group::{Group, Queued};
use super::outgoing::{Outgoing, place};
use super::pace::Pace;
use super::table::{Order, Table};
use super::{AsyncOperator, AsyncPart, Completions, HubStats, Submission};
use crate::dataflow::budget::Budget;
use crate::dataflow::clock::Clock;
use crate::dataflow::events::Event;
use crate::dataflow::exchange::merge;
use crate::dataflow::failure::Failure;
use crate::dataflow::message::{Block, Header, Status, ToHub};
use crate::dataflow::node::Emitted;
use crate::dataflow::sequencer::{Next, Sequencer};
use crate::dataflow::worker::Names;
use crate::record::{Batch, InFlight, hash_keys};

/// Rows of one block that leaves at most.
const BLOCK_ROWS: usize = 1024;
/// Rows between the oldest that has not left and the newest at most, in whatever order they leave.
const MAX_SPAN: usize = 1 << 20;

/// A hub, before its thread runs.
pub(crate) struct Hub {
    /// Index of the operator.
    pub operator: usize,
    pub name: String,
    pub lane: u16,
    pub part: AsyncPart,
    pub sequencer: Sequencer<Vec<Batch>>,
    pub clock: Clock,
    pub names: Arc<Vec<Names>>,
    pub inbox: UnboundedReceiver<ToHub>,
    pub answers: Sender<Block>,
    pub events: Sender<Event>,
    pub budget: Arc<Budget>,
    pub epoch: u64,
}

impl Hub {
    /// Runs until the workers are gone.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let node = format!("operator `{}`", self.name);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Failure::new(&node, format!("its thread cannot start: {e}")))?;
        let local = tokio::task::LocalSet::new();
        let result = local.block_on(&runtime, async {
            let completions = Completions::default();
            let part = self.part;
            let operator = (part.make)(completions.clone()).map_err(|e| Failure::new(&node, e))?;
            let outgoing = Outgoing {
                lane: self.lane,
                operator: self.name,
                names: Arc::clone(&self.names),
                answers: self.answers,
                budget: self.budget,
                sequence: 0,
                epoch: self.epoch,
                told: (Status::Active, i64::MIN),
                emitted: Emitted::default(),
                ids: Vec::new(),
            };
            let mut running = Running {
                index: self.operator,
                operator,
                completions,
                order: part.order,
                key: part.key,
                most_waiting: part.waiting.max(1),
                stats: part.stats,
                table: Table::new(part.order),
                queue: VecDeque::new(),
                sequencer: self.sequencer,
                clock: self.clock,
                names: self.names,
                inbox: self.inbox,
                events: self.events,
                outgoing,
                last: false,
                queued: 0,
                full_since: None,
                pace: Pace::new(Instant::now()),
                done: Vec::new(),
                ready: Vec::new(),
            };
            running.restore(part.start);
            running.drive().await
        });
        // What is still in flight is of no use to anybody: the epoch has its inputs.
        drop(local);
        runtime.shutdown_background();
        result
    }
}

struct Running {
    index: usize,
    operator: Box<dyn AsyncOperator>,
    completions: Completions,
    order: Order,
    key: Option<usize>,
    most_waiting: usize,
    stats: Arc<HubStats>,
    table: Table<Group>,
    /// Rows that are not submitted yet.
    queue: VecDeque<Queued>,
    sequencer: Sequencer<Vec<Batch>>,
    clock: Clock,
    names: Arc<Vec<Names>>,
    inbox: UnboundedReceiver<ToHub>,
    events: Sender<Event>,
    outgoing: Outgoing,
    /// The last barrier, which waits until no row is left.
    last: bool,
    /// Rows in `queue` that are not submitted.
    queued: usize,
    /// Since when rows wait because the operator is full.
    full_since: Option<Instant>,
    pace: Pace,
    done: Vec<u64>,
    ready: Vec<super::table::Ready<Group>>,
}

impl Running {
    async fn drive(&mut self) -> Result<(), Failure> {
        let completions = self.completions.clone();
        let budget = Arc::clone(&self.outgoing.budget);
        loop {
            loop {
                match self.inbox.try_recv() {
                    Ok(part) => self.sequencer.accept(part),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Ok(()),
                }
            }
            self.take_in()?;
            self.submit();
            self.settle()?;
            // What was just settled may have made room.
            self.submit();
            self.count();
            if self.last && self.table.is_empty() && self.queue.is_empty() {
                self.end_epoch(true)?;
            }
            if let Some(round) = self.pace.round(Instant::now()) {
                tokio::time::sleep(round).await;
                continue;
            }
            let held = self.table.has_ready();
            tokio::select! {
                part = self.inbox.recv() => match part {
                    Some(part) => self.sequencer.accept(part),
                    None => return Ok(()),
                },
                () = completions.wait() => {}
                () = budget.room(), if held => {}
            }
        }
    }

    /// Rows that a committed epoch left in flight come first.
    fn restore(&mut self, start: Vec<InFlight>) {
        for InFlight { source, partition, watermark, rows } in start {
            // The pipeline was allowed to leave it out.
            let Some(index) = self.names.iter().position(|n| n.source == source) else { continue };
            let partition = self.names[index].partitions.number(&partition);
            self.stats.restored.fetch_add(rows.rows() as u64, Relaxed);
            let (since, keys) = (Instant::now(), self.keys(&rows));
            let group = Rc::new(Group { source: index as u16, partition, watermark, since, rows, keys });
            self.queued += group.rows.rows();
            self.queue.push_back(Queued { group, next: 0, header: None });
        }
    }

    /// What stands in order, up to the last barrier.
    fn take_in(&mut self) -> Result<(), Failure> {
        while !self.last
            && let Some(next) = self.sequencer.pop()
        {
            match next {
                Next::Rows(header, parts) => {
                    self.clock.begin(&header);
                    let node = || format!("operator `{}`", self.outgoing.operator);
                    if let Some(rows) = merge(parts).map_err(|e| Failure::new(node(), e))? {
                        let (watermark, keys) = (self.clock.watermark(), self.keys(&rows));
                        let Header { source, partition, since, .. } = header;
                        let group = Rc::new(Group { source, partition, watermark, since, rows, keys });
                        self.queued += group.rows.rows();
                        self.queue.push_back(Queued { group, next: 0, header: Some(header.clone()) });
                    }
                    self.clock.pass(&header);
                }
                Next::Barrier(headers) => {
                    let Some(header) = headers.first() else { continue };
                    match header.last {
                        true => self.last = true,
                        false => self.end_epoch(false)?,
                    }
                }
            }
        }
        Ok(())
    }

    fn keys(&self, rows: &Batch) -> Vec<u64> {
        let mut keys = Vec::new();
        if let (Order::Key, Some(column)) = (self.order, self.key.and_then(|k| rows.columns.columns().get(k))) {
            // Of a type that cannot be a key all rows would be one key; the plan refuses it.
            hash_keys(column, &mut keys);
        }
        keys
    }

    /// Gives the operator as many rows as it takes.
    fn submit(&mut self) {
        while let Some(queued) = self.queue.front_mut() {
            let bounded = self.table.waiting() < self.most_waiting && self.table.span() < MAX_SPAN;
            let room = if bounded { self.operator.room() } else { 0 };
            if room == 0 {
                self.full_since.get_or_insert_with(Instant::now);
                return;
            }
            if let Some(since) = self.full_since.take() {
                self.stats.full_ns.fetch_add(since.elapsed().as_nanos() as u64, Relaxed);
            }
            let (group, next) = (&queued.group, queued.next);
            let count = room.min(group.rows.rows() - next).min(MAX_SPAN);
            let first = self.table.next_id();
            for row in next..next + count {
                self.table.admit(group, row as u32, group.key(row as u32));
            }
            let rows = if count == group.rows.rows() { group.rows.clone() } else { group.rows.slice(next, count) };
            let names = &self.names[usize::from(group.source)];
            let partition = names.partitions.name(group.partition);
            let submission = Submission { rows, first, source: Arc::clone(&names.source), partition };
            queued.next += count;
            self.queued -= count;
            if queued.next == group.rows.rows() {
                // Counted here before they are not counted by the ticket that ends with their block.
                self.stats.in_flight.store(self.table.pending() as u64, Relaxed);
                self.queue.pop_front();
            }
            self.operator.submit(submission);
        }
    }

    /// Hands on what is completed, as far as those behind take it.
    fn settle(&mut self) -> Result<(), Failure> {
        self.completions.take(&mut self.done);
        for &id in &self.done {
            let once = self.table.complete(id);
            debug_assert!(once, "row {id} was completed twice");
        }
        while self.table.has_ready() && !self.outgoing.budget.is_full() {
            self.ready.clear();
            self.table.take_ready(BLOCK_ROWS, &mut self.ready);
            self.pace.count(self.ready.len());
            // Longer blocks. By number, rows of a key stay as they came.
            match self.order {
                Order::Ordered => {}
                Order::Unordered => self.ready.sort_unstable_by_key(|ready| (place(ready), ready.id)),
                Order::Key => self.ready.sort_unstable_by_key(|ready| ready.id),
            }
            let watermark = self.watermark();
            self.outgoing.rows(&self.ready, &mut *self.operator, watermark)?;
        }
        self.ready.clear();
        let status = match self.table.is_empty() && self.queue.is_empty() {
            true => self.clock.status(),
            false => Status::Active,
        };
        let watermark = self.watermark();
        self.outgoing.time(status, watermark);
        Ok(())
    }

    /// The input's, held back behind the oldest row that has not left.
    fn watermark(&self) -> i64 {
        let oldest = self.table.oldest().or_else(|| self.queue.front().map(|q| &q.group));
        // Restored rows may be older than what was said since.
        oldest
            .map_or(self.clock.watermark(), |group| group.watermark.min(self.clock.watermark()))
            .max(self.outgoing.told.1)
    }

    /// The epoch ends: rows in flight become part of it, and the next begins at once.
    fn end_epoch(&mut self, last: bool) -> Result<(), Failure> {
        let epoch = self.outgoing.epoch;
        let event = Event::InFlight {
            epoch,
            operator: self.index,
            rows: self.in_flight()?,
            watermark: self.watermark(),
            newest: self.clock.newest(),
        };
        // The coordinator that is gone has no use for it.
        let _ = self.events.send(event);
        self.outgoing.barrier(last);
        if last {
            self.last = false;
        }
        Ok(())
    }

    fn in_flight(&self) -> Result<Vec<InFlight>, Failure> {
        let failed = |e| Failure::new(format!("operator `{}`", self.outgoing.operator), e);
        let named = |group: &Group, rows: &[u32]| {
            let names = &self.names[usize::from(group.source)];
            let all = group.in_flight(Arc::clone(&names.source), names.partitions.name(group.partition));
            if rows.len() == all.rows.rows() { Ok(all) } else { all.take(rows).map_err(failed) }
        };
        let mut parts: Vec<InFlight> = Vec::new();
        let mut open: Option<(&Rc<Group>, Vec<u32>)> = None;
        let unsubmitted =
            self.queue.iter().flat_map(|q| (q.next..q.group.rows.rows()).map(|row| (&q.group, row as u32)));
        for (group, row) in self.table.rows().chain(unsubmitted) {
            match &mut open {
                Some((known, rows)) if Rc::ptr_eq(known, group) => rows.push(row),
                _ => {
                    if let Some((group, rows)) = open.replace((group, vec![row])) {
                        parts.push(named(group, &rows)?);
                    }
                }
            }
        }
        if let Some((group, rows)) = open {
            parts.push(named(group, &rows)?);
        }
        Ok(parts)
    }

    fn count(&self) {
        self.stats.queued.store(self.queued as u64, Relaxed);
        self.stats.in_flight.store(self.table.pending() as u64, Relaxed);
        self.stats.waiting.store(self.table.waiting() as u64, Relaxed);
    }
}
