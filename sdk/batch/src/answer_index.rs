//! Reading an answer without trusting a byte of it.
//!
//! [`Index::parse`] compares every count with what the host asked for before anything is sized by
//! it, and every offset with the buffer; what it returns is plain numbers, so that the same checks
//! serve borrowed bytes in `answer_ref` and Arrow's shared buffers in `host`.

use alloc::vec;
use alloc::vec::Vec;

use crate::answer::{CANCELLED, DELETED, FRACTION, WHOLE};
use crate::entry::Entry;
use crate::layout::{COLUMN, ENTRY, KIND_ANSWER, PORT, Span, at, expect, read_header, table, u16_at, u32_at, u64_at};
use crate::port::IDENTITY;
use crate::{AnswerSpec, ColumnType, CounterIncrement, Increment, LayoutError, RowError, SlotChange, TimerChange};

/// A checked answer as plain numbers: everything but the contents of columns was looked at.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    pub(crate) ports: Vec<PortIndex>,
    slots: Span,
    slot_bytes: Span,
    errors: Span,
    error_text: Span,
    timers: Span,
    counters: Span,
}

#[derive(Clone, Debug)]
pub(crate) struct PortIndex {
    pub(crate) rows: usize,
    /// `None` when row `i` comes from input row `i`.
    pub(crate) origins: Option<Span>,
    pub(crate) columns: Vec<Entry>,
}

impl Index {
    pub(crate) fn parse(bytes: &[u8], spec: &AnswerSpec, rows: usize, keys: usize) -> Result<Self, LayoutError> {
        use at::answer as field;
        let header = read_header(bytes)?;
        expect("kind", u16_at(header, at::KIND).into(), KIND_ANSWER.into())?;
        expect("rows", u32_at(header, at::ROWS).into(), rows as u64)?;
        expect("keys", u32_at(header, at::KEYS).into(), keys as u64)?;
        expect("ports", u32_at(header, at::COLUMNS).into(), spec.ports.len() as u64)?;

        let total = bytes.len();
        let entries = |what, count: usize, offset: usize| {
            table::<ENTRY>(total, what, 0, u32_at(header, offset), u32_at(header, count))
        };
        let plain =
            |what, offset: usize, len: usize| Span::new(total, what, 0, u32_at(header, offset), u32_at(header, len));
        let directory =
            table::<PORT>(total, "port directory", 0, u32_at(header, field::PORTS), spec.ports.len() as u64)?;
        let ports = directory
            .records::<PORT>(bytes)
            .iter()
            .zip(&spec.ports)
            .enumerate()
            .map(|(at, (record, types))| {
                PortIndex::parse(bytes, record, types, rows, spec.limits.rows).map_err(|error| error.in_port(at))
            })
            .collect::<Result<_, _>>()?;
        let index = Self {
            ports,
            slots: entries("slot table", field::SLOT_COUNT, field::SLOTS)?,
            slot_bytes: plain("slot bytes", field::SLOT_BYTES, field::SLOT_BYTES_LEN)?,
            errors: entries("error table", field::ERROR_COUNT, field::ERRORS)?,
            error_text: plain("error text", field::ERROR_TEXT, field::ERROR_TEXT_LEN)?,
            timers: entries("timer table", field::TIMER_COUNT, field::TIMERS)?,
            counters: entries("counter table", field::COUNTER_COUNT, field::COUNTERS)?,
        };
        index.check_slots(bytes, keys, spec.limits.slot)?;
        index.check_errors(bytes, rows)?;
        index.check_timers(bytes, keys)?;
        index.check_counters(bytes, spec.counters)?;
        Ok(index)
    }

    fn check_slots(&self, bytes: &[u8], keys: usize, limit: u32) -> Result<(), LayoutError> {
        let mut seen = vec![false; keys];
        for (at, entry) in self.slots.records::<ENTRY>(bytes).iter().enumerate() {
            let (key, offset, len, flags) = (u32_at(entry, 0), u32_at(entry, 4), u32_at(entry, 8), u32_at(entry, 12));
            match seen.get_mut(key as usize) {
                Some(seen) if !*seen => *seen = true,
                Some(_) => return Err(LayoutError::Order { what: "key of slot", at }),
                None => return Err(beyond("key of slot", at, key, keys)),
            }
            within("flags of slot", at, flags, DELETED)?;
            within("length of slot", at, len, limit)?;
            section("end of slot", at, offset, len, self.slot_bytes)?;
        }
        Ok(())
    }

    fn check_errors(&self, bytes: &[u8], rows: usize) -> Result<(), LayoutError> {
        let what = "text of error";
        let all = core::str::from_utf8(self.error_text.of(bytes)).map_err(|_| LayoutError::Text { what, at: 0 })?;
        for (at, entry) in self.errors.records::<ENTRY>(bytes).iter().enumerate() {
            let (row, offset, len) = (u32_at(entry, 0), u32_at(entry, 8), u32_at(entry, 12));
            if row as usize >= rows {
                return Err(beyond("row of error", at, row, rows));
            }
            section("end of error text", at, offset, len, self.error_text)?;
            if text(all, offset, len).is_none() {
                return Err(LayoutError::Text { what, at });
            }
        }
        Ok(())
    }

    fn check_timers(&self, bytes: &[u8], keys: usize) -> Result<(), LayoutError> {
        for (at, entry) in self.timers.records::<ENTRY>(bytes).iter().enumerate() {
            let key = u32_at(entry, 8);
            if key as usize >= keys {
                return Err(beyond("key of timer", at, key, keys));
            }
            within("flags of timer", at, u32_at(entry, 12), CANCELLED)?;
        }
        Ok(())
    }

    fn check_counters(&self, bytes: &[u8], counters: u32) -> Result<(), LayoutError> {
        for (at, entry) in self.counters.records::<ENTRY>(bytes).iter().enumerate() {
            let index = u32_at(entry, 0);
            if index >= counters {
                return Err(beyond("index of counter", at, index, counters as usize));
            }
            let kind = u32_at(entry, 4);
            within("kind of counter", at, kind, FRACTION)?;
            let by = f64::from_bits(u64_at(entry, 8));
            if kind == FRACTION && !(by.is_finite() && by >= 0.0) {
                let found = by.to_bits();
                return Err(LayoutError::Value { what: "bits of counter", at, found, limit: f64::MAX.to_bits() });
            }
        }
        Ok(())
    }

    pub(crate) fn slots<'a>(&self, bytes: &'a [u8]) -> impl ExactSizeIterator<Item = SlotChange<'a>> + use<'a> {
        let all = self.slot_bytes.of(bytes);
        self.slots.records::<ENTRY>(bytes).iter().map(move |entry| {
            let (start, len) = (u32_at(entry, 4) as usize, u32_at(entry, 8) as usize);
            let slot = all.get(start..start + len).filter(|slot| !slot.is_empty() && u32_at(entry, 12) != DELETED);
            SlotChange { key: u32_at(entry, 0), bytes: slot }
        })
    }

    pub(crate) fn errors<'a>(&self, bytes: &'a [u8]) -> impl ExactSizeIterator<Item = RowError<'a>> + use<'a> {
        let all = core::str::from_utf8(self.error_text.of(bytes)).unwrap_or_default();
        self.errors.records::<ENTRY>(bytes).iter().map(move |entry| RowError {
            row: u32_at(entry, 0),
            code: u32_at(entry, 4),
            message: text(all, u32_at(entry, 8), u32_at(entry, 12)).unwrap_or_default(),
        })
    }

    pub(crate) fn timers<'a>(&self, bytes: &'a [u8]) -> impl ExactSizeIterator<Item = TimerChange> + use<'a> {
        self.timers.records::<ENTRY>(bytes).iter().map(|entry| TimerChange {
            key: u32_at(entry, 8),
            at: u64_at(entry, 0).cast_signed(),
            cancel: u32_at(entry, 12) == CANCELLED,
        })
    }

    pub(crate) fn counters<'a>(&self, bytes: &'a [u8]) -> impl ExactSizeIterator<Item = CounterIncrement> + use<'a> {
        self.counters.records::<ENTRY>(bytes).iter().map(|entry| {
            let value = u64_at(entry, 8);
            let whole = u32_at(entry, 4) == WHOLE;
            let by = if whole { Increment::Whole(value) } else { Increment::Fraction(f64::from_bits(value)) };
            CounterIncrement { index: u32_at(entry, 0), by }
        })
    }
}

impl PortIndex {
    fn parse(
        bytes: &[u8],
        record: &[u8; PORT],
        types: &[ColumnType],
        rows_in: usize,
        limit: u32,
    ) -> Result<Self, LayoutError> {
        let total = bytes.len();
        let rows = u32_at(record, 0);
        within("number of rows", 0, rows, limit)?;
        expect("columns", u32_at(record, 4).into(), types.len() as u64)?;
        let flags = u32_at(record, 8);
        within("flags of port", 0, flags, IDENTITY)?;
        let origins = if flags == IDENTITY {
            expect("rows of a port without origins", rows.into(), rows_in as u64)?;
            None
        } else {
            let span = table::<4>(total, "origins", 0, u32_at(record, 12), rows)?;
            check_origins(span.records(bytes), rows_in)?;
            Some(span)
        };
        let offset = u32_at(record, 16);
        let directory = table::<COLUMN>(total, "column directory", 0, offset, types.len() as u64)?;
        let mut columns = Vec::with_capacity(types.len());
        for (at, (record, &expected)) in directory.records::<COLUMN>(bytes).iter().zip(types).enumerate() {
            let entry = Entry::parse(record, at, rows, total)?;
            if entry.column_type != expected {
                return Err(LayoutError::Type { at, expected, found: entry.column_type });
            }
            columns.push(entry);
        }
        Ok(Self { rows: rows as usize, origins, columns })
    }
}

/// Checks that origins never go back and lie within the input.
fn check_origins(origins: &[[u8; 4]], rows_in: usize) -> Result<(), LayoutError> {
    let (mut last, mut ascending) = (0, true);
    for &origin in origins {
        let origin = u32::from_le_bytes(origin);
        ascending &= last <= origin;
        last = origin;
    }
    if !ascending {
        return Err(LayoutError::Order { what: "origin of a row of port", at: 0 });
    }
    if !origins.is_empty() && last as usize >= rows_in {
        return Err(beyond("origin of row", origins.len() - 1, last, rows_in));
    }
    Ok(())
}

fn beyond(what: &'static str, at: usize, found: u32, count: usize) -> LayoutError {
    LayoutError::Value { what, at, found: found.into(), limit: (count as u64).saturating_sub(1) }
}

fn within(what: &'static str, at: usize, found: u32, limit: u32) -> Result<(), LayoutError> {
    if found <= limit { Ok(()) } else { Err(LayoutError::Value { what, at, found: found.into(), limit: limit.into() }) }
}

fn section(what: &'static str, at: usize, offset: u32, len: u32, of: Span) -> Result<(), LayoutError> {
    let (found, limit) = (u64::from(offset) + u64::from(len), of.len as u64);
    if found <= limit { Ok(()) } else { Err(LayoutError::Value { what, at, found, limit }) }
}

/// A part of the error text whose bounds were checked; `None` when it is cut within a character.
fn text(all: &str, offset: u32, len: u32) -> Option<&str> {
    let start = offset as usize;
    all.get(start..start + len as usize)
}
