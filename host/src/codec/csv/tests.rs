//! CSV: headers, quotes, faults.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Field, Float32Type, Float64Type, Int64Type, Schema, SchemaRef};
use proptest::prelude::*;

use super::*;
use crate::codec::{Decoded, Decoder, Encoder, Format, Framer, Limits};
use crate::record::parse_type;

fn schema(fields: &[(&str, &str)]) -> SchemaRef {
    let field = |(name, kind): &(&str, &str)| {
        let data_type = parse_type(kind.trim_end_matches('?')).expect("a known type");
        Field::new(*name, data_type, kind.ends_with('?'))
    };
    Arc::new(Schema::new(fields.iter().map(field).collect::<Vec<_>>()))
}

fn try_decode(schema: &SchemaRef, text: &[u8]) -> Result<Decoded, Error> {
    let mut framer = Framer::new(Format::Csv, Limits { rows: 10_000, bytes: 1 << 24, record: 1000 });
    framer.room()[..text.len()].copy_from_slice(text);
    framer.advance(text.len());
    framer.end();
    let block = framer.next_block(true).unwrap_or_default();
    Decoder::new(Format::Csv, schema, None, 1000).expect("a schema").decode(&block)
}

fn decode(schema: &SchemaRef, text: &str) -> Decoded {
    try_decode(schema, text.as_bytes()).expect("a good header")
}

#[test]
fn columns_are_found_by_the_header_and_others_ignored() {
    let schema = schema(&[("id", "i64"), ("name", "utf8?"), ("score", "f64?")]);
    let text = "\u{FEFF}name,other,\"id\"\r\na,x,1\r\n\"b, \"\"B\"\"\",,2\n,,3";
    let decoded = decode(&schema, text);
    assert_eq!(decoded.rejected, []);
    let columns = &decoded.batch.columns;
    assert_eq!(columns.column(0).as_primitive::<Int64Type>().values(), &[1, 2, 3]);
    assert_eq!(columns.column(1).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("a"), Some("b, \"B\""), None]);
    assert_eq!(columns.column(2).as_primitive::<Float64Type>().null_count(), 3);
}

#[test]
fn a_header_that_lacks_a_required_field_stops_the_source() {
    let schema = schema(&[("id", "i64"), ("name", "utf8?")]);
    let error = try_decode(&schema, b"name\na\n").expect_err("no id");
    assert_eq!(
        error.to_string(),
        "the header `name` has no column `id` (i64); add it, or make the field nullable in the schema"
    );
    let error = try_decode(&schema, b"id,id\n1,2\n").expect_err("two ids");
    assert_eq!(error.to_string(), "the header `id,id` names the column `id` twice");
}

#[test]
fn a_bad_record_is_rejected_and_its_neighbours_stay() {
    let schema = schema(&[("id", "i64"), ("x", "f64?"), ("s", "utf8")]);
    let text = "id,x,s\n1,1.5,a\nx,1,b\n3,1e999,c\n4\n5,5,e,f\n\n,7,g\n8,8,\"h\nh\"\n9,nan,i\n99999999999999999999,1,j\n11,,\n\"12,1,k\n13,1,l\n";
    let decoded = decode(&schema, text);
    assert_eq!(&decoded.batch.offsets[..], &[2, 9, 13, 15]);
    let rejected: Vec<(u64, &str)> = decoded.rejected.iter().map(|r| (r.offset, r.reason.as_str())).collect();
    let expected = [
        (3, "field `id`: expected an integer (i64), found `x`"),
        (4, "field `x`: 1e999 does not fit f64"),
        (5, "expected 3 fields, as the header has, found 1 fields"),
        (6, "expected 3 fields, as the header has, found 4 or more fields"),
        (8, "field `id` is empty; it must be an integer (i64)"),
        (11, "field `x`: expected a number (f64), found `nan`"),
        (12, "field `id`: 99999999999999999999 does not fit i64"),
        (14, "a quoted field is not closed (or only behind the limit on the length of a record)"),
    ];
    assert_eq!(rejected, expected);
}

#[test]
fn text_that_is_no_utf_8_is_rejected() {
    let schema = schema(&[("s", "utf8")]);
    let decoded = try_decode(&schema, b"s\na\n\xFFb\nc\n").expect("a good header");
    assert_eq!(decoded.batch.rows(), 2);
    assert_eq!(decoded.rejected[0].reason, "field `s`: invalid UTF-8 in `\u{FFFD}b`");
    assert_eq!(decoded.rejected[0].raw, b"\xFFb");
}

#[test]
fn lists_bytes_dates_and_times_have_a_form() {
    let schema = schema(&[("v", "f32[2]"), ("b", "binary"), ("d", "date"), ("t", "timestamp"), ("o", "bool")]);
    let text =
        "v,b,d,t,o\n\"[1, 2.5]\",AAE=,2018-04-01,1522540831000,true\n\"[1]\",,17622,2018-04-01T00:00:31Z,false\n";
    let decoded = decode(&schema, text);
    assert_eq!(decoded.rejected[0].reason, "field `v`: expected an array of 2 numbers (f32), found `[1]`");
    let list = decoded.batch.columns.column(0).as_fixed_size_list().value(0);
    assert_eq!(list.as_primitive::<Float32Type>().values(), &[1.0, 2.5]);
    let mut out = Vec::new();
    Encoder::new(Format::Csv, &schema, None).expect("known").encode(&decoded.batch.columns, &mut out).expect("written");
    assert_eq!(String::from_utf8_lossy(&out), "\"[1.0,2.5]\",AAE=,2018-04-01,1522540831000,true\n");
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(rows in prop::collection::vec((any::<String>(), any::<Option<i64>>()), 1..20)) {
        let schema = schema(&[("s", "utf8"), ("n", "i64?")]);
        let columns: Vec<arrow::array::ArrayRef> = vec![
            Arc::new(arrow::array::StringArray::from_iter_values(rows.iter().map(|r| &r.0))),
            Arc::new(rows.iter().map(|r| r.1).collect::<arrow::array::Int64Array>()),
        ];
        let batch = arrow::array::RecordBatch::try_new(schema.clone(), columns).expect("a batch");
        let mut encoder = Encoder::new(Format::Csv, &schema, None).expect("known types");
        let mut text = encoder.header().expect("a header");
        encoder.encode(&batch, &mut text).expect("encoded");
        let decoded = try_decode(&schema, &text).expect("a good header");
        prop_assert_eq!(decoded.rejected, &[]);
        prop_assert_eq!(decoded.batch.columns, batch);
    }

    #[test]
    fn no_bytes_make_it_panic(text in "[a1\",\n\r.]{0,80}") {
        let schema = schema(&[("a", "utf8?"), ("b", "f64?")]);
        let decoded = decode(&schema, &format!("a,b\n{text}"));
        prop_assert!(decoded.batch.rows() + decoded.rejected.len() <= text.lines().count() + 1);
    }
}
