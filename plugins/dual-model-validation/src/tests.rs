//! Agreement row by row, and against a batch computation.

use millstream_sdk::testing::{Harness, Outcome};
use proptest::prelude::*;

use super::*;

type Bench = Harness<DualModelValidation>;

fn row(fast_score: f32, accurate_score: impl Into<Option<f32>>) -> Scores<'static> {
    let accurate_score = accurate_score.into();
    let accurate_model_version = accurate_score.map(|_| "7");
    Scores { fast_score, accurate_score, model_version: Some("1"), accurate_model_version }
}

fn agreements(outcome: &Outcome<DualModelValidation>) -> Vec<Option<bool>> {
    outcome.rows::<Agreement>().iter().map(|row| row.agrees).collect()
}

#[test]
fn a_row_without_an_accurate_score_passes_uncompared() {
    let mut harness = Bench::new();
    let outcome = harness.keyed([("de", row(0.9, None)), ("de", row(f32::NAN, None))]).unwrap();
    assert_eq!(outcome.rows::<Agreement>(), [Agreement::default(), Agreement::default()]);
    assert_eq!(outcome.side::<Divergence>("divergences"), []);
    assert_eq!((outcome.counter("compared"), outcome.counter("divergences")), (0, 0));
    assert_eq!(harness.state::<Counts>("de").unwrap_or_default(), Counts::default());
}

#[test]
fn models_agree_when_both_scores_are_on_one_side_of_the_threshold() {
    let mut harness = Bench::new();
    let outcome = harness
        .keyed([(0.5, 0.9), (0.1, 0.49), (0.49, 0.5), (0.9, 0.1)].map(|(fast, accurate)| ("de", row(fast, accurate))))
        .unwrap();
    assert_eq!(agreements(&outcome), [Some(true), Some(true), Some(false), Some(false)]);
    assert_eq!((outcome.counter("compared"), outcome.counter("agreed")), (4, 2));
}

#[test]
fn a_divergence_has_both_scores_and_versions() {
    let mut harness = Bench::new();
    let outcome = harness.keyed([("de", row(0.75, 0.25)), ("de", row(0.625, 0.5625))]).unwrap();
    let expected = Divergence {
        fast_score: 0.75,
        accurate_score: 0.25,
        model_version: Some("1"),
        accurate_model_version: Some("7"),
        difference: 0.5,
        agrees: false,
    };
    assert_eq!(outcome.side::<Divergence>("divergences"), [expected]);
    assert_eq!(outcome.counter("divergences"), 1);
}

#[test]
fn scores_of_one_side_diverge_beyond_the_tolerance_and_not_at_it() {
    let mut harness = Bench::open([("threshold", "0"), ("tolerance", "0.25")]).unwrap();
    let outcome = harness.keyed([("de", row(0.5, 0.25)), ("de", row(0.5, 0.125))]).unwrap();
    assert_eq!(agreements(&outcome), [Some(true), Some(true)]);
    let divergences = outcome.side::<Divergence>("divergences");
    assert_eq!((divergences.len(), divergences[0].difference, divergences[0].agrees), (1, 0.375, true));
}

#[test]
fn a_score_that_is_no_number_agrees_with_none_and_does_not_spoil_the_mean() {
    let mut harness = Bench::new();
    let rows = [(0.75, 0.5), (f32::NAN, 0.5), (0.5, f32::INFINITY), (0.75, 0.75)];
    let outcome = harness.keyed(rows.map(|(fast, accurate)| ("de", row(fast, accurate)))).unwrap();
    assert_eq!(agreements(&outcome), [Some(true), Some(false), Some(false), Some(true)]);
    assert_eq!(outcome.rows::<Agreement>()[3].mean_difference, Some(0.125));
    assert_eq!(outcome.side::<Divergence>("divergences").len(), 3);
    let mut spoilt = Bench::new();
    assert_eq!(spoilt.keyed([("de", row(f32::NAN, 0.5))]).unwrap().rows::<Agreement>()[0].mean_difference, None);
}

#[test]
fn a_key_remembers_and_knows_nothing_of_another() {
    let mut harness = Bench::new();
    harness.keyed([("de", row(0.75, 0.5)), ("fr", row(0.0, 1.0))]).unwrap();
    let outcome = harness.keyed([("de", row(0.25, 0.75))]).unwrap();
    let expected =
        Agreement { agrees: Some(false), compared: Some(2), agreement: Some(0.5), mean_difference: Some(0.375) };
    assert_eq!(outcome.rows::<Agreement>(), [expected]);
    let french = Counts { compared: 1, agreed: 0, measured: 1, difference_sum: 1.0 };
    assert_eq!(harness.state::<Counts>("fr"), Some(french));
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    for (key, value) in [("threshold", "NaN"), ("threshold", "inf"), ("tolerance", "-0.1"), ("tolerance", "NaN")] {
        let error = Bench::open([(key, value)]).err().unwrap();
        assert!(error.message().contains(&format!("config.{key}")), "{error}");
    }
    let error = Bench::open([("treshold", "0.5")]).err().unwrap();
    assert!(error.message().contains("threshold"), "{error}");
}

proptest! {
    #[test]
    fn counts_agree_with_a_batch_computation(
        rows in prop::collection::vec((0u8..3, 0.0f32..1.0, prop::option::of(0.0f32..1.0)), 1..200),
        batch_size in 1usize..50,
    ) {
        let mut harness = Bench::new();
        for batch in rows.chunks(batch_size) {
            let outcome = harness.keyed(batch.iter().map(|(key, fast, accurate)| ([*key], row(*fast, *accurate)))).unwrap();
            prop_assert_eq!(outcome.rows::<Agreement>().len(), batch.len());
        }
        for key in 0..3_u8 {
            let both = rows.iter().filter(|row| row.0 == key).filter_map(|row| Some((row.1, row.2?)));
            let expected = both.fold(Counts::default(), |mut counts, (fast, accurate)| {
                counts.compared += 1;
                counts.agreed += u64::from((fast >= 0.5) == (accurate >= 0.5));
                counts.measured += 1;
                counts.difference_sum += (f64::from(fast) - f64::from(accurate)).abs();
                counts
            });
            prop_assert_eq!(harness.state::<Counts>([key]).unwrap_or_default(), expected);
        }
    }
}
