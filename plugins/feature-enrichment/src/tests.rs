//! Streaming features against a batch computation.

use millstream_sdk::testing::Harness;
use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

fn tx(amount: f64, timestamp: i64) -> Transaction {
    Transaction { amount, timestamp }
}

#[test]
fn the_windows_reach_as_far_back_as_documented() {
    let mut harness = Harness::<Enrich>::new();
    let start = 20_000 * DAY;
    let count = |features: &Features| (features.count_1d, features.count_7d, features.count_30d);
    let rows = [start, start + 23 * HOUR, start + DAY, start + 7 * DAY - 1, start + 7 * DAY, start + 30 * DAY];
    let outcome = harness.keyed(rows.map(|at| ("ann", tx(1.0, at)))).unwrap();
    let counts: Vec<_> = outcome.rows::<Features>().iter().map(count).collect();
    // Within 23 hours; the first hour has left the day; 6 days and the current one; the first day
    // has left the week; the first day has left the month.
    assert_eq!(counts, [(1, 1, 1), (2, 2, 2), (2, 3, 3), (1, 4, 4), (2, 3, 5), (1, 1, 4)]);
}

#[test]
fn a_late_row_enters_the_windows_that_still_reach_it() {
    let mut harness = Harness::<Enrich>::new();
    let now = 20_000 * DAY;
    let outcome = harness.keyed([("ann", tx(1.0, now)), ("ann", tx(3.0, now - 10 * DAY))]).unwrap();
    let late = &outcome.rows::<Features>()[1];
    assert_eq!((late.count_1d, late.count_7d, late.count_30d, late.mean_30d), (1, 1, 2, 2.0));
}

#[test]
fn an_amount_that_is_no_number_is_rejected() {
    let outcome = Harness::<Enrich>::new().keyed([("ann", tx(f64::INFINITY, 0))]).unwrap();
    assert_eq!(outcome.errors(), [(0, "amount inf is not a number".to_owned())]);
    assert_eq!(outcome.slots_changed(), 0);
}

#[test]
fn the_state_of_a_user_is_small() {
    let mut harness = Harness::<Enrich>::new();
    harness.keyed([("ann", tx(1.0, 0))]).unwrap();
    assert_eq!(harness.slot("ann").unwrap().1.len(), 705);
}

/// Count and mean of the amounts whose tile is among the `tiles` newest at `at`.
fn window(rows: &[(u8, i64, f64)], user: u8, at: i64, width: i64, tiles: i64) -> (u32, f64) {
    let amounts: Vec<_> =
        rows.iter().filter(|row| row.0 == user && row.1 / width > at / width - tiles).map(|row| row.2).collect();
    (amounts.len() as u32, amounts.iter().sum::<f64>() / amounts.len() as f64)
}

proptest! {
    #[test]
    fn features_agree_with_a_batch_computation(
        rows in prop::collection::vec((0u8..3, 0i64..20 * HOUR, 0.0f64..500.0), 1..150),
        batch_size in 1usize..40,
    ) {
        let mut at = 1_522_540_800_000;
        let rows: Vec<_> = rows.into_iter().map(|(user, gap, amount)| { at += gap; (user, at, amount) }).collect();
        let mut harness = Harness::<Enrich>::new();
        let mut done = 0;
        for batch in rows.chunks(batch_size) {
            let outcome = harness.keyed(batch.iter().map(|&(user, at, amount)| ([user], tx(amount, at)))).unwrap();
            for features in outcome.rows::<Features>() {
                let (user, at, amount) = rows[done];
                let seen = &rows[..=done];
                let last = seen[..done].iter().rev().find(|row| row.0 == user).map(|row| row.2);
                prop_assert_eq!(features.current_amount, amount);
                prop_assert_eq!(features.last_amount, last.unwrap_or(0.0));
                prop_assert_eq!(features.amount_ratio, last.filter(|last| *last != 0.0).map_or(1.0, |last| amount / last));
                for ((count, mean), expected) in [
                    ((features.count_1d, features.mean_1d), window(seen, user, at, HOUR, 24)),
                    ((features.count_7d, features.mean_7d), window(seen, user, at, DAY, 7)),
                    ((features.count_30d, features.mean_30d), window(seen, user, at, DAY, 30)),
                ] {
                    prop_assert_eq!(count, expected.0);
                    prop_assert!((mean - expected.1).abs() < 1e-9, "{} {}", mean, expected.1);
                }
                done += 1;
            }
        }
        prop_assert_eq!(done, rows.len());
    }
}
