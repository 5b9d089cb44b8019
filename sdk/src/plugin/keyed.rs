//! Batches through an operator with state per key.
//!
//! Rows are processed in order. A key's slot is decoded once, when its first row comes, and its
//! state is encoded once, after its last row in the batch, and only if its bytes changed. Most keys
//! have one row in a batch: their state never leaves the stack. The others wait in a vector that is
//! kept from batch to batch.
//!
//! **A rejected row leaves no trace in the state**, at no cost for the rows around it. For a key's
//! first row the state before it is the slot itself, which is simply decoded again when there is a
//! next row. Only before a key's second and later rows in the same batch is the state encoded into
//! a scratch buffer, from which it is restored if the row is rejected.

use std::cell::Cell;

use millstream_batch::{Answer, Input, InputKind};

use super::{
    Description, KeyedOperator, Plugin, Runner, StateDescription, begin, describe, finish, layout_error, reject,
    take_row,
};
use crate::context::{Context, Host};
use crate::output::{Output, PortSet};
use crate::row::{ReadRow, Row};
use crate::state::{State, StateError, StateField, decode, encode};
use crate::{Config, Error, Result};

/// Takes batches through a [`KeyedOperator`].
pub struct Keyed<Op: KeyedOperator> {
    operator: Op,
    output: Output<Op::Out>,
    answer: Answer,
    counters: Vec<Cell<u64>>,
    /// Rows of each key that are still to come in the batch.
    remaining: Vec<u32>,
    /// States of keys with more rows to come.
    waiting: Vec<Option<Entry<Op::State>>>,
    scratch: Vec<u8>,
}

/// The state of a key within a batch.
struct Entry<S> {
    state: S,
    /// Whether a row of this batch was processed on it.
    touched: bool,
    /// Whether the operator has cleared it since.
    cleared: bool,
}

impl<Op: KeyedOperator + Plugin> Runner for Keyed<Op> {
    type In<'a> = Op::In<'a>;
    type Out = Op::Out;

    fn describe() -> Description {
        describe::<Op, Op::In<'static>, Op::Out>(Some(StateDescription {
            version: Op::State::VERSION,
            ttl_ms: Op::State::TTL_MS,
            fixed_size: <Op::State as StateField>::FIXED_SIZE.and_then(|size| u32::try_from(size).ok()).unwrap_or(0),
        }))
    }

    fn open(config: &Config) -> Result<Self> {
        Ok(Self {
            operator: Op::open(config)?,
            output: Output::default(),
            answer: Answer::new(),
            counters: vec![Cell::new(0); Op::COUNTERS.len()],
            remaining: Vec::new(),
            waiting: Vec::new(),
            scratch: Vec::new(),
        })
    }

    fn process(&mut self, batch: &[u8], host: &dyn Host) -> Result<Vec<u8>> {
        let input = Input::parse(batch).map_err(layout_error)?;
        if input.kind() != InputKind::Batch {
            return Err(Error::fatal("the operator sets no timers, but was handed some"));
        }
        let views = Op::In::bind(|index| input.raw_column(index)).map_err(layout_error)?;
        begin::<Op::Out>(&mut self.answer, &mut self.output, &self.counters, &input);
        self.count_rows(&input);
        for row in 0..input.rows() {
            let Some(key) = input.key_index(row) else {
                return Err(Error::fatal("the operator keeps state per key: name the `key` column in the pipeline"));
            };
            Op::Out::begin(&mut self.output.ports, row as u32);
            let value = take_row::<Op::In<'_>>(&views, row);
            self.process_row(&input, host, row, key, value)?;
        }
        finish::<Op::Out>(&mut self.answer, &mut self.output, &self.counters)
    }
}

impl<Op: KeyedOperator> Keyed<Op> {
    fn count_rows(&mut self, input: &Input<'_>) {
        self.remaining.clear();
        self.remaining.resize(input.keys(), 0);
        self.waiting.clear();
        self.waiting.resize_with(input.keys(), || None);
        for key in (0..input.rows()).filter_map(|row| input.key_index(row)) {
            if let Some(remaining) = self.remaining.get_mut(key as usize) {
                *remaining += 1;
            }
        }
    }

    #[inline]
    fn process_row(
        &mut self,
        input: &Input<'_>,
        host: &dyn Host,
        row: usize,
        key: u32,
        value: Result<Op::In<'_>>,
    ) -> Result<()> {
        // `Input` has checked that keys lie within the table.
        let (Some(remaining), Some(waiting)) =
            (self.remaining.get_mut(key as usize), self.waiting.get_mut(key as usize))
        else {
            return Ok(());
        };
        *remaining -= 1;
        let last = *remaining == 0;
        let mut only = None;
        let home = if last && waiting.is_none() { &mut only } else { waiting };
        if home.is_none() {
            let state = load(input, key).map_err(|error| state_error(input, key, &error))?;
            *home = Some(Entry { state, touched: false, cleared: false });
        }
        let Some(entry) = home else { return Ok(()) };
        if entry.touched {
            encode(&entry.state, &mut self.scratch);
        }

        let context = Context {
            host,
            input,
            counters: &self.counters,
            event_time: value.as_ref().ok().and_then(Row::event_time).or(input.event_time(row)).unwrap_or(i64::MIN),
            key: Some(key),
            clear_state: Cell::new(false),
        };
        let result = value.and_then(|value| self.operator.process(value, &mut entry.state, &mut self.output, &context));
        match result {
            Ok(()) => {
                entry.touched = true;
                entry.cleared = context.clear_state.get();
                if entry.cleared {
                    entry.state = Op::State::default();
                }
            }
            Err(error) => {
                Op::Out::undo(&mut self.output.ports);
                reject(&mut self.answer, row as u32, error)?;
                if !entry.touched {
                    *home = None;
                    return Ok(());
                }
                entry.state = decode(&self.scratch).map_err(|error| state_error(input, key, &error))?;
            }
        }
        if last {
            write_back(&mut self.answer, &mut self.scratch, input, key, entry);
        }
        Ok(())
    }
}

fn load<S: State>(input: &Input<'_>, key: u32) -> Result<S, StateError> {
    match input.slot(key) {
        Some(slot) => S::from_slot(slot.version, slot.bytes),
        None => Ok(S::default()),
    }
}

/// Puts the state of a key into the answer, unless the host has the same bytes.
fn write_back<S: State>(answer: &mut Answer, scratch: &mut Vec<u8>, input: &Input<'_>, key: u32, entry: &Entry<S>) {
    let before = input.slot(key);
    if entry.cleared {
        if before.is_some() {
            answer.delete_slot(key);
        }
        return;
    }
    encode(&entry.state, scratch);
    if before.is_none_or(|slot| slot.version != S::VERSION || slot.bytes != scratch.as_slice()) {
        answer.set_slot(key, scratch);
    }
}

/// State that does not decode is no fault of the row: the pipeline stops rather than going on
/// without what it has learnt of the key.
fn state_error(input: &Input<'_>, key: u32, error: &StateError) -> Error {
    let key = String::from_utf8_lossy(input.key(key).unwrap_or_default()).into_owned();
    Error::fatal(format!("key `{key}`: {error}"))
}
