//! A batch as the guest reads it: columns, event times, keys, and the keys' state.

use crate::LayoutError;
use crate::column::{Column, ColumnView};
use crate::entry::Entry;
use crate::layout::{
    COLUMN, ENTRY, HEADER, KIND_INPUT, KIND_TIMERS, Span, at, check_offsets, read_header, table, u16_at, u32_at, u64_at,
};

/// What the rows of an input are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// Rows of the stream, or of a broadcast update.
    Batch,
    /// Timers that fired: the event time of a row is the timer's time, its key the timer's key.
    Timers,
}

impl InputKind {
    pub(crate) fn tag(self) -> u16 {
        match self {
            Self::Batch => KIND_INPUT,
            Self::Timers => KIND_TIMERS,
        }
    }
}

/// The state of one key as it was when the batch was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot<'a> {
    /// Version of the state's layout.
    pub version: u32,
    /// The state; never empty.
    pub bytes: &'a [u8],
}

/// An input buffer whose header, directory and bounds were checked. Views of its columns are made
/// with [`Input::column`], once per batch; all accessors are O(1) and allocate nothing.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    bytes: &'a [u8],
    kind: InputKind,
    rows: u32,
    watermark: i64,
    processing_time: i64,
    directory: &'a [[u8; COLUMN]],
    event_times: &'a [[u8; 8]],
    key_index: &'a [[u8; 4]],
    key_offsets: &'a [[u8; 4]],
    key_bytes: &'a [u8],
    slots: &'a [[u8; ENTRY]],
    slot_bytes: &'a [u8],
}

impl<'a> Input<'a> {
    /// Reads a buffer from the host; any alignment will do.
    ///
    /// # Errors
    /// When a length, offset, type or index is not as format 1 has it. Text and the offsets of
    /// columns are looked at in [`Input::column`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, LayoutError> {
        use at::input as field;
        let header = read_header(bytes)?;
        let kind = match u16_at(header, at::KIND) {
            KIND_INPUT => InputKind::Batch,
            KIND_TIMERS => InputKind::Timers,
            other => {
                return Err(LayoutError::Header { field: "kind", expected: KIND_INPUT.into(), found: other.into() });
            }
        };
        let total = bytes.len();
        let rows = u32_at(header, at::ROWS);
        let keys = u32_at(header, at::KEYS);
        let directory =
            table::<COLUMN>(total, "column directory", 0, HEADER as u32, u32_at(header, at::COLUMNS))?.records(bytes);
        for (at, record) in directory.iter().enumerate() {
            Entry::parse(record, at, rows, total)?;
        }
        let event_times = match u32_at(header, field::EVENT_TIMES) {
            0 => Span::default(),
            offset => table::<8>(total, "event times", 0, offset, rows)?,
        };
        let mut input = Self {
            bytes,
            kind,
            rows,
            watermark: u64_at(header, field::WATERMARK).cast_signed(),
            processing_time: u64_at(header, field::PROCESSING_TIME).cast_signed(),
            directory,
            event_times: event_times.records(bytes),
            key_index: &[],
            key_offsets: &[],
            key_bytes: &[],
            slots: &[],
            slot_bytes: &[],
        };
        if keys > 0 {
            let span = |what, at: usize, len: u32| Span::new(total, what, 0, u32_at(header, at), len);
            input.key_index = table::<4>(total, "key index", 0, u32_at(header, field::KEY_INDEX), rows)?.records(bytes);
            input.key_offsets =
                table::<4>(total, "key offsets", 0, u32_at(header, field::KEY_OFFSETS), u64::from(keys) + 1)?
                    .records(bytes);
            input.key_bytes = span("key bytes", field::KEY_BYTES, u32_at(header, field::KEY_BYTES_LEN))?.of(bytes);
            input.slots =
                table::<ENTRY>(total, "slot directory", 0, u32_at(header, field::SLOTS), keys)?.records(bytes);
            input.slot_bytes = span("slot bytes", field::SLOT_BYTES, u32_at(header, field::SLOT_BYTES_LEN))?.of(bytes);
            input.check_keys(keys)?;
        }
        Ok(input)
    }

    fn check_keys(&self, keys: u32) -> Result<(), LayoutError> {
        let limit = u64::from(keys) - 1;
        for (at, &index) in self.key_index.iter().enumerate() {
            let index = u32::from_le_bytes(index);
            if index >= keys {
                return Err(LayoutError::Value { what: "key index of row", at, found: index.into(), limit });
            }
        }
        check_offsets("key offsets", 0, self.key_offsets, self.key_bytes.len())?;
        let limit = self.slot_bytes.len() as u64;
        for (at, slot) in self.slots.iter().enumerate() {
            let end = u64::from(u32_at(slot, 0)) + u64::from(u32_at(slot, 4));
            if end > limit {
                return Err(LayoutError::Value { what: "end of slot", at, found: end, limit });
            }
        }
        Ok(())
    }

    /// Whether the rows come from the stream or are timers that fired.
    pub fn kind(&self) -> InputKind {
        self.kind
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows as usize
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.directory.len()
    }

    /// Number of distinct keys; 0 when the operator is not keyed.
    pub fn keys(&self) -> usize {
        self.slots.len()
    }

    /// Watermark of the operator's input, milliseconds since the Unix epoch; the least `i64`
    /// before the first event.
    pub fn watermark(&self) -> i64 {
        self.watermark
    }

    /// Processing time of the batch, milliseconds since the Unix epoch.
    pub fn processing_time(&self) -> i64 {
        self.processing_time
    }

    /// The column at `index` in the order in which the plugin declared its inputs.
    ///
    /// # Errors
    /// When there is no such column.
    pub fn raw_column(&self, index: usize) -> Result<Column<'a>, LayoutError> {
        let Some(record) = self.directory.get(index) else {
            let limit = (self.directory.len() as u64).saturating_sub(1);
            return Err(LayoutError::Value { what: "index of column", at: index, found: index as u64, limit });
        };
        let entry = Entry::parse(record, index, self.rows, self.bytes.len())?;
        Ok(Column::new(&entry, self.bytes, index, self.rows()))
    }

    /// The column at `index` as the view `V`; make it once per batch.
    ///
    /// # Errors
    /// When there is no such column, it has another type, or its contents are broken.
    pub fn column<V: ColumnView<'a>>(&self, index: usize) -> Result<V, LayoutError> {
        self.raw_column(index)?.view()
    }

    /// Event time of `row` (of a timer: its time), milliseconds since the Unix epoch. `None` when
    /// the stream has no event time, or no such row.
    #[inline]
    pub fn event_time(&self, row: usize) -> Option<i64> {
        self.event_times.get(row).copied().map(i64::from_le_bytes)
    }

    /// Index of the key of `row`, below [`Input::keys`]. `None` when the operator is not keyed, or
    /// there is no such row.
    #[inline]
    pub fn key_index(&self, row: usize) -> Option<u32> {
        self.key_index.get(row).copied().map(u32::from_le_bytes)
    }

    /// The bytes of key `key`.
    #[inline]
    pub fn key(&self, key: u32) -> Option<&'a [u8]> {
        let key = key as usize;
        let start = u32::from_le_bytes(*self.key_offsets.get(key)?) as usize;
        let end = u32::from_le_bytes(*self.key_offsets.get(key + 1)?) as usize;
        self.key_bytes.get(start..end)
    }

    /// The state of key `key`; `None` when the key has none yet.
    #[inline]
    pub fn slot(&self, key: u32) -> Option<Slot<'a>> {
        let slot = self.slots.get(key as usize)?;
        let (start, len) = (u32_at(slot, 0) as usize, u32_at(slot, 4) as usize);
        if len == 0 {
            return None;
        }
        Some(Slot { version: u32_at(slot, 8), bytes: self.slot_bytes.get(start..start.checked_add(len)?)? })
    }
}
