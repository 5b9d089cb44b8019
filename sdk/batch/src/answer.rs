//! The guest's answer under construction: output ports, slots, timers, errors, counters.
//!
//! Slots are appended straight to the buffer that is returned, behind the header, because they are
//! most of its bytes; everything else is small and follows when the answer is finished.

use alloc::vec::Vec;

use crate::encode::put_bytes;
use crate::layout::{
    ENTRY, HEADER, KIND_ANSWER, PORT, at, begin, count, new_header, patch, position, put_u32, put_u64, reserve, seal,
};
use crate::port::{Port, write_port};
use crate::{Input, LayoutError};

/// Flag of a slot that is deleted.
pub(crate) const DELETED: u32 = 1;
/// Flag of a timer that is cancelled.
pub(crate) const CANCELLED: u32 = 1;
/// Kinds of counter increments.
pub(crate) const WHOLE: u32 = 0;
pub(crate) const FRACTION: u32 = 1;

/// An answer under construction; one serves all batches of an instance.
#[derive(Clone, Debug)]
pub struct Answer {
    rows: usize,
    keys: usize,
    /// Header, then the bytes of the slots.
    buffer: Vec<u8>,
    /// Length of the last answer, the guess for the next one.
    last_len: usize,
    slots: Vec<[u8; ENTRY]>,
    errors: Vec<[u8; ENTRY]>,
    error_text: Vec<u8>,
    timers: Vec<[u8; ENTRY]>,
    counters: Vec<Counter>,
}

#[derive(Clone, Copy, Debug)]
struct Counter {
    index: u32,
    whole: u64,
    fraction: f64,
}

impl Default for Answer {
    fn default() -> Self {
        Self::new()
    }
}

impl Answer {
    /// An answer to a batch without rows; [`Answer::start`] says to which it really is.
    pub fn new() -> Self {
        Self {
            rows: 0,
            keys: 0,
            buffer: [0; HEADER].into(),
            last_len: 0,
            slots: Vec::new(),
            errors: Vec::new(),
            error_text: Vec::new(),
            timers: Vec::new(),
            counters: Vec::new(),
        }
    }

    /// Forgets everything and starts the answer to `input`; capacity stays.
    pub fn start(&mut self, input: &Input<'_>) {
        self.clear();
        self.rows = input.rows();
        self.keys = input.keys();
    }

    /// Forgets everything; capacity stays.
    pub fn clear(&mut self) {
        self.rows = 0;
        self.keys = 0;
        self.buffer.clear();
        self.buffer.reserve(self.last_len.max(HEADER));
        self.buffer.resize(HEADER, 0);
        self.slots.clear();
        self.errors.clear();
        self.error_text.clear();
        self.timers.clear();
        self.counters.clear();
    }

    /// Sets the state of key `key`; empty bytes delete it. At most once per key and answer.
    #[inline]
    pub fn set_slot(&mut self, key: u32, bytes: &[u8]) {
        let offset = self.slot_position();
        self.buffer.extend_from_slice(bytes);
        self.end_slot(key, offset);
    }

    /// Sets the state of key `key` to `len` bytes that `fill` writes in place; they are zero
    /// before. Saves a copy where the state is encoded anyway.
    #[inline]
    pub fn set_slot_with(&mut self, key: u32, len: usize, fill: impl FnOnce(&mut [u8])) {
        let offset = self.slot_position();
        let start = reserve(&mut self.buffer, len);
        fill(self.buffer.get_mut(start..).unwrap_or_default());
        self.end_slot(key, offset);
    }

    /// Deletes the state of key `key`. At most one of set and delete per key and answer.
    pub fn delete_slot(&mut self, key: u32) {
        let offset = self.slot_position();
        self.push_slot(key, offset, 0, DELETED);
    }

    /// Bytes of slots so far; past 4 GiB the answer is refused as a whole.
    fn slot_position(&self) -> u32 {
        position(&self.buffer).wrapping_sub(HEADER as u32)
    }

    fn end_slot(&mut self, key: u32, offset: u32) {
        let len = self.slot_position().wrapping_sub(offset);
        self.push_slot(key, offset, len, if len == 0 { DELETED } else { 0 });
    }

    fn push_slot(&mut self, key: u32, offset: u32, len: u32, flags: u32) {
        let mut entry = [0; ENTRY];
        put_u32(&mut entry, 0, key);
        put_u32(&mut entry, 4, offset);
        put_u32(&mut entry, 8, len);
        put_u32(&mut entry, 12, flags);
        self.slots.push(entry);
    }

    /// Reports that row `row` of the input cannot be processed; the host sends it to the
    /// dead-letter sink with this message.
    pub fn row_error(&mut self, row: u32, code: u32, message: &str) {
        let mut entry = [0; ENTRY];
        put_u32(&mut entry, 0, row);
        put_u32(&mut entry, 4, code);
        put_u32(&mut entry, 8, position(&self.error_text));
        put_u32(&mut entry, 12, message.len() as u32);
        self.error_text.extend_from_slice(message.as_bytes());
        self.errors.push(entry);
    }

    /// Sets a timer of key `key` at event time `at` in milliseconds since the Unix epoch.
    pub fn set_timer(&mut self, key: u32, at: i64) {
        self.push_timer(key, at, 0);
    }

    /// Cancels the timer of key `key` at event time `at`.
    pub fn cancel_timer(&mut self, key: u32, at: i64) {
        self.push_timer(key, at, CANCELLED);
    }

    fn push_timer(&mut self, key: u32, at: i64, flags: u32) {
        let mut entry = [0; ENTRY];
        put_u64(&mut entry, 0, at.cast_unsigned());
        put_u32(&mut entry, 8, key);
        put_u32(&mut entry, 12, flags);
        self.timers.push(entry);
    }

    /// Adds to counter `index` of the description. Increments of one counter travel as one.
    pub fn count(&mut self, index: u32, by: u64) {
        let counter = self.counter(index);
        counter.whole = counter.whole.saturating_add(by);
    }

    /// Adds a fraction to counter `index` of the description. A counter only grows: what is
    /// negative or not finite is left out.
    pub fn count_f64(&mut self, index: u32, by: f64) {
        let counter = self.counter(index);
        let sum = counter.fraction + by;
        if by > 0.0 && sum.is_finite() {
            counter.fraction = sum;
        }
    }

    fn counter(&mut self, index: u32) -> &mut Counter {
        // Plugins have a handful of counters: a scan beats a map.
        let place = self.counters.iter().position(|counter| counter.index == index).unwrap_or_else(|| {
            self.counters.push(Counter { index, whole: 0, fraction: 0.0 });
            self.counters.len() - 1
        });
        &mut self.counters[place]
    }

    /// Writes the answer, and clears itself and the ports for the next batch, also on failure.
    ///
    /// The bytes are given away because the component model takes them; a vector of the same
    /// length is made for the next answer.
    ///
    /// # Errors
    /// When the columns of a port have not as many rows as were ended, a list of `f32[N]` has
    /// another length, or the answer passes 4 GiB.
    pub fn finish(&mut self, ports: &mut [&mut dyn Port]) -> Result<Vec<u8>, LayoutError> {
        let mut out = core::mem::take(&mut self.buffer);
        let result = self.write(&mut out, ports);
        self.last_len = out.len();
        self.clear();
        for port in ports {
            port.clear();
        }
        result.map(|()| out)
    }

    fn write(&self, out: &mut Vec<u8>, ports: &[&mut dyn Port]) -> Result<(), LayoutError> {
        use at::answer as field;
        let mut header = new_header(KIND_ANSWER, self.rows, ports.len(), self.keys)?;
        put_u32(&mut header, field::SLOT_BYTES, HEADER as u32);
        put_u32(&mut header, field::SLOT_BYTES_LEN, count("bytes of slots", out.len() - HEADER)?);
        put_u32(&mut header, field::PORTS, begin(out));
        let directory = reserve(out, ports.len() * PORT);
        for (index, port) in ports.iter().enumerate() {
            let entry = write_port(out, &**port, self.rows).map_err(|error| error.in_port(index))?;
            patch(out, directory + index * PORT, &entry);
        }
        let mut counters = Vec::new();
        for counter in &self.counters {
            if counter.whole != 0 {
                counters.push(counter_entry(counter.index, WHOLE, counter.whole));
            }
            if counter.fraction != 0.0 {
                counters.push(counter_entry(counter.index, FRACTION, counter.fraction.to_bits()));
            }
        }
        for (entries, count_field, offset_field) in [
            (&self.slots, field::SLOT_COUNT, field::SLOTS),
            (&self.errors, field::ERROR_COUNT, field::ERRORS),
            (&self.timers, field::TIMER_COUNT, field::TIMERS),
            (&counters, field::COUNTER_COUNT, field::COUNTERS),
        ] {
            let (offset, _) = put_bytes(out, entries.as_flattened())?;
            put_u32(&mut header, count_field, count("number of entries", entries.len())?);
            put_u32(&mut header, offset_field, offset);
        }
        let (offset, len) = put_bytes(out, &self.error_text)?;
        put_u32(&mut header, field::ERROR_TEXT, offset);
        put_u32(&mut header, field::ERROR_TEXT_LEN, len);
        seal(out, &mut header)
    }
}

fn counter_entry(index: u32, kind: u32, value: u64) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    put_u32(&mut entry, 0, index);
    put_u32(&mut entry, 4, kind);
    put_u64(&mut entry, 8, value);
    entry
}
