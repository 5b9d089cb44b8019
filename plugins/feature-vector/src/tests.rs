//! The vector is standardised; bad configuration is refused.

use millstream_sdk::plugin::{Plugin, Runner};
use millstream_sdk::testing::Harness;

use super::*;

fn row(amount: f64) -> Features {
    Features {
        current_amount: amount,
        last_amount: 20.0,
        amount_ratio: 0.5,
        count_1d: 2,
        mean_1d: 15.0,
        count_7d: 9,
        mean_7d: 25.0,
        count_30d: 31,
        mean_30d: 35.0,
        terminal_count_1d: 1,
        terminal_mean_1d: 45.0,
        terminal_large_share_1d: 0.25,
        terminal_count_7d: 4,
        terminal_mean_7d: 55.0,
        terminal_large_share_7d: 0.125,
    }
}

fn list(number: f64) -> String {
    vec![number.to_string(); LEN].join(", ")
}

#[test]
fn the_vector_is_in_the_order_of_the_input_columns() {
    let inputs: Vec<_> = <Standardise as Plugin>::Runner::describe().inputs.iter().map(|field| field.name).collect();
    assert_eq!(inputs, FEATURES.map(|feature| feature.name));
}

#[test]
fn features_are_taken_by_logarithm_where_skewed_and_standardised() {
    let mut harness = Harness::<Standardise>::open([("mean", list(1.0)), ("scale", list(2.0))]).unwrap();
    let outcome = harness.rows([row(10.0)]).unwrap();
    let raw = [10.0, 20.0, 0.5, 2.0, 15.0, 9.0, 25.0, 31.0, 35.0, 1.0, 45.0, 0.25, 4.0, 55.0, 0.125f64];
    let expected: Vec<_> = raw
        .iter()
        .enumerate()
        .map(|(at, value)| ((if at == 11 || at == 14 { *value } else { value.ln_1p() }) - 1.0) / 2.0)
        .map(|value| value as f32)
        .collect();
    assert_eq!(outcome.rows::<Vector>()[0].features.to_vec(), expected);
}

#[test]
fn negative_amounts_mirror_positive_ones() {
    let mut harness = Harness::<Standardise>::open([("mean", list(0.0)), ("scale", list(1.0))]).unwrap();
    let outcome = harness.rows([row(10.0), row(-10.0)]).unwrap();
    let rows = outcome.rows::<Vector>();
    assert_eq!(rows[0].features[0], -rows[1].features[0]);
}

#[test]
fn far_values_are_cut_off() {
    let mut harness = Harness::<Standardise>::open([("mean", list(0.0)), ("scale", list(0.001))]).unwrap();
    assert_eq!(harness.rows([row(10.0)]).unwrap().rows::<Vector>()[0].features, [10.0; LEN]);
}

#[test]
fn a_feature_that_is_no_number_rejects_the_row_and_is_named() {
    let outcome = Harness::<Standardise>::new().rows([row(f64::NAN)]).unwrap();
    assert_eq!(outcome.errors(), [(0, "current_amount = NaN is not a number".to_owned())]);
}

#[test]
fn settings_of_the_wrong_length_or_sign_are_refused() {
    let message = |key: &str, value: String| Harness::<Standardise>::open([(key, value)]).err().unwrap().to_string();
    assert!(
        message("mean", "1, 2".into()).starts_with("config.mean has 2 numbers; there are 15 features: current_amount")
    );
    assert!(message("scale", list(0.0)).starts_with("config.scale of `current_amount` is 0"));
    assert!(message("mean", list(f64::INFINITY)).contains("which is not a number"));
    assert!(message("means", list(1.0)).contains("unknown key `means`"));
}
