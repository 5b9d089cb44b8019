//! Writing an input: what the host's Arrow side and a native test harness have in common.

use alloc::vec::Vec;

use crate::builder::Columns;
use crate::encode::{put_values, write_columns};
use crate::input::InputKind;
use crate::layout::{ENTRY, HEADER, at, begin, count, new_header, patch, position, put_u32, put_u64, reserve, seal};
use crate::{LayoutError, Slot};

/// The distinct keys of a batch and their state, lent to the writer.
pub trait KeyTable {
    /// Number of keys.
    fn len(&self) -> usize;
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Bytes of key `key`, below [`KeyTable::len`].
    fn key(&self, key: usize) -> &[u8];
    /// State of key `key`; `None`, or no bytes, when it has none yet.
    fn slot(&self, key: usize) -> Option<Slot<'_>>;
}

/// The table of an operator without keys.
#[derive(Clone, Copy, Debug)]
pub enum NoKeys {}

impl KeyTable for NoKeys {
    fn len(&self) -> usize {
        match *self {}
    }

    fn key(&self, _: usize) -> &[u8] {
        match *self {}
    }

    fn slot(&self, _: usize) -> Option<Slot<'_>> {
        match *self {}
    }
}

/// The keys of a batch.
#[derive(Debug)]
pub struct Keys<'a, K: KeyTable> {
    /// For every row the index of its key in `table`.
    pub index: &'a [u32],
    /// The distinct keys.
    pub table: &'a K,
}

/// What an input holds besides its columns.
#[derive(Debug)]
pub struct InputParts<'a, K: KeyTable = NoKeys> {
    /// What the rows are.
    pub kind: InputKind,
    /// Number of rows.
    pub rows: usize,
    /// Event time of every row in milliseconds since the Unix epoch, or empty. For timers: the
    /// time of each.
    pub event_times: &'a [i64],
    /// Keys, when the operator is keyed.
    pub keys: Option<Keys<'a, K>>,
    /// Watermark of the operator's input, milliseconds since the Unix epoch.
    pub watermark: i64,
    /// Processing time, milliseconds since the Unix epoch.
    pub processing_time: i64,
}

/// Writes an input whose columns were built by row, into `out` from its start. `out` keeps its
/// capacity from call to call.
///
/// # Errors
/// When a column, the event times or the key index has not as many rows as `parts` says, a key
/// index is beyond the table, or the buffer passes 4 GiB.
pub fn write_input<K: KeyTable>(
    out: &mut Vec<u8>,
    parts: &InputParts<'_, K>,
    columns: &dyn Columns,
) -> Result<(), LayoutError> {
    let mut number = 0;
    columns.each(&mut |_| number += 1);
    write_with(out, parts, number, |out| write_columns(out, parts.rows, number, &mut |visit| columns.each(visit)))
}

/// Writes an input; `columns` appends the column directory and the columns.
pub(crate) fn write_with<K: KeyTable>(
    out: &mut Vec<u8>,
    parts: &InputParts<'_, K>,
    number: usize,
    columns: impl FnOnce(&mut Vec<u8>) -> Result<(), LayoutError>,
) -> Result<(), LayoutError> {
    use at::input as field;
    let keys = parts.keys.as_ref().map_or(0, |keys| keys.table.len());
    let mut header = new_header(parts.kind.tag(), parts.rows, number, keys)?;
    put_u64(&mut header, field::WATERMARK, parts.watermark.cast_unsigned());
    put_u64(&mut header, field::PROCESSING_TIME, parts.processing_time.cast_unsigned());
    out.clear();
    reserve(out, HEADER);
    columns(out)?;
    if !parts.event_times.is_empty() {
        expect_rows("event times", parts.event_times.len(), parts.rows)?;
        put_u32(&mut header, field::EVENT_TIMES, put_values(out, parts.event_times)?.0);
    }
    if let Some(keys) = &parts.keys {
        write_keys(out, &mut header, keys, parts.rows)?;
    }
    seal(out, &mut header)
}

fn write_keys<K: KeyTable>(
    out: &mut Vec<u8>,
    header: &mut [u8; HEADER],
    keys: &Keys<'_, K>,
    rows: usize,
) -> Result<(), LayoutError> {
    use at::input as field;
    expect_rows("key index", keys.index.len(), rows)?;
    let len = keys.table.len();
    if let Some((at, &index)) = keys.index.iter().enumerate().find(|&(_, &index)| index as usize >= len) {
        let limit = (len as u64).saturating_sub(1);
        return Err(LayoutError::Value { what: "key index of row", at, found: index.into(), limit });
    }
    put_u32(header, field::KEY_INDEX, put_values(out, keys.index)?.0);

    put_u32(header, field::KEY_OFFSETS, begin(out));
    let offsets = reserve(out, (len + 1) * 4);
    let bytes = begin(out);
    for key in 0..len {
        out.extend_from_slice(keys.table.key(key));
        let end = position(out).wrapping_sub(bytes);
        patch(out, offsets + (key + 1) * 4, &end.to_le_bytes());
    }
    put_u32(header, field::KEY_BYTES, bytes);
    put_u32(header, field::KEY_BYTES_LEN, position(out).wrapping_sub(bytes));

    put_u32(header, field::SLOTS, begin(out));
    let directory = reserve(out, len * ENTRY);
    let bytes = begin(out);
    for key in 0..len {
        if let Some(slot) = keys.table.slot(key) {
            let offset = position(out).wrapping_sub(bytes);
            out.extend_from_slice(slot.bytes);
            let mut entry = [0; ENTRY];
            put_u32(&mut entry, 0, offset);
            put_u32(&mut entry, 4, count("length of a slot", slot.bytes.len())?);
            put_u32(&mut entry, 8, slot.version);
            patch(out, directory + key * ENTRY, &entry);
        }
    }
    put_u32(header, field::SLOT_BYTES, bytes);
    put_u32(header, field::SLOT_BYTES_LEN, position(out).wrapping_sub(bytes));
    Ok(())
}

pub(crate) fn expect_rows(what: &'static str, found: usize, rows: usize) -> Result<(), LayoutError> {
    if found == rows {
        return Ok(());
    }
    Err(LayoutError::Length { what, at: 0, expected: rows as u64, found: found as u64 })
}
