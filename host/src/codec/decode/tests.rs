//! Decoding: event times, oversized records, line numbers.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};

use super::*;

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Millisecond, None);
    Arc::new(Schema::new(vec![
        Field::new("at", time, true),
        Field::new("n", DataType::Int64, false),
        Field::new("s", DataType::Utf8, true),
    ]))
}

fn block(records: &[&str], first_offset: u64) -> RawBlock {
    let mut block = RawBlock { first_offset, ..RawBlock::default() };
    for record in records {
        block.bytes.extend_from_slice(record.as_bytes());
        block.ends.push(block.bytes.len() as u32);
    }
    block
}

#[test]
fn the_event_time_is_taken_from_its_column() {
    let rows = block(&["{\"at\":1000,\"n\":5}\n", "{\"at\":900,\"n\":6}\n"], 41);
    for (name, times) in [(Some("at"), vec![1000, 900]), (Some("n"), vec![5, 6]), (None, vec![])] {
        let mut decoder = Decoder::new(Format::Json, &schema(), name, 100).expect("a decoder");
        let decoded = decoder.decode(&rows).expect("a batch");
        assert_eq!(&decoded.batch.event_times[..], times);
        assert_eq!(&decoded.batch.offsets[..], &[41, 42]);
    }
}

#[test]
fn a_row_without_event_time_is_rejected_even_where_the_field_is_nullable() {
    let mut decoder = Decoder::new(Format::Json, &schema(), Some("at"), 100).expect("a decoder");
    let decoded = decoder.decode(&block(&["{\"n\":5}\n", "{\"at\":null,\"n\":6}\n"], 1)).expect("a batch");
    let reasons: Vec<&str> = decoded.rejected.iter().map(|r| r.reason.as_str()).collect();
    assert_eq!(reasons, ["field `at` (timestamp) is missing", "field `at` is null; it must be timestamp"]);
}

#[test]
fn a_record_over_the_limit_is_rejected_with_its_length() {
    let mut decoder = Decoder::new(Format::Json, &schema(), None, 1 << 20).expect("a decoder");
    let mut rows = block(&["{\"n\":1}\n", "{\"n\":2,\"s\":\"xxx"], 7);
    rows.oversized.push((1, 104_857_600));
    let decoded = decoder.decode(&rows).expect("a batch");
    assert_eq!(&decoded.batch.offsets[..], &[7]);
    let expected = Rejected {
        offset: 8,
        reason: "record of 104857600 bytes is longer than the limit of 1 MiB (max_record)".into(),
        raw: b"{\"n\":2,\"s\":\"xxx".to_vec(),
    };
    assert_eq!(decoded.rejected, [expected]);
}

#[test]
fn a_block_without_good_rows_gives_an_empty_batch() {
    let mut decoder = Decoder::new(Format::Json, &schema(), Some("at"), 100).expect("a decoder");
    for rows in [block(&[], 1), block(&["\n", "  \r\n"], 1), block(&["nonsense\n"], 1)] {
        let decoded = decoder.decode(&rows).expect("a batch");
        assert!(decoded.batch.is_empty());
        assert_eq!(decoded.batch.columns.schema(), schema());
    }
}

#[test]
fn a_decoder_is_as_new_after_each_block() {
    let mut decoder = Decoder::new(Format::Json, &schema(), None, 100).expect("a decoder");
    for n in 0..3 {
        let decoded = decoder.decode(&block(&["{\"n\":1,\"s\":null}", "{\"n\":\"x\"}"], n)).expect("a batch");
        assert_eq!((decoded.batch.rows(), decoded.rejected.len()), (1, 1));
    }
}

#[test]
fn a_schema_that_cannot_be_decoded_is_refused_at_once() {
    let refused = |fields: Vec<Field>, time| {
        let schema = Arc::new(Schema::new(fields));
        Decoder::new(Format::Json, &schema, time, 100).expect_err("refused").to_string()
    };
    let utf8 = || Field::new("s", DataType::Utf8, false);
    assert_eq!(refused(vec![], None), "the schema has no field; name at least one");
    assert_eq!(
        refused(vec![Field::new("x", DataType::Int8, false)], None),
        "field `x` is of type Int8, which records cannot hold"
    );
    assert_eq!(refused(vec![utf8()], Some("t")), "event_time = \"t\": the schema has no field `t`");
    assert_eq!(
        refused(vec![utf8()], Some("s")),
        "event_time = \"s\": the field is of type utf8; it must be timestamp or i64 (milliseconds)"
    );
}
