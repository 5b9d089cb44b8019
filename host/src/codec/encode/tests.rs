//! What is written reads back the same.

use std::sync::Arc;

use arrow::array::{Date32Array, Float32Array, Float64Array, Int64Array, ListArray};
use arrow::datatypes::{Field as ArrowField, Schema};

use super::*;
use crate::record::{DeadLetter, dead_letter_batch, dead_letter_schema};

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).expect("a batch")
}

fn encode(format: Format, batch: &RecordBatch, fields: Option<&[String]>) -> String {
    let mut out = Vec::new();
    Encoder::new(format, &batch.schema(), fields).expect("known types").encode(batch, &mut out).expect("written");
    String::from_utf8(out).expect("text")
}

#[test]
fn nulls_and_floats_that_are_no_numbers_are_null() {
    let batch = batch(vec![
        ("f", Arc::new(Float64Array::from(vec![Some(1.0), None, Some(f64::NAN), Some(f64::INFINITY)]))),
        ("g", Arc::new(Float32Array::from(vec![0.1, 1e30, f32::NEG_INFINITY, -0.0]))),
        ("s", Arc::new(StringArray::from(vec![Some(""), None, Some("x"), Some("y")]))),
    ]);
    assert_eq!(
        encode(Format::Json, &batch, None),
        "{\"f\":1.0,\"g\":0.1,\"s\":\"\"}\n{\"f\":null,\"g\":1e+30,\"s\":null}\n\
         {\"f\":null,\"g\":null,\"s\":\"x\"}\n{\"f\":null,\"g\":-0.0,\"s\":\"y\"}\n"
    );
    assert_eq!(encode(Format::Csv, &batch, None), "1.0,0.1,\n,1e+30,\n,,x\n,-0.0,y\n");
}

#[test]
fn text_is_escaped_where_it_must_be() {
    let text = "a\"b\\c\nd\r\t\u{1}\u{7f}/\u{e9}\u{1F600},";
    let batch = batch(vec![("na\"me", Arc::new(StringArray::from(vec![text])))]);
    assert_eq!(
        encode(Format::Json, &batch, None),
        "{\"na\\\"me\":\"a\\\"b\\\\c\\nd\\r\\t\\u0001\u{7f}/\u{e9}\u{1F600},\"}\n"
    );
    assert_eq!(encode(Format::Csv, &batch, None), "\"a\"\"b\\c\nd\r\t\u{1}\u{7f}/\u{e9}\u{1F600},\"\n");
    let header = Encoder::new(Format::Csv, &batch.schema(), None).expect("known types").header();
    assert_eq!(header.as_deref(), Some(&b"\"na\"\"me\"\n"[..]));
}

#[test]
fn a_date_without_four_digits_is_a_number() {
    let batch = batch(vec![("d", Arc::new(Date32Array::from(vec![0, -1, i32::MAX])))]);
    assert_eq!(
        encode(Format::Json, &batch, None),
        "{\"d\":\"1970-01-01\"}\n{\"d\":\"1969-12-31\"}\n{\"d\":2147483647}\n"
    );
}

#[test]
fn slices_are_written_from_their_own_beginning() {
    let lists = ListArray::from_iter_primitive::<Float32Type, _, _>(vec![
        Some(vec![Some(1.0)]),
        Some(vec![]),
        Some(vec![Some(2.0), Some(3.0)]),
    ]);
    let all = batch(vec![("l", Arc::new(lists)), ("n", Arc::new(Int64Array::from(vec![None, Some(1), Some(2)])))]);
    assert_eq!(encode(Format::Json, &all.slice(1, 2), None), "{\"l\":[],\"n\":1}\n{\"l\":[2.0,3.0],\"n\":2}\n");
    let vectors = arrow::array::FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(
        (0..3).map(|i| Some(vec![Some(i as f32), Some(0.5)])),
        2,
    );
    let all = batch(vec![("v", Arc::new(vectors))]);
    assert_eq!(encode(Format::Json, &all.slice(2, 1), None), "{\"v\":[2.0,0.5]}\n");
}

#[test]
fn the_chosen_fields_are_written_in_their_order() {
    let batch = batch(vec![
        ("a", Arc::new(Int64Array::from(vec![1]))),
        ("b", Arc::new(BooleanArray::from(vec![true]))),
        ("c", Arc::new(Int64Array::from(vec![3]))),
    ]);
    let fields = ["c".to_owned(), "b".to_owned()];
    assert_eq!(encode(Format::Json, &batch, Some(&fields)), "{\"c\":3,\"b\":true}\n");
    let unknown = Encoder::new(Format::Json, &batch.schema(), Some(&["d".to_owned()])).expect_err("unknown");
    assert_eq!(unknown.to_string(), "there is no field `d` to write; the rows have a, b, c");
    assert!(Encoder::new(Format::Json, &batch.schema(), Some(&[])).is_err());
}

#[test]
fn a_batch_of_another_schema_is_refused_and_nothing_is_written() {
    let schema: SchemaRef = Arc::new(Schema::new(vec![ArrowField::new("a", DataType::Utf8, true)]));
    let mut encoder = Encoder::new(Format::Json, &schema, None).expect("known types");
    let mut out = Vec::new();
    let error =
        encoder.encode(&batch(vec![("a", Arc::new(Int64Array::from(vec![1])))]), &mut out).expect_err("refused");
    assert_eq!(error.to_string(), "a batch to encode has no column `a` of type utf8");
    assert!(out.is_empty());
}

#[test]
fn dead_letters_are_rows_like_any_other() {
    let letter = DeadLetter {
        source: "s".into(),
        partition: "p".into(),
        offset: 3,
        operator: "".into(),
        reason: "bad".into(),
        raw: vec![0xFF],
    };
    let mut out = Vec::new();
    let mut encoder = Encoder::new(Format::Json, &dead_letter_schema(), None).expect("known types");
    encoder.encode(&dead_letter_batch(&[letter]), &mut out).expect("written");
    assert_eq!(
        String::from_utf8_lossy(&out),
        "{\"source\":\"s\",\"partition\":\"p\",\"offset\":3,\"operator\":\"\",\"reason\":\"bad\",\"raw\":null,\"raw_bytes\":\"/w==\"}\n"
    );
}
