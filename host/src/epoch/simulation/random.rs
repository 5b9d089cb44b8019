//! Where chance comes from: a seed (SplitMix64).

use std::cell::Cell;

/// A sequence of numbers from a seed. Shared by all parts of a world.
pub(in crate::epoch) struct Random(Cell<u64>);

impl Random {
    pub(in crate::epoch) fn new(seed: u64) -> Self {
        Self(Cell::new(seed.wrapping_mul(0xA24B_AED4_963E_E407).wrapping_add(0x9FB2_1C65_1E98_DF25)))
    }

    fn next(&self) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15));
        let mut z = self.0.get();
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 when there is none.
    pub(in crate::epoch) fn below(&self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// True so many times out of a hundred.
    pub(in crate::epoch) fn percent(&self, percent: u64) -> bool {
        self.below(100) < percent
    }
}
