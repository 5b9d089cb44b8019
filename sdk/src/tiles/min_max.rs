//! The ring with smallest and largest values.

use super::{TileWidth, Tiles, Window};
use crate::state::{StateError, StateField};

/// `Tiles` that also keeps the smallest and largest value of each tile.
#[derive(Clone, Debug, PartialEq)]
pub struct TilesMinMax<const N: usize, U> {
    tiles: Tiles<N, U>,
    // Those of a tile without values are left over from earlier rounds, and never read.
    min: [f64; N],
    max: [f64; N],
}

impl<const N: usize, U> Default for TilesMinMax<N, U> {
    fn default() -> Self {
        Self { tiles: Tiles::default(), min: [0.0; N], max: [0.0; N] }
    }
}

impl<const N: usize, U: TileWidth> TilesMinMax<N, U> {
    /// Counts `value` at event time `at` (milliseconds since the Unix epoch). `false` if `at` is
    /// older than the ring and the value was left out.
    #[inline]
    pub fn add(&mut self, at: i64, value: f64) -> bool {
        let Some(tile) = self.tiles.locate(at) else { return false };
        let first = self.tiles.count_at(tile) == 0;
        self.min[tile] = if first { value } else { self.min[tile].min(value) };
        self.max[tile] = if first { value } else { self.max[tile].max(value) };
        self.tiles.add(at, value)
    }

    /// Moves the end of the window forward to event time `at` without counting anything; earlier
    /// times change nothing.
    #[inline]
    pub fn advance_to(&mut self, at: i64) {
        self.tiles.advance_to(at);
    }

    /// Number of values in the whole ring.
    pub fn count(&self) -> u32 {
        self.tiles.count()
    }

    /// Sum of the values in the whole ring.
    pub fn sum(&self) -> f64 {
        self.tiles.sum()
    }

    /// Mean of the values in the whole ring; 0 when there are none.
    pub fn mean(&self) -> f64 {
        self.tiles.mean()
    }

    /// The window of the newest `tiles` tiles (all of them when there are not so many).
    pub fn last(&self, tiles: usize) -> Window {
        self.tiles.last(tiles)
    }

    /// Smallest value of the newest `tiles` tiles, if there is any. Looks at each of them.
    pub fn min(&self, tiles: usize) -> Option<f64> {
        self.filled(tiles).map(|tile| self.min[tile]).reduce(f64::min)
    }

    /// Largest value of the newest `tiles` tiles, if there is any. Looks at each of them.
    pub fn max(&self, tiles: usize) -> Option<f64> {
        self.filled(tiles).map(|tile| self.max[tile]).reduce(f64::max)
    }

    fn filled(&self, tiles: usize) -> impl Iterator<Item = usize> {
        self.tiles.newest(tiles).filter(|tile| self.tiles.count_at(*tile) > 0)
    }
}

impl<const N: usize, U> StateField for TilesMinMax<N, U> {
    const FIXED_SIZE: Option<usize> = Some(24 + 28 * N);

    #[inline]
    fn size(&self) -> usize {
        24 + 28 * N
    }

    #[inline]
    fn write<'b>(&self, out: &'b mut [u8]) -> &'b mut [u8] {
        let out = self.tiles.write(out);
        let out = self.min.write(out);
        self.max.write(out)
    }

    #[inline]
    fn read(bytes: &mut &[u8]) -> Result<Self, StateError> {
        let mut tiles = Self::default();
        tiles.read_over(bytes)?;
        Ok(tiles)
    }

    #[inline]
    fn read_over(&mut self, bytes: &mut &[u8]) -> Result<(), StateError> {
        self.tiles.read_over(bytes)?;
        self.min.read_over(bytes)?;
        self.max.read_over(bytes)
    }
}
