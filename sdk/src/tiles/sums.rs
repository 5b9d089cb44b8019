//! The ring of counts and sums.

use std::marker::PhantomData;

use super::TileWidth;
use crate::state::{StateError, StateField};

/// Count, sum and mean over the last `N` tiles of width `U`. See the module for what a window is.
#[derive(Clone, Debug, PartialEq)]
pub struct Tiles<const N: usize, U> {
    /// Number of the newest tile since the Unix epoch (event time divided by the width).
    head: i64,
    /// Where the newest tile lies in the ring.
    position: u32,
    /// Running totals over the ring.
    count: u32,
    sum: f64,
    counts: [u32; N],
    sums: [f64; N],
    width: PhantomData<U>,
}

/// What a window of tiles holds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Window {
    /// Number of values.
    pub count: u32,
    /// Their sum.
    pub sum: f64,
}

impl Window {
    /// Their mean; 0 when there are none.
    pub fn mean(&self) -> f64 {
        mean(self.count, self.sum)
    }
}

fn mean(count: u32, sum: f64) -> f64 {
    if count == 0 { 0.0 } else { sum / f64::from(count) }
}

impl<const N: usize, U> Default for Tiles<N, U> {
    fn default() -> Self {
        const { assert!(N > 0 && N <= 65_536, "a ring has 1 to 65,536 tiles") };
        Self { head: i64::MIN, position: 0, count: 0, sum: 0.0, counts: [0; N], sums: [0.0; N], width: PhantomData }
    }
}

impl<const N: usize, U: TileWidth> Tiles<N, U> {
    /// Counts `value` at event time `at` (milliseconds since the Unix epoch). `false` if `at` is
    /// older than the ring and the value was left out.
    #[inline]
    pub fn add(&mut self, at: i64, value: f64) -> bool {
        let Some(tile) = self.locate(at) else { return false };
        self.counts[tile] = self.counts[tile].saturating_add(1);
        self.sums[tile] += value;
        self.count = self.count.saturating_add(1);
        self.sum += value;
        true
    }

    /// Moves the end of the window forward to event time `at` without counting anything; earlier
    /// times change nothing.
    #[inline]
    pub fn advance_to(&mut self, at: i64) {
        self.locate(at);
    }

    /// Number of values in the whole ring.
    #[inline]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Sum of the values in the whole ring.
    #[inline]
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// Mean of the values in the whole ring; 0 when there are none.
    #[inline]
    pub fn mean(&self) -> f64 {
        mean(self.count, self.sum)
    }

    /// The window of the newest `tiles` tiles (all of them when there are not so many).
    #[inline]
    pub fn last(&self, tiles: usize) -> Window {
        let mut window = Window::default();
        for tile in self.newest(tiles) {
            window.count = window.count.saturating_add(self.counts[tile]);
            window.sum += self.sums[tile];
        }
        window
    }

    /// Ring positions of the newest `tiles` tiles, as two runs: up to the head, then round the end.
    #[inline]
    pub(super) fn newest(&self, tiles: usize) -> impl Iterator<Item = usize> + use<N, U> {
        let tiles = tiles.min(N);
        let end = self.position as usize + 1;
        let before = end.min(tiles);
        (end - before..end).chain(N - (tiles - before)..N)
    }

    #[inline]
    pub(super) fn count_at(&self, tile: usize) -> u32 {
        self.counts[tile]
    }

    /// The ring position for event time `at`, after moving the ring forward to it if it is new.
    /// `None` if `at` is older than the ring.
    #[inline]
    pub(super) fn locate(&mut self, at: i64) -> Option<usize> {
        // The common case needs no division: `at` lies in the newest tile.
        let into_head = at.wrapping_sub(self.head.wrapping_mul(U::MILLIS));
        if self.head != i64::MIN && (0..U::MILLIS).contains(&into_head) {
            return Some(self.position as usize);
        }
        self.locate_elsewhere(at.div_euclid(U::MILLIS))
    }

    fn locate_elsewhere(&mut self, tile: i64) -> Option<usize> {
        if self.head == i64::MIN {
            self.head = tile;
            return Some(self.position as usize);
        }
        // Saturation only shortens distances that are far beyond any ring.
        let ahead = tile.saturating_sub(self.head);
        if ahead > 0 {
            self.head = tile;
            self.advance(usize::try_from(ahead).unwrap_or(usize::MAX));
            return Some(self.position as usize);
        }
        let behind = usize::try_from(ahead.unsigned_abs()).ok().filter(|behind| *behind < N)?;
        let position = self.position as usize;
        Some(if behind <= position { position - behind } else { position + N - behind })
    }

    /// Drops the oldest `tiles` tiles to make room for new ones.
    fn advance(&mut self, tiles: usize) {
        if tiles >= N {
            self.counts = [0; N];
            self.sums = [0.0; N];
            self.count = 0;
            self.sum = 0.0;
            return;
        }
        let mut went_round = false;
        let mut position = self.position as usize;
        for _ in 0..tiles {
            position += 1;
            if position == N {
                position = 0;
                went_round = true;
            }
            self.count = self.count.saturating_sub(self.counts[position]);
            self.sum -= self.sums[position];
            self.counts[position] = 0;
            self.sums[position] = 0.0;
        }
        self.position = position as u32;
        // Once a round, and whenever the ring is empty, the totals are exact again.
        if went_round {
            self.count = self.counts.iter().fold(0, |total, count| total.saturating_add(*count));
            self.sum = self.sums.iter().sum();
        } else if self.count == 0 {
            self.sum = 0.0;
        }
    }
}

impl<const N: usize, U> StateField for Tiles<N, U> {
    const FIXED_SIZE: Option<usize> = Some(24 + 12 * N);

    #[inline]
    fn size(&self) -> usize {
        24 + 12 * N
    }

    #[inline]
    fn write<'b>(&self, out: &'b mut [u8]) -> &'b mut [u8] {
        let out = self.head.write(out);
        let out = self.position.write(out);
        let out = self.count.write(out);
        let out = self.sum.write(out);
        let out = self.counts.write(out);
        self.sums.write(out)
    }

    #[inline]
    fn read(bytes: &mut &[u8]) -> Result<Self, StateError> {
        let mut tiles = Self::default();
        tiles.read_over(bytes)?;
        Ok(tiles)
    }

    #[inline]
    fn read_over(&mut self, bytes: &mut &[u8]) -> Result<(), StateError> {
        self.head.read_over(bytes)?;
        self.position.read_over(bytes)?;
        // Everything else indexes with it.
        if self.position as usize >= N {
            return Err(StateError::Malformed("a ring of tiles points outside of itself"));
        }
        self.count.read_over(bytes)?;
        self.sum.read_over(bytes)?;
        self.counts.read_over(bytes)?;
        self.sums.read_over(bytes)
    }
}
