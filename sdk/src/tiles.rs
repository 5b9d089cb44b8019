//! Sliding windows over event time, kept as a ring of buckets ("tiles") in the state of a key.
//!
//! `Tiles<24, Hour>` covers the current hour and the 23 before it. A value is added to the tile of
//! its own event time; asking for `count()` or `mean()` gives the window that ends with the newest
//! tile, the value just added included.
//!
//! - **The error of the bucket width.** Tiles begin at whole multiples of the width since the Unix
//!   epoch (UTC hours, UTC days), so a window of `k` tiles reaches back between `k - 1` and `k`
//!   widths from the newest event, never further. Values that an exact window of `k` widths would
//!   still hold, but which lie in the oldest, already dropped tile, are missing: at an even rate
//!   half a tile on average, so about `1 / 2k` of the count (2 % for 24 tiles).
//! - **The end of the window** is the newest event time that the key has seen, not the event time of
//!   the row in hand. A row that is late but within the ring goes to the tile it belongs to; a row
//!   older than the ring is left out, and `add` says so.
//! - **A jump** of the event time by the whole ring or more starts an empty ring.
//! - **Cost.** `add`, `count`, `sum` and `mean` take constant time however long the ring is:
//!   running totals are kept. They are summed afresh whenever the ring has gone round once, so that
//!   rounding errors do not pile up. `last(k)`, `min` and `max` look at each tile they cover.
//! - **Size** in a slot: `24 + 12 N` bytes, 312 for 24 tiles; with `TilesMinMax` `24 + 28 N`.

mod min_max;
mod sums;
#[cfg(test)]
mod tests;

pub use min_max::TilesMinMax;
pub use sums::{Tiles, Window};

/// The width of a tile.
pub trait TileWidth {
    /// Milliseconds, positive.
    const MILLIS: i64;
}

/// Tiles of one minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Minute {}

/// Tiles of one hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hour {}

/// Tiles of one day (24 hours, UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Day {}

/// Tiles of `W` milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Millis<const W: i64> {}

impl TileWidth for Minute {
    const MILLIS: i64 = 60_000;
}

impl TileWidth for Hour {
    const MILLIS: i64 = 3_600_000;
}

impl TileWidth for Day {
    const MILLIS: i64 = 86_400_000;
}

impl<const W: i64> TileWidth for Millis<W> {
    const MILLIS: i64 = {
        assert!(W > 0, "a tile is at least one millisecond wide");
        W
    };
}
