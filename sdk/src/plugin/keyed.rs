//! Batches through an operator with state per key.
//!
//! Rows are processed in order. A key's slot is decoded once, when its first row comes, and its
//! state is encoded once, after its last row in the batch, and only put into the answer if its bytes
//! changed. Most keys have one row in a batch: they all pass through the same state in memory, which
//! therefore stays in the processor's cache. The others each have one until their last row. States
//! are decoded in place over earlier ones, so nothing is allocated and little is copied.
//!
//! **A rejected row leaves no trace in the state**, at next to no cost for the rows around it. For a
//! key's first row the state before it is the slot itself, which is simply decoded again when there
//! is a next row. Only before a key's second and later rows in the same batch is the state encoded
//! into a scratch buffer, from which it is restored if the row is rejected.

use std::cell::Cell;

use millstream_batch::{Answer, Input, InputKind};

use super::{
    Description, KeyedOperator, Plugin, Runner, StateDescription, begin, describe, finish, layout_error, reject,
    take_row,
};
use crate::context::{Context, Host};
use crate::output::{Output, PortSet};
use crate::row::{ReadRow, Row};
use crate::state::{State, StateError, StateField, decode_into, encode};
use crate::{Config, Error, Result};

/// Takes batches through a [`KeyedOperator`].
pub struct Keyed<Op: KeyedOperator> {
    operator: Op,
    output: Output<Op::Out>,
    answer: Answer,
    counters: Vec<Cell<u64>>,
    keys: Vec<Key>,
    /// Decoded states; the first one serves all keys with a single row.
    states: Vec<Op::State>,
    /// How many of them the batch in hand uses.
    used: usize,
    scratch: Vec<u8>,
}

/// What is known of a key within the batch in hand.
#[derive(Clone, Copy, Default)]
struct Key {
    /// Rows that are still to come.
    remaining: u32,
    /// Where its decoded state is.
    state: Option<u32>,
    /// Whether a row was processed on it.
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
            keys: Vec::new(),
            states: Vec::new(),
            used: 0,
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
        self.keys.clear();
        self.keys.resize(input.keys(), Key::default());
        self.used = 1;
        if self.states.is_empty() {
            self.states.push(Op::State::default());
        }
        for key in (0..input.rows()).filter_map(|row| input.key_index(row)) {
            if let Some(key) = self.keys.get_mut(key as usize) {
                key.remaining += 1;
            }
        }
    }

    /// Decodes a key's state, and says where it is.
    #[inline]
    fn load(&mut self, input: &Input<'_>, key: u32, last: bool) -> Result<u32> {
        let place = if last { 0 } else { self.used };
        if place == self.states.len() {
            self.states.push(Op::State::default());
        }
        self.used += usize::from(!last);
        if let Some(state) = self.states.get_mut(place) {
            match input.slot(key) {
                Some(slot) => {
                    state.load(slot.version, slot.bytes).map_err(|error| state_error(input, key, &error))?;
                }
                None => *state = Op::State::default(),
            }
        }
        Ok(place as u32)
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
        let Some(last) = self.keys.get_mut(key as usize).map(|info| {
            info.remaining -= 1;
            info.remaining == 0
        }) else {
            // `Input` has checked that keys lie within the table.
            return Ok(());
        };
        let place = match self.keys[key as usize].state {
            Some(place) => place,
            None => self.load(input, key, last)?,
        };
        let info = &mut self.keys[key as usize];
        let state = &mut self.states[place as usize];
        if info.touched {
            encode(state, &mut self.scratch);
        }

        let context = Context {
            host,
            input,
            counters: &self.counters,
            event_time: value.as_ref().ok().and_then(Row::event_time).or(input.event_time(row)).unwrap_or(i64::MIN),
            key: Some(key),
            clear_state: Cell::new(false),
        };
        let result = value.and_then(|value| self.operator.process(value, state, &mut self.output, &context));
        match result {
            Ok(()) => {
                info.state = Some(place);
                info.touched = true;
                info.cleared = context.clear_state.get();
                if info.cleared {
                    *state = Op::State::default();
                }
            }
            Err(error) => {
                Op::Out::undo(&mut self.output.ports);
                reject(&mut self.answer, row as u32, error)?;
                if !info.touched {
                    // The next row of the key decodes the slot again.
                    return Ok(());
                }
                decode_into(state, &self.scratch).map_err(|error| state_error(input, key, &error))?;
            }
        }
        if last {
            let cleared = info.cleared;
            write_back(&mut self.answer, &mut self.scratch, input, key, state, cleared);
        }
        Ok(())
    }
}

/// Puts the state of a key into the answer, unless the host has the same bytes.
fn write_back<S: State>(
    answer: &mut Answer,
    scratch: &mut Vec<u8>,
    input: &Input<'_>,
    key: u32,
    state: &S,
    cleared: bool,
) {
    let before = input.slot(key);
    if cleared {
        if before.is_some() {
            answer.delete_slot(key);
        }
        return;
    }
    encode(state, scratch);
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
