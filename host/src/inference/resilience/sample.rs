//! A stable share of rows: whether a key (or a place) is in depends on it alone, so a row is in again
//! when it is replayed, and raising the share keeps all that were in before.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Keeps the choice apart from other uses of the hash, such as key groups: else a sample of keys
/// would be all keys of a few workers.
const SALT: u64 = 0x6d69_6c6c_7374_7265;

/// A share of rows.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Hashes below are in; 2^64 is all of them.
    below: u128,
    salt: u64,
}

impl Sample {
    /// A share from 0 to 1.
    pub fn new(share: f64) -> Self {
        // 2^64 and its product with a share are exact in an f64, but for bits below one row in 2^53.
        Self { below: (share.clamp(0.0, 1.0) * 18_446_744_073_709_551_616.0) as u128, salt: SALT }
    }

    /// The same share of rows that are chosen without regard to those of [`Self::new`].
    pub fn apart(self) -> Self {
        Self { salt: !SALT, ..self }
    }

    /// Whether all rows are in.
    pub fn is_all(&self) -> bool {
        self.below == 1 << 64
    }

    /// Whether the row with this key is in.
    pub fn has(&self, key: &[u8]) -> bool {
        u128::from(xxh3_64_with_seed(key, self.salt)) < self.below
    }

    /// Whether the row at this place of a partition is in.
    pub fn has_place(&self, partition: u64, place: u64) -> bool {
        let [a, b, c, d, e, f, g, h] = partition.to_le_bytes();
        let [i, j, k, l, m, n, o, p] = place.to_le_bytes();
        self.has(&[a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_tenth_is_a_tenth() {
        let sample = Sample::new(0.1);
        let by_key = (0..100_000).filter(|i| sample.has(format!("user-{i}").as_bytes())).count();
        let by_place = (0..100_000).filter(|i| sample.has_place(3, *i)).count();
        assert!((9_700..10_300).contains(&by_key), "{by_key}");
        assert!((9_700..10_300).contains(&by_place), "{by_place}");
    }

    #[test]
    fn the_choice_does_not_change_between_versions() {
        let sample = Sample::new(0.1);
        let chosen: Vec<u64> = (0..100).filter(|i| sample.has_place(0, *i)).collect();
        assert_eq!(chosen, [11, 21, 30, 31, 45, 47, 52, 61, 64, 70, 85, 91]);
    }

    #[test]
    fn a_sample_apart_is_independent_of_the_first() {
        let (one, other) = (Sample::new(0.1), Sample::new(0.1).apart());
        let both = (0..100_000).filter(|i| one.has_place(3, *i) && other.has_place(3, *i)).count();
        assert!((850..1_150).contains(&both), "{both}");
    }

    proptest! {
        #[test]
        fn a_larger_share_keeps_what_was_in(key: Vec<u8>, a in 0.0..=1.0, b in 0.0..=1.0) {
            let (small, large) = (f64::min(a, b), f64::max(a, b));
            prop_assert!(!Sample::new(small).has(&key) || Sample::new(large).has(&key));
            prop_assert!(!Sample::new(0.0).has(&key) && Sample::new(1.0).has(&key));
            prop_assert!(Sample::new(1.0).is_all() && Sample::new(f64::NAN).below == 0);
        }
    }
}
