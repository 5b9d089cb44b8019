//! Tiles against a plain list of values.

use proptest::prelude::*;

use super::*;
use crate::state::{StateError, decode, encode};

const HOUR: i64 = Hour::MILLIS;

#[test]
fn the_window_holds_the_current_tile_and_those_before_it() {
    let mut tiles = Tiles::<3, Hour>::default();
    assert!(tiles.add(0, 1.0));
    assert!(tiles.add(HOUR, 2.0));
    assert!(tiles.add(2 * HOUR + 5, 4.0));
    assert_eq!((tiles.count(), tiles.sum()), (3, 7.0));
    assert!(tiles.add(3 * HOUR, 8.0));
    assert_eq!((tiles.count(), tiles.sum()), (3, 14.0));
    assert_eq!(tiles.last(2), Window { count: 2, sum: 12.0 });
    assert_eq!(tiles.last(99), tiles.last(3));
    assert_eq!(tiles.last(0).mean(), 0.0);
}

#[test]
fn a_late_value_within_the_ring_goes_to_its_own_tile() {
    let mut tiles = Tiles::<3, Hour>::default();
    tiles.add(5 * HOUR, 1.0);
    assert!(tiles.add(3 * HOUR, 2.0));
    assert_eq!(tiles.count(), 2);
    assert_eq!(tiles.last(1).count, 1);
    assert_eq!(tiles.last(3).count, 2);
}

#[test]
fn a_value_older_than_the_ring_is_left_out() {
    let mut tiles = Tiles::<3, Hour>::default();
    tiles.add(5 * HOUR, 1.0);
    assert!(!tiles.add(3 * HOUR - 1, 2.0));
    assert_eq!((tiles.count(), tiles.sum()), (1, 1.0));
}

#[test]
fn a_jump_past_the_ring_starts_an_empty_one() {
    let mut tiles = TilesMinMax::<3, Hour>::default();
    tiles.add(0, 1.0);
    tiles.add(100 * HOUR, 2.0);
    assert_eq!((tiles.count(), tiles.sum(), tiles.min(3), tiles.max(3)), (1, 2.0, Some(2.0), Some(2.0)));
    tiles.advance_to(200 * HOUR);
    assert_eq!((tiles.count(), tiles.mean(), tiles.min(3)), (0, 0.0, None));
}

#[test]
fn times_at_both_ends_of_the_range_are_taken() {
    let mut tiles = Tiles::<4, Millis<1>>::default();
    for at in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX] {
        assert!(tiles.add(at, 1.0), "{at}");
    }
    assert_eq!(tiles.count(), 2);
    assert!(!tiles.add(i64::MIN, 1.0));
}

#[test]
fn a_large_value_leaves_no_rounding_error_behind_once_the_ring_went_round() {
    let mut tiles = Tiles::<4, Hour>::default();
    tiles.add(0, 1e17);
    for hour in 1..8 {
        tiles.add(hour * HOUR, 0.1);
    }
    assert!((tiles.sum() - 0.4).abs() < 1e-12, "{}", tiles.sum());
}

#[test]
fn a_slot_that_points_outside_of_its_ring_is_refused() {
    let mut slot = Vec::new();
    encode(&Tiles::<2, Hour>::default(), &mut slot);
    assert_eq!(slot.len(), 24 + 12 * 2);
    slot[8] = 2;
    assert!(matches!(decode::<Tiles<2, Hour>>(&slot), Err(StateError::Malformed(_))));
}

/// The same windows computed from a list of everything that was added.
#[derive(Default)]
struct Reference {
    newest: Option<i64>,
    kept: Vec<(i64, f64)>,
}

impl Reference {
    fn add(&mut self, tiles: i64, at: i64, value: f64) -> bool {
        let tile = at.div_euclid(HOUR);
        let newest = self.newest.map_or(tile, |newest| newest.max(tile));
        self.newest = Some(newest);
        let counted = tile > newest - tiles;
        if counted {
            self.kept.push((tile, value));
        }
        counted
    }

    fn last(&self, tiles: i64) -> Vec<f64> {
        let newest = self.newest.unwrap_or(0);
        self.kept.iter().filter(|(tile, _)| *tile > newest - tiles).map(|(_, value)| *value).collect()
    }
}

proptest! {
    #[test]
    fn tiles_agree_with_a_list_of_all_values(
        rows in prop::collection::vec((-3_000i64..6_000, -100.0f64..100.0), 1..200),
        drift in 0i64..2_000,
    ) {
        let mut tiles = TilesMinMax::<6, Hour>::default();
        let mut reference = Reference::default();
        for (n, (minutes, value)) in rows.into_iter().enumerate() {
            let at = (minutes + drift * n as i64 / 10) * 60_000;
            // State goes through its slot between any two rows.
            let mut slot = Vec::new();
            encode(&tiles, &mut slot);
            tiles = decode(&slot).unwrap();
            prop_assert_eq!(tiles.add(at, value), reference.add(6, at, value));
            for k in 1..=6 {
                let expected = reference.last(k);
                let window = tiles.last(k as usize);
                prop_assert_eq!(window.count as usize, expected.len());
                prop_assert!((window.sum - expected.iter().sum::<f64>()).abs() < 1e-9);
                prop_assert_eq!(tiles.min(k as usize), expected.iter().copied().reduce(f64::min));
                prop_assert_eq!(tiles.max(k as usize), expected.iter().copied().reduce(f64::max));
            }
            let all = reference.last(6);
            prop_assert_eq!(tiles.count() as usize, all.len());
            prop_assert!((tiles.sum() - all.iter().sum::<f64>()).abs() < 1e-9);
        }
    }
}
