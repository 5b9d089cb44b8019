//! A native test bench for operators: rows in, rows out, state kept per key in between.
//!
//! Rows go through the same packed layout, and the same code around `process`, as in a pipeline;
//! only the sandbox is missing. So what a test sees is what the host would see.
//!
//! ```
//! use millstream_sdk::prelude::*;
//! use millstream_sdk::testing::Harness;
//!
//! #[derive(Row)]
//! struct Order { amount: f64 }
//!
//! #[derive(Row, Debug, PartialEq)]
//! struct Total { total: f64 }
//!
//! #[derive(State, Default)]
//! struct Account { total: f64 }
//!
//! #[derive(Default)]
//! struct Totals;
//!
//! #[operator(name = "totals", version = "1.0.0")]
//! impl KeyedOperator for Totals {
//!     type In<'a> = Order;
//!     type Out = Total;
//!     type State = Account;
//!
//!     fn process(&mut self, order: Order, account: &mut Account, out: &mut Output<Total>, _: &Context) -> Result<()> {
//!         ensure!(order.amount >= 0.0, "amount {} is negative", order.amount);
//!         account.total += order.amount;
//!         out.push(Total { total: account.total });
//!         Ok(())
//!     }
//! }
//!
//! let mut harness = Harness::<Totals>::new();
//! let outcome = harness.keyed([
//!     ("alice", Order { amount: 1.0 }),
//!     ("alice", Order { amount: -5.0 }),
//!     ("alice", Order { amount: 2.0 }),
//! ]).unwrap();
//! assert_eq!(outcome.rows::<Total>(), [Total { total: 1.0 }, Total { total: 3.0 }]);
//! assert_eq!(outcome.errors()[0], (1, "amount -5 is negative".to_owned()));
//! assert_eq!(harness.state::<Account>("alice").unwrap().total, 3.0);
//! ```
//!
//! What the bench cannot do (a broken buffer, a port that does not exist, rows of another type) is
//! a mistake in the test or in the operator, and panics with its reason.

use std::cell::RefCell;
use std::collections::BTreeMap;

use millstream_batch::{
    AnswerRef, AnswerSpec, Increment, InputKind, InputParts, KeyTable, Keys, Limits, NoKeys, Slot, write_input,
};

use crate::context::{Host, Level};
use crate::output::{PortDescription, PortSet};
use crate::plugin::{Plugin, Runner};
use crate::row::{ReadRow, Row};
use crate::state::{State, encode};
use crate::{Config, Result};

type In<'a, P> = <<P as Plugin>::Runner as Runner>::In<'a>;

/// An operator with its keyed state.
pub struct Harness<P: Plugin> {
    runner: P::Runner,
    slots: BTreeMap<Vec<u8>, (u32, Vec<u8>)>,
    state_version: u32,
    watermark: i64,
    processing_time: i64,
    log: Log,
}

#[derive(Default)]
pub(crate) struct Log(RefCell<Vec<(Level, String)>>);

impl Host for Log {
    fn log(&self, level: Level, message: &str) {
        self.0.borrow_mut().push((level, message.to_owned()));
    }
}

impl<P: Plugin> Default for Harness<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Plugin> Harness<P> {
    /// The operator without configuration.
    ///
    /// # Panics
    /// When `open` refuses that.
    pub fn new() -> Self {
        match Self::open(Config::default()) {
            Ok(harness) => harness,
            Err(error) => panic!("`open` failed without configuration: {error:?}"),
        }
    }

    /// The operator with configuration.
    ///
    /// # Errors
    /// When `open` refuses it.
    pub fn open(config: impl Into<Config>) -> Result<Self> {
        Ok(Self {
            runner: P::Runner::open(&config.into())?,
            slots: BTreeMap::new(),
            state_version: P::Runner::describe().state.map_or(0, |state| state.version),
            watermark: i64::MIN,
            processing_time: 0,
            log: Log::default(),
        })
    }

    /// Sets the watermark that the next batches carry.
    pub fn set_watermark(&mut self, at: i64) {
        self.watermark = at;
    }

    /// Sets the processing time that the next batches carry.
    pub fn set_processing_time(&mut self, at: i64) {
        self.processing_time = at;
    }

    /// One batch through a stateless operator.
    ///
    /// # Errors
    /// When the operator fails the batch as a whole.
    pub fn rows<'a>(&mut self, rows: impl IntoIterator<Item = In<'a, P>>) -> Result<Outcome<P>> {
        let batch = Batch::of(rows.into_iter().map(|row| ((), row)));
        self.run(&batch.write::<NoKeys>(None, self.watermark, self.processing_time), batch.rows, &[])
    }

    /// One batch of rows of another type than the operator declares.
    #[cfg(test)]
    pub(crate) fn raw_rows<R: Row>(&mut self, rows: impl IntoIterator<Item = R>) -> Result<Outcome<P>> {
        let batch = Batch::of(rows.into_iter().map(|row| ((), row)));
        self.run(&batch.write::<NoKeys>(None, self.watermark, self.processing_time), batch.rows, &[])
    }

    /// One batch of rows with their keys through a keyed operator. Slots that it changes are kept
    /// for the next batch.
    ///
    /// # Errors
    /// When the operator fails the batch as a whole, of which nothing is kept then.
    pub fn keyed<'a, K: AsRef<[u8]>>(&mut self, rows: impl IntoIterator<Item = (K, In<'a, P>)>) -> Result<Outcome<P>> {
        let batch = Batch::of(rows);
        let mut table = Table { keys: Vec::new(), slots: &self.slots };
        let mut index = Vec::with_capacity(batch.rows);
        let mut seen = BTreeMap::new();
        for key in &batch.keys {
            let key = key.as_ref();
            index.push(*seen.entry(key.to_vec()).or_insert_with(|| {
                table.keys.push(key.to_vec());
                table.keys.len() as u32 - 1
            }));
        }
        let input = batch.write(Some(Keys { index: &index, table: &table }), self.watermark, self.processing_time);
        let keys = table.keys;
        self.run(&input, batch.rows, &keys)
    }

    fn run(&mut self, input: &[u8], rows: usize, keys: &[Vec<u8>]) -> Result<Outcome<P>> {
        let bytes = self.runner.process(input, &self.log)?;
        let outcome = Outcome { bytes, spec: spec::<P>(), rows, keys: keys.len(), plugin: std::marker::PhantomData };
        for change in outcome.answer().slots() {
            let key = keys[change.key as usize].clone();
            match change.bytes {
                Some(slot) => self.slots.insert(key, (self.state_version, slot.to_vec())),
                None => self.slots.remove(&key),
            };
        }
        Ok(outcome)
    }

    /// The state of a key, if it has one.
    ///
    /// # Panics
    /// When its slot is no `S`.
    pub fn state<S: State>(&self, key: impl AsRef<[u8]>) -> Option<S> {
        let (version, slot) = self.slots.get(key.as_ref())?;
        let mut state = S::default();
        match state.load(*version, slot) {
            Ok(()) => Some(state),
            Err(error) => panic!("{error}"),
        }
    }

    /// Sets the state of a key.
    pub fn set_state<S: State>(&mut self, key: impl AsRef<[u8]>, state: &S) {
        let mut slot = Vec::new();
        encode(state, &mut slot);
        self.set_slot(key, S::VERSION, slot);
    }

    /// The bytes that are kept for a key, and the state version that wrote them.
    pub fn slot(&self, key: impl AsRef<[u8]>) -> Option<(u32, &[u8])> {
        self.slots.get(key.as_ref()).map(|(version, slot)| (*version, slot.as_slice()))
    }

    /// Sets the bytes that are kept for a key, such as a slot of an older version.
    pub fn set_slot(&mut self, key: impl AsRef<[u8]>, version: u32, slot: impl Into<Vec<u8>>) {
        self.slots.insert(key.as_ref().to_vec(), (version, slot.into()));
    }

    /// Takes the lines that the operator has logged.
    pub fn take_log(&mut self) -> Vec<(Level, String)> {
        self.log.0.take()
    }
}

/// Rows on their way into an input.
struct Batch<K, B> {
    keys: Vec<K>,
    columns: B,
    event_times: Vec<i64>,
    rows: usize,
}

impl<K, B: millstream_batch::Columns> Batch<K, B> {
    fn of<R: Row<Builders = B>>(rows: impl IntoIterator<Item = (K, R)>) -> Self {
        let mut batch = Self { keys: Vec::new(), columns: R::builders(), event_times: Vec::new(), rows: 0 };
        for (key, row) in rows {
            batch.keys.push(key);
            batch.event_times.extend(row.event_time());
            row.write(&mut batch.columns);
            batch.rows += 1;
        }
        batch
    }

    fn write<T: KeyTable>(&self, keys: Option<Keys<'_, T>>, watermark: i64, processing_time: i64) -> Vec<u8> {
        let mut input = Vec::new();
        let parts = InputParts {
            kind: InputKind::Batch,
            rows: self.rows,
            event_times: &self.event_times,
            keys,
            watermark,
            processing_time,
        };
        match write_input(&mut input, &parts, &self.columns) {
            Ok(()) => input,
            Err(error) => panic!("the rows cannot be packed: {error}"),
        }
    }
}

/// The keys of a batch over the slots that are kept.
struct Table<'a> {
    keys: Vec<Vec<u8>>,
    slots: &'a BTreeMap<Vec<u8>, (u32, Vec<u8>)>,
}

impl KeyTable for Table<'_> {
    fn len(&self) -> usize {
        self.keys.len()
    }

    fn key(&self, key: usize) -> &[u8] {
        &self.keys[key]
    }

    fn slot(&self, key: usize) -> Option<Slot<'_>> {
        self.slots.get(&self.keys[key]).map(|(version, bytes)| Slot { version: *version, bytes })
    }
}

fn spec<P: Plugin>() -> AnswerSpec {
    let ports = <<P::Runner as Runner>::Out as PortSet>::describe();
    let types = |port: &PortDescription| port.fields.iter().map(|field| field.data_type).collect();
    AnswerSpec {
        ports: ports.iter().map(types).collect(),
        counters: P::COUNTERS.len() as u32,
        limits: Limits::default(),
    }
}

/// What came of one batch.
pub struct Outcome<P: Plugin> {
    bytes: Vec<u8>,
    spec: AnswerSpec,
    rows: usize,
    keys: usize,
    plugin: std::marker::PhantomData<P>,
}

impl<P: Plugin> Outcome<P> {
    fn answer(&self) -> AnswerRef<'_> {
        match AnswerRef::parse(&self.bytes, &self.spec, self.rows, self.keys) {
            Ok(answer) => answer,
            Err(error) => panic!("the operator's answer is broken: {error}"),
        }
    }

    fn port(&self, name: &str) -> usize {
        let ports = <<P::Runner as Runner>::Out as PortSet>::describe();
        match ports.iter().position(|port| port.name == name) {
            Some(port) => port,
            None => panic!("no port `{name}`; there are {:?}", ports.iter().map(|port| port.name).collect::<Vec<_>>()),
        }
    }

    /// The rows of the main output.
    ///
    /// # Panics
    /// When they are no `R`.
    pub fn rows<'a, R: ReadRow<'a>>(&'a self) -> Vec<R> {
        self.rows_at(0)
    }

    /// The rows of a side output.
    ///
    /// # Panics
    /// When there is none of that name, or its rows are no `R`.
    pub fn side<'a, R: ReadRow<'a>>(&'a self, port: &str) -> Vec<R> {
        self.rows_at(self.port(port))
    }

    fn rows_at<'a, R: ReadRow<'a>>(&'a self, port: usize) -> Vec<R> {
        let answer = self.answer();
        let views = match R::bind(|column| answer.column(port, column)) {
            Ok(views) => views,
            Err(error) => panic!("the output is of another type: {error}"),
        };
        (0..answer.rows(port))
            .map(|row| match R::read(&views, row) {
                Ok(row) => row,
                Err(missing) => panic!("row {row} of the output has no `{}`", missing.column),
            })
            .collect()
    }

    /// For each row of the main output, the input row that it came from.
    pub fn origins(&self) -> Vec<u32> {
        self.origins_at(0)
    }

    /// For each row of a side output, the input row that it came from.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn side_origins(&self, port: &str) -> Vec<u32> {
        self.origins_at(self.port(port))
    }

    fn origins_at(&self, port: usize) -> Vec<u32> {
        let answer = self.answer();
        (0..answer.rows(port)).filter_map(|row| answer.origin(port, row)).collect()
    }

    /// The input rows that were rejected, each with its reason.
    pub fn errors(&self) -> Vec<(u32, String)> {
        self.answer().errors().map(|error| (error.row, error.message.to_owned())).collect()
    }

    /// By how much the batch has raised a counter.
    ///
    /// # Panics
    /// When the operator has none of that name.
    pub fn counter(&self, name: &str) -> u64 {
        let Some(index) = P::COUNTERS.iter().position(|counter| *counter == name) else {
            panic!("no counter `{name}`; there are {:?}", P::COUNTERS)
        };
        let increments = self.answer().counters().filter(|increment| increment.index as usize == index);
        increments.map(|increment| if let Increment::Whole(by) = increment.by { by } else { 0 }).sum()
    }

    /// How many keys' state the batch has changed.
    pub fn slots_changed(&self) -> usize {
        self.answer().slots().len()
    }
}
