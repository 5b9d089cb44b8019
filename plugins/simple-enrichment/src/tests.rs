//! Streaming features against a batch computation.

use millstream_sdk::testing::Harness;
use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3_600_000;

fn tx(amount: f64, timestamp: i64) -> Transaction {
    Transaction { amount, timestamp }
}

#[test]
fn the_first_row_has_no_last_amount() {
    let mut harness = Harness::<Enrich>::new();
    let outcome = harness.keyed([("ann", tx(10.0, 0)), ("ann", tx(5.0, HOUR)), ("bob", tx(1.0, 0))]).unwrap();
    let expected = [(0.0, 1.0, 1, 10.0), (10.0, 0.5, 2, 7.5), (0.0, 1.0, 1, 1.0)];
    let features =
        |(last_amount, amount_ratio, count_24h, mean_24h)| Features { last_amount, amount_ratio, count_24h, mean_24h };
    assert_eq!(outcome.rows::<Features>(), expected.map(features));
}

#[test]
fn an_amount_of_zero_gives_no_ratio() {
    let outcome = Harness::<Enrich>::new().keyed([("ann", tx(0.0, 0)), ("ann", tx(5.0, 0))]).unwrap();
    assert_eq!(outcome.rows::<Features>()[1].amount_ratio, 1.0);
}

#[test]
fn an_amount_that_is_no_number_is_rejected_and_forgotten() {
    let mut harness = Harness::<Enrich>::new();
    let outcome = harness.keyed([("ann", tx(f64::NAN, 0)), ("ann", tx(5.0, 0))]).unwrap();
    assert_eq!(outcome.errors(), [(0, "amount NaN is not a number".to_owned())]);
    assert_eq!(outcome.rows::<Features>()[0].count_24h, 1);
}

proptest! {
    #[test]
    fn features_agree_with_a_batch_computation(
        rows in prop::collection::vec((0u8..3, 0i64..4 * HOUR, 0.0f64..500.0), 1..150),
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
                let of_user: Vec<_> = rows[..=done].iter().filter(|row| row.0 == user).collect();
                let day: Vec<_> = of_user.iter().filter(|row| row.1 / HOUR > at / HOUR - 24).map(|row| row.2).collect();
                let last = of_user.iter().rev().nth(1).map(|row| row.2);
                prop_assert_eq!(features.last_amount, last.unwrap_or(0.0));
                prop_assert_eq!(features.amount_ratio, last.filter(|last| *last != 0.0).map_or(1.0, |last| amount / last));
                prop_assert_eq!(features.count_24h as usize, day.len());
                prop_assert!((features.mean_24h - day.iter().sum::<f64>() / day.len() as f64).abs() < 1e-9);
                done += 1;
            }
        }
        prop_assert_eq!(done, rows.len());
    }
}
