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
fn an_amount_is_large_only_beside_enough_history() {
    let mut harness = Harness::<Terminals>::new();
    let rows = [10.0, 100.0, 10.0, 10.0, 10.0, 85.0, 10.0].map(|amount| ("t", tx(amount, 0)));
    let outcome = harness.keyed(rows).unwrap();
    // The second is ten times the first, but one row is no history; the sixth exceeds 3 * 28.
    let shares: Vec<_> = outcome.rows::<Features>().iter().map(|row| row.terminal_large_share_1d).collect();
    assert_eq!(shares, [0.0, 0.0, 0.0, 0.0, 0.0, 1.0 / 6.0, 1.0 / 7.0]);
    assert_eq!(outcome.counter("large_amounts"), 1);
}

#[test]
fn the_mean_that_amounts_are_compared_with_forgets_the_week_before() {
    let mut harness = Harness::<Terminals>::new();
    harness.keyed((0..5).map(|_| ("t", tx(10.0, 0)))).unwrap();
    let outcome = harness.keyed([("t", tx(100.0, 7 * DAY))]).unwrap();
    let row = &outcome.rows::<Features>()[0];
    assert_eq!((row.terminal_count_7d, row.terminal_large_share_7d), (1, 0.0));
}

#[test]
fn factor_and_history_are_settings() {
    let mut harness = Harness::<Terminals>::open([("factor", "1.5"), ("history", "1")]).unwrap();
    let outcome = harness.keyed([("t", tx(10.0, 0)), ("t", tx(16.0, 0))]).unwrap();
    assert_eq!(outcome.rows::<Features>()[1].terminal_large_share_7d, 0.5);
    for factor in ["0", "-1", "NaN"] {
        let error = Harness::<Terminals>::open([("factor", factor)]).err().unwrap();
        assert!(error.message().contains("config.factor"), "{error}");
    }
}

proptest! {
    #[test]
    fn features_agree_with_a_batch_computation(
        rows in prop::collection::vec((0u8..3, 0i64..5 * HOUR, prop_oneof![0.0f64..50.0, 0.0f64..500.0]), 1..150),
        batch_size in 1usize..40,
    ) {
        let mut at = 1_522_540_800_000;
        let mut seen: Vec<(u8, i64, f64, bool)> = Vec::new();
        let mut expected = Vec::new();
        for (terminal, gap, amount) in rows {
            at += gap;
            let amounts = |rows: &[(u8, i64, f64, bool)], width: i64, tiles: i64| -> Vec<(f64, bool)> {
                let within = |row: &&(u8, i64, f64, bool)| row.0 == terminal && row.1 / width > at / width - tiles;
                rows.iter().filter(within).map(|row| (row.2, row.3)).collect()
            };
            let mean = |rows: &[(f64, bool)]| rows.iter().map(|row| row.0).sum::<f64>() / rows.len() as f64;
            let share = |rows: &[(f64, bool)]| rows.iter().filter(|row| row.1).count() as f64 / rows.len() as f64;
            let before = amounts(&seen, DAY, 7);
            seen.push((terminal, at, amount, before.len() >= 5 && amount > 3.0 * mean(&before)));
            let (day, week) = (amounts(&seen, HOUR, 24), amounts(&seen, DAY, 7));
            expected.push((day.len(), mean(&day), share(&day), week.len(), mean(&week), share(&week)));
        }
        let mut harness = Harness::<Terminals>::new();
        let mut actual = Vec::new();
        for batch in seen.chunks(batch_size) {
            let outcome = harness.keyed(batch.iter().map(|row| ([row.0], tx(row.2, row.1)))).unwrap();
            actual.extend(outcome.rows::<Features>());
        }
        prop_assert_eq!(actual.len(), expected.len());
        for (row, expected) in actual.iter().zip(expected) {
            prop_assert_eq!((row.terminal_count_1d as usize, row.terminal_count_7d as usize), (expected.0, expected.3));
            prop_assert!((row.terminal_mean_1d - expected.1).abs() < 1e-9);
            prop_assert!((row.terminal_large_share_1d - expected.2).abs() < 1e-12);
            prop_assert!((row.terminal_mean_7d - expected.4).abs() < 1e-9);
            prop_assert!((row.terminal_large_share_7d - expected.5).abs() < 1e-12);
        }
    }
}
