//! The packed batch layout, format 1: how a batch crosses the sandbox, in one buffer each way.
//!
//! The host writes an *input* (`write_arrow_input`, or [`write_input`] in tests), the guest reads
//! it in place ([`Input`]) and builds an [`Answer`], and the host reads that as Arrow batches that
//! share its bytes (`AnswerView`, or [`AnswerRef`] without Arrow). Columns have Arrow's layout, so
//! that each is one copy in and none out.
//!
//! Neither side trusts the other's bytes. Both check every count and offset before they use it: a
//! broken buffer is a [`LayoutError`], never a panic, an access out of bounds, or an allocation
//! sized by the sender. There is no unsafe code.
//!
//! # Conventions
//!
//! All numbers are little-endian. Offsets count bytes from the start of the buffer unless said
//! otherwise, lengths are in bytes, both are `u32`; hence a buffer is shorter than 4 GiB. Every
//! section starts at a multiple of 8; gaps are zero and are not read. Sections may lie in any order
//! and share bytes. The buffer itself may have any alignment. Bitmaps hold row `i` in bit `i % 8` of
//! byte `i / 8` and have `⌈rows / 8⌉` bytes; bits past the last row are not read.
//!
//! # Header
//!
//! 80 bytes; the first 24 are common to all kinds.
//!
//! | at | type | field |
//! | --- | --- | --- |
//! | 0 | u32 | magic, `MSPB` |
//! | 4 | u16 | format, 1 |
//! | 6 | u16 | kind: 1 input, 2 answer, 3 timers (an input of timers that fired) |
//! | 8 | u32 | rows of the input; an answer repeats it |
//! | 12 | u32 | input: number of columns; answer: number of ports |
//! | 16 | u32 | distinct keys, 0 when not keyed; an answer repeats it |
//! | 20 | u32 | length of the buffer |
//!
//! Input and timers go on with:
//!
//! | at | type | field |
//! | --- | --- | --- |
//! | 24 | i64 | watermark, ms since the Unix epoch |
//! | 32 | i64 | processing time, ms since the Unix epoch |
//! | 40 | u32 | offset of event times, `i64[rows]` (of a timer: its time); 0 when there are none |
//! | 44 | u32 | offset of the key index, `u32[rows]`, each below the number of keys |
//! | 48 | u32 | offset of the key offsets, `u32[keys + 1]`, from 0 to the length of the key bytes and never going back |
//! | 52 | u32, u32 | offset and length of the key bytes |
//! | 60 | u32 | offset of the slot directory, one slot per key |
//! | 64 | u32, u32 | offset and length of the slot bytes |
//! | 72 | | zero |
//!
//! The fields from 44 on are zero when the batch is not keyed. The column directory follows the
//! header at 80.
//!
//! An answer goes on with:
//!
//! | at | type | field |
//! | --- | --- | --- |
//! | 24 | u32 | offset of the port directory |
//! | 28 | u32, u32 | number of changed slots, offset of their table |
//! | 36 | u32, u32 | offset and length of the slot bytes |
//! | 44 | u32, u32 | number of row errors, offset of their table |
//! | 52 | u32, u32 | offset and length of the error text, UTF-8 |
//! | 60 | u32, u32 | number of timers, offset of their table |
//! | 68 | u32, u32 | number of counter increments, offset of their table |
//! | 76 | | zero |
//!
//! # Column directory
//!
//! One entry of 32 bytes per column. Columns are known by position: the plugin declared them.
//!
//! | at | type | field |
//! | --- | --- | --- |
//! | 0 | u8 | type: 1 bool, 2 i32, 3 i64, 4 u32, 5 u64, 6 f32, 7 f64, 8 utf8, 9 binary, 10 timestamp, 11 date, 12 list&lt;f32>, 13 f32\[N] |
//! | 1 | u8 | flags: 1 = has a validity bitmap |
//! | 4 | u32 | N of f32\[N], else 0 |
//! | 8 | u32, u32 | validity: offset and length of the bitmap; length 0 when there is none |
//! | 16 | u32, u32 | offsets: offset and length of `i32[rows + 1]`, from 0 to the number of values and never going back, for utf8, binary (bytes) and list&lt;f32> (floats); else length 0 |
//! | 24 | u32, u32 | values: offset and length |
//!
//! # Tables of an input
//!
//! Slot directory, 16 bytes per key: u32 offset within the slot bytes, u32 length, u32 version of the
//! state, u32 zero. Length 0 means that the key has no state yet.
//!
//! # Tables of an answer
//!
//! Port directory, 24 bytes per port: u32 rows, u32 columns, u32 flags (1 = output row `i` comes from
//! input row `i`, and there are as many), u32 offset of the origins `u32[rows]` (the input row of each
//! output row, never descending; 0 with the flag), u32 offset of the column directory, u32 zero.
//!
//! The other tables have 16 bytes per entry:
//!
//! | table | fields |
//! | --- | --- |
//! | slots | u32 key index, u32 offset within the slot bytes, u32 length, u32 flags (1 = delete); no key twice; length 0 deletes too |
//! | errors | u32 row, u32 code, u32 offset within the error text, u32 length |
//! | timers | i64 event time in ms, u32 key index, u32 flags (1 = cancel) |
//! | counters | u32 index, u32 kind, then kind 0: u64, kind 1: f64, finite and not negative |
//!
//! # Fuzzing
//!
//! `tests/batch/hostile.rs` writes valid buffers, breaks them (flipped bytes, cuts, splices, numbers
//! overwritten with extreme ones) and reads what is left, in both directions. It is the fuzz target:
//! `PROPTEST_CASES=1000000 cargo test --release -p millstream-batch hostile`.

#![forbid(unsafe_code)]
#![no_std]

extern crate alloc;
#[cfg(any(test, feature = "arrow"))]
extern crate std;

mod answer;
mod answer_index;
mod answer_ref;
mod builder;
mod changes;
mod column;
mod encode;
mod entry;
mod error;
#[cfg(feature = "arrow")]
mod host;
mod input;
mod input_writer;
mod layout;
mod native;
mod port;
mod types;

pub use answer::Answer;
pub use answer_ref::AnswerRef;
pub use builder::{
    AnyBuilder, BinaryBuilder, BoolBuilder, ColumnBuilder, Columns, FixedF32Builder, ListF32Builder, PrimitiveBuilder,
    Utf8Builder,
};
pub use changes::{AnswerSpec, CounterIncrement, Increment, Limits, RowError, SlotChange, TimerChange};
pub use column::{
    BinaryColumn, BoolColumn, Column, ColumnView, FixedF32Column, Floats, ListF32Column, PrimitiveColumn, Utf8Column,
    Validity,
};
pub use error::LayoutError;
#[cfg(feature = "arrow")]
pub use host::{AnswerSchemas, AnswerView, column_type, write_arrow_input};
pub use input::{Input, InputKind, Slot};
pub use input_writer::{InputParts, KeyTable, Keys, NoKeys, write_input};
pub use layout::FORMAT;
pub use native::Native;
pub use port::{Port, PortBuilder};
pub use types::ColumnType;
