//! The models of these tests are written by scripts/make-test-models.py.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, FixedSizeListBuilder, Float32Array, Float32Builder, Float64Array,
    Int64Array, ListBuilder, RecordBatch,
};
use arrow::datatypes::{DataType, Field, Float32Type, Schema};

use super::model::read;
use super::*;
use crate::record::{Batch, parse_type};

/// The library as set-up leaves it; the environment variable wins, as in a pipeline.
fn library() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("MILLSTREAM_ONNXRUNTIME").unwrap_or_else(|| {
        set("MILLSTREAM_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("millstream")))
            .or_else(|| set("HOME").map(|dir| dir.join(".cache/millstream")))
            .unwrap_or_default()
            .join("onnxruntime/libonnxruntime.so")
    })
}

fn runtime() -> &'static Runtime {
    Runtime::load(&library()).unwrap_or_else(|e| panic!("{e}"))
}

fn file(name: &str) -> PathBuf {
    crate::testdata("src/inference/testdata").join(name)
}

fn load(name: &str) -> Result<Arc<Model>, Error> {
    Model::load(runtime(), &ModelConfig { name: "m".into(), path: file(&format!("{name}.onnx")) })
}

fn refusal(name: &str) -> String {
    load(name).expect_err("the model should be refused").to_string()
}

fn config(features: &[&str]) -> OperatorConfig {
    OperatorConfig {
        name: "score".into(),
        model: "m".into(),
        features: features.iter().map(|&f| f.into()).collect(),
        output: "score".into(),
        max_batch: 256,
        provenance: true,
    }
}

fn schema(fields: &[(&str, &str)]) -> Schema {
    Schema::new(fields.iter().map(|(n, t)| Field::new(*n, parse_type(t).expect("a type"), true)).collect::<Vec<_>>())
}

fn operator(model: &str, input: &Schema, config: &OperatorConfig) -> Operator {
    let binding = load(model).and_then(|m| m.bind(input, config)).unwrap_or_else(|e| panic!("{e}"));
    Arc::new(binding).open().unwrap_or_else(|e| panic!("{e}"))
}

fn batch(schema: &Schema, columns: Vec<ArrayRef>) -> Batch {
    let columns = RecordBatch::try_new(Arc::new(schema.clone()), columns).expect("columns fit");
    let rows = columns.num_rows() as u64;
    Batch { columns, offsets: (1..=rows).collect(), event_times: (0..rows as i64).collect() }
}

fn vectors(rows: &[Option<Vec<f32>>], width: i32) -> ArrayRef {
    let item = Arc::new(Field::new("item", DataType::Float32, false));
    let mut builder = FixedSizeListBuilder::new(Float32Builder::new(), width).with_field(item);
    for row in rows {
        match row {
            Some(values) => builder.values().append_slice(values),
            None => builder.values().append_slice(&vec![0.0; width as usize]),
        }
        builder.append(row.is_some());
    }
    Arc::new(builder.finish())
}

fn scores(batch: &Batch) -> Vec<f32> {
    batch.column("score").expect("a prediction").as_primitive::<Float32Type>().values().to_vec()
}

/// The model `mlp` in plain f64.
fn mlp(x: &[f32]) -> f64 {
    let w1 = [[0.5, -0.25, 1.0], [-1.5, 0.75, 0.25], [2.0, -0.5, -1.0], [0.125, 1.25, -0.75]];
    let (b1, w2, b2) = ([0.1, -0.2, 0.3], [1.5, -2.0, 0.5], -0.4);
    let z: f64 = (0..3)
        .map(|j| {
            let h: f64 = x.iter().zip(w1).map(|(&x, w)| f64::from(x) * w[j]).sum::<f64>() + b1[j];
            h.max(0.0) * w2[j]
        })
        .sum::<f64>()
        + b2;
    1.0 / (1.0 + (-z).exp())
}

/// Rows of four small numbers, all different.
fn samples(rows: usize) -> Vec<Vec<f32>> {
    (0..rows).map(|i| (0..4).map(|j| ((i * 7 + j * 13) % 29) as f32 / 10.0 - 1.4).collect()).collect()
}

fn assert_scored(outcome: &Outcome, rows: &[Vec<f32>]) {
    let scores = scores(&outcome.batch);
    assert_eq!(scores.len(), rows.len());
    for (score, row) in scores.iter().zip(rows) {
        assert!((f64::from(*score) - mlp(row)).abs() < 1e-6, "{row:?}: {score} is not {}", mlp(row));
    }
}

#[test]
fn a_missing_library_is_an_error_that_names_the_path_and_the_fix() {
    let error = Runtime::load(Path::new("/nowhere/libonnxruntime.so")).unwrap_err().to_string();
    for part in ["/nowhere/libonnxruntime.so", "make setup", "[models] library", "MILLSTREAM_ONNXRUNTIME"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_process_keeps_the_first_library() {
    let first = runtime();
    assert!(std::ptr::eq(first, runtime()));
    let error = Runtime::load(&file("mlp.onnx")).unwrap_err().to_string();
    assert!(error.contains("loaded") && error.contains("only one"), "{error}");
}

#[test]
fn a_missing_model_is_named() {
    let error = refusal("absent");
    assert!(
        error.contains("model `m`") && error.contains("absent.onnx") && error.contains("cannot be opened"),
        "{error}"
    );
}

#[test]
fn a_file_that_is_no_model_is_refused() {
    for bytes in [&b""[..], b"not a model", &[0xff; 4096]] {
        let junk = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(junk.path(), bytes).expect("written");
        let config = ModelConfig { name: "m".into(), path: junk.path().into() };
        let error = Model::load(runtime(), &config).unwrap_err();
        assert!(matches!(error, Error::Model { .. }));
        assert!(error.to_string().contains("cannot read it as a model"), "{error}");
    }
}

#[test]
fn a_truncated_model_is_refused() {
    let bytes = std::fs::read(file("mlp.onnx")).expect("a model");
    let cut = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(cut.path(), &bytes[..bytes.len() / 2]).expect("written");
    assert!(Model::load(runtime(), &ModelConfig { name: "m".into(), path: cut.path().into() }).is_err());
}

#[test]
fn a_model_file_at_the_size_limit_is_read_and_one_beyond_is_not() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), [7; 10]).expect("written");
    assert_eq!(read(file.path(), 10), Ok(vec![7; 10]));
    assert!(read(file.path(), 9).unwrap_err().contains("larger than 9 bytes"));
}

#[test]
fn models_that_the_host_cannot_call_are_refused_with_what_they_are() {
    for (name, parts) in [
        ("two-inputs", &["2 inputs", "`a`: f32[?, 2]", "`b`: f32[?, 2]"][..]),
        ("integer-input", &["`x`: i64[?, 2]", "f32"]),
        ("fixed-batch", &["`x`: f32[1, 2]", "dynamic first axis"]),
        ("no-width", &["`x`: f32[?, ?]", "N fixed"]),
        ("integer-output", &["no output of type f32", "`y`: i64[?, 2]"]),
        ("two-scores", &["more than one output", "`low`", "`high`"]),
        ("one-score-for-all", &["returned `y` of shape [1, 1]", "[batch, K]"]),
        ("wrong-names", &["names 1 features (only_one)", "takes 2"]),
    ] {
        let error = refusal(name);
        assert!(parts.iter().all(|part| error.contains(part)), "{name}: {error}");
    }
}

#[test]
fn name_version_hash_and_features_come_from_the_file() {
    let model = load("mlp").expect("a model");
    assert_eq!((model.name(), model.version(), model.width(), model.outputs()), ("m", "2026.1", 4, 1));
    assert_eq!(model.features().expect("names"), ["amount", "count", "mean", "ratio"]);
    // The first and last digits of `sha256sum mlp.onnx`.
    assert_eq!(model.sha256().len(), 64);
    assert!(model.sha256().starts_with("58645a91") && model.sha256().ends_with("f5656d38"), "{}", model.sha256());

    let numbered = load("three-scores").expect("a model");
    assert_eq!((numbered.version(), numbered.outputs(), numbered.features()), ("7", 3, None));
    let nameless = load("reciprocal").expect("a model");
    assert_eq!(nameless.version(), format!("sha256:{}", &nameless.sha256()[..12]));
}

#[test]
fn a_vector_column_is_scored_and_every_other_column_stays() {
    let input = schema(&[("id", "i64"), ("features", "f32[4]")]);
    let mut operator = operator("mlp", &input, &config(&["features"]));
    let rows = samples(100);
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100));
    let features = vectors(&rows.iter().cloned().map(Some).collect::<Vec<_>>(), 4);
    let input = batch(&input, vec![ids.clone(), features]);
    let outcome = operator.process(&input).expect("scored");
    assert_scored(&outcome, &rows);
    assert!(outcome.rejected.is_empty());
    let out = &outcome.batch;
    assert_eq!(out.columns.schema_ref(), operator.output_schema());
    assert_eq!(out.column("id"), Some(&ids));
    assert_eq!((&out.offsets, &out.event_times), (&input.offsets, &input.event_times));
    let model = load("mlp").expect("a model");
    for (name, value) in [("model_name", "m"), ("model_version", "2026.1"), ("model_sha256", model.sha256())] {
        let column = out.column(name).expect("provenance").as_string::<i32>();
        assert_eq!((column.len(), column.null_count()), (100, 0));
        assert!(column.iter().all(|v| v == Some(value)));
    }
}

#[test]
fn a_slice_of_a_batch_is_scored_by_its_own_rows() {
    let input = schema(&[("features", "f32[4]")]);
    let mut operator = operator("mlp", &input, &config(&["features"]));
    let rows = samples(10);
    let whole = batch(&input, vec![vectors(&rows.iter().cloned().map(Some).collect::<Vec<_>>(), 4)]);
    assert_scored(&operator.process(&whole.slice(3, 5)).expect("scored"), &rows[3..8]);
}

#[test]
fn a_batch_longer_than_max_batch_gives_the_same_scores() {
    let input = schema(&[("features", "f32[4]")]);
    let rows = samples(23);
    let whole = batch(&input, vec![vectors(&rows.iter().cloned().map(Some).collect::<Vec<_>>(), 4)]);
    for max_batch in [1, 7, 23, 24] {
        let mut operator = operator("mlp", &input, &OperatorConfig { max_batch, ..config(&["features"]) });
        assert_scored(&operator.process(&whole).expect("scored"), &rows);
    }
}

#[test]
fn provenance_follows_batches_of_any_length() {
    let input = schema(&[("features", "f32[4]")]);
    let mut operator = operator("mlp", &input, &config(&["features"]));
    for rows in [3, 50, 1, 0, 51] {
        let rows = samples(rows);
        let whole = batch(&input, vec![vectors(&rows.iter().cloned().map(Some).collect::<Vec<_>>(), 4)]);
        let outcome = operator.process(&whole).expect("scored");
        assert_eq!(outcome.batch.column("model_sha256").expect("provenance").len(), rows.len());
    }
}

#[test]
fn rows_without_features_are_rejected_and_the_rows_around_them_are_not() {
    let input = schema(&[("features", "f32[4]")]);
    let mut operator = operator("mlp", &input, &config(&["features"]));
    let rows = samples(5);
    let mut holes: Vec<Option<Vec<f32>>> = rows.iter().cloned().map(Some).collect();
    holes[1] = None;
    holes[4] = None;
    let outcome = operator.process(&batch(&input, vec![vectors(&holes, 4)])).expect("scored");
    assert_scored(&outcome, &[rows[0].clone(), rows[2].clone(), rows[3].clone()]);
    assert_eq!(&outcome.batch.offsets[..], [1, 3, 4]);
    assert_eq!(&outcome.batch.event_times[..], [0, 2, 3]);
    let reason = "column `features` is null".to_owned();
    assert_eq!(outcome.rejected, [(1, reason.clone()), (4, reason)]);
}

#[test]
fn a_vector_with_a_null_inside_is_rejected() {
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    let values = Float32Array::from(vec![Some(1.0), Some(2.0), Some(3.0), None]);
    let list = FixedSizeListArray::new(item, 2, Arc::new(values), None);
    let input = Schema::new(vec![Field::new("x", list.data_type().clone(), false)]);
    let mut operator = operator("three-scores", &input, &config(&["x"]));
    let outcome = operator.process(&batch(&input, vec![Arc::new(list)])).expect("scored");
    assert_eq!(outcome.batch.rows(), 1);
    assert_eq!(outcome.rejected, [(1, "value 2 of column `x` is null".to_owned())]);
}

#[test]
fn a_batch_of_rejected_rows_only_gives_an_empty_batch() {
    let input = schema(&[("features", "f32[4]")]);
    let mut operator = operator("mlp", &input, &config(&["features"]));
    let outcome = operator.process(&batch(&input, vec![vectors(&[None, None], 4)])).expect("scored");
    assert_eq!((outcome.batch.rows(), outcome.rejected.len()), (0, 2));
    assert_eq!(outcome.batch.columns.schema_ref(), operator.output_schema());
}

#[test]
fn lists_of_the_wrong_length_are_rejected_row_by_row() {
    let input = schema(&[("features", "list<f32>")]);
    let mut operator = operator("mlp", &input, &config(&["features"]));
    let rows = samples(3);
    let list = |rows: &[Option<&[f32]>]| -> Batch {
        let item = Arc::new(Field::new("item", DataType::Float32, false));
        let mut builder = ListBuilder::new(Float32Builder::new()).with_field(item);
        for row in rows {
            row.iter().for_each(|row| builder.values().append_slice(row));
            builder.append(row.is_some());
        }
        batch(&input, vec![Arc::new(builder.finish())])
    };
    let all: Vec<Option<&[f32]>> = rows.iter().map(|row| Some(row.as_slice())).collect();
    let regular = list(&all);
    assert_scored(&operator.process(&regular).expect("scored"), &rows);
    assert_scored(&operator.process(&regular.slice(1, 2)).expect("scored"), &rows[1..]);

    let outcome = operator.process(&list(&[all[0], Some(&[1.0; 5]), None, Some(&[]), all[1]])).expect("scored");
    assert_scored(&outcome, &rows[..2]);
    let reason = |len| format!("column `features` holds {len} values, the model takes 4");
    assert_eq!(outcome.rejected, [(1, reason(5)), (2, "column `features` is null".to_owned()), (3, reason(0))]);
}

#[test]
fn several_columns_make_the_vector_in_the_order_of_the_settings() {
    let input = schema(&[("ratio", "f64"), ("count", "f32"), ("amount", "f64"), ("mean", "f32")]);
    let mut operator = operator("mlp", &input, &config(&["amount", "count", "mean", "ratio"]));
    let rows = samples(6);
    let f32s = |j: usize| -> ArrayRef { Arc::new(Float32Array::from_iter_values(rows.iter().map(|r| r[j]))) };
    let f64s = |j: usize, hole: Option<usize>| -> ArrayRef {
        Arc::new(Float64Array::from_iter(
            rows.iter().enumerate().map(|(i, r)| (Some(i) != hole).then_some(f64::from(r[j]))),
        ))
    };
    let whole = batch(&input, vec![f64s(3, None), f32s(1), f64s(0, None), f32s(2)]);
    assert_scored(&operator.process(&whole).expect("scored"), &rows);

    let holes = batch(&input, vec![f64s(3, Some(2)), f32s(1), f64s(0, Some(5)), f32s(2)]);
    let outcome = operator.process(&holes).expect("scored");
    assert_scored(&outcome, &[&rows[..2], &rows[3..5]].concat());
    assert_eq!(outcome.rejected, [(2, "column `ratio` is null".to_owned()), (5, "column `amount` is null".to_owned())]);
}

#[test]
fn a_model_with_several_predictions_gives_a_vector_column() {
    let input = schema(&[("x", "f32[2]")]);
    let mut operator = operator("three-scores", &input, &OperatorConfig { provenance: false, ..config(&["x"]) });
    let rows = [Some(vec![1.0, 2.0]), Some(vec![-4.0, 0.5])];
    let outcome = operator.process(&batch(&input, vec![vectors(&rows, 2)])).expect("scored");
    assert_eq!(operator.output_schema().fields().len(), 2);
    assert_eq!(operator.output_schema().field(1).data_type(), &parse_type("f32[3]").expect("a type"));
    let column = outcome.batch.column("score").expect("a prediction").as_fixed_size_list();
    assert_eq!(column.values().as_primitive::<Float32Type>().values(), &[1.0, 2.0, 3.0, -4.0, 0.5, -3.5]);
}

#[test]
fn a_model_may_return_a_plain_list_of_scores() {
    let input = schema(&[("x", "f32[3]")]);
    let mut operator = operator("flat", &input, &config(&["x"]));
    let outcome = operator.process(&batch(&input, vec![vectors(&[Some(vec![1.0, 2.0, 3.5])], 3)])).expect("scored");
    assert_eq!(scores(&outcome.batch), [6.5]);
}

#[test]
fn a_label_beside_the_score_is_left_alone() {
    let input = schema(&[("x", "f64")]);
    let mut operator = operator("label-and-score", &input, &config(&["x"]));
    let zeros: ArrayRef = Arc::new(Float64Array::from(vec![0.0, 0.0]));
    assert_eq!(scores(&operator.process(&batch(&input, vec![zeros])).expect("scored").batch), [0.5, 0.5]);
}

#[test]
fn a_prediction_that_is_not_finite_rejects_its_row_only() {
    let input = schema(&[("x", "f64")]);
    let mut operator = operator("reciprocal", &input, &config(&["x"]));
    let x: ArrayRef = Arc::new(Float64Array::from(vec![Some(2.0), Some(0.0), None, Some(f64::NAN), Some(-4.0)]));
    let outcome = operator.process(&batch(&input, vec![x])).expect("scored");
    assert_eq!(scores(&outcome.batch), [0.5, -0.25]);
    assert_eq!(&outcome.batch.offsets[..], [1, 5]);
    let reason = |value| format!("the model's prediction is {value}, not a finite number");
    assert_eq!(outcome.rejected, [(1, reason("inf")), (2, "column `x` is null".to_owned()), (3, reason("NaN"))]);
}

#[test]
fn a_pipeline_that_does_not_fit_the_model_is_refused_with_both_sides() {
    let model = load("mlp").expect("a model");
    let four = [("amount", "f64"), ("count", "f32"), ("ratio", "f64"), ("mean", "f64")];
    for (fields, features, parts) in [
        (&[("features", "f32[12]")][..], &["features"][..], &["`features` is f32[12]", "f32[4]", "amount, count"][..]),
        (&[("features", "utf8")], &["features"], &["`features` is utf8", "f32[4]", "list<f32>"]),
        (&[("a", "f32"), ("b", "i64")], &["a", "b"], &["`b` is i64", "4 columns"]),
        (&[("amount", "f32")], &["amount"], &["1 columns", "f32[4]"]),
        (&[("amount", "f32")], &["amuont"], &["no column `amuont`", "it has amount"]),
        (&four, &["amount", "count", "ratio", "mean"], &["feature 3", "`mean`", "column `ratio`"]),
        (&[("features", "f32[4]"), ("score", "f32")], &["features"], &["column `score` already", "`output`"]),
        (
            &[("features", "f32[4]"), ("model_name", "utf8")],
            &["features"],
            &["`model_name` already", "provenance = false"],
        ),
    ] {
        let error = model.bind(&schema(fields), &config(features)).expect_err("refused");
        assert!(matches!(error, Error::Mismatch { .. }));
        let error = error.to_string();
        assert!(error.contains("operator `score`"), "{error}");
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
}

#[test]
fn a_batch_of_another_schema_is_an_error_and_not_a_panic() {
    let mut operator = operator("mlp", &schema(&[("features", "f32[4]")]), &config(&["features"]));
    for (name, column) in
        [("f64", Arc::new(Float64Array::from(vec![1.0])) as ArrayRef), ("f32[2]", vectors(&[Some(vec![1.0, 2.0])], 2))]
    {
        let error = operator.process(&batch(&schema(&[("features", name)]), vec![column])).expect_err("refused");
        assert!(error.to_string().contains("schema that was checked"), "{error}");
    }
}

#[test]
fn a_session_predicts_plain_floats_and_refuses_ragged_ones() {
    let mut session = Session::open(&load("three-scores").expect("a model")).expect("a session");
    let mut out = vec![9.0];
    session.predict(&[1.0, 2.0, 3.0, 4.0], 2, &mut out).expect("predicted");
    assert_eq!(out, [9.0, 1.0, 2.0, 3.0, 3.0, 4.0, 7.0]);
    session.predict(&[], 0, &mut out).expect("nothing to do");
    assert!(session.predict(&[1.0, 2.0, 3.0], 2, &mut out).is_err());
    assert_eq!(out.len(), 7);
}

#[test]
fn the_network_of_the_speed_bar_spreads_its_scores() {
    let mut session = Session::open(&load("mlp-128").expect("a model")).expect("a session");
    let features: Vec<f32> = (0..64 * 128).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
    let mut out = Vec::new();
    session.predict(&features, 64, &mut out).expect("predicted");
    let (low, high) = out.iter().fold((1.0f32, 0.0f32), |(low, high), &s| (low.min(s), high.max(s)));
    assert!(low > 0.0 && high < 1.0 && high - low > 0.01, "{low} to {high}");
}
