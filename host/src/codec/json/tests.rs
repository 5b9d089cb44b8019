//! JSON lines: agreement with serde_json, faults with their reasons, damaged lines.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::*;
use proptest::prelude::*;
use serde_json::{Map, Value};

use crate::codec::{Decoded, Decoder, Encoder, Format, Framer, Limits, Rejected};
use crate::record::parse_type;

/// A schema of `name: type` pairs; a type with `?` is nullable.
fn schema(fields: &[(&str, &str)]) -> SchemaRef {
    let field = |(name, kind): &(&str, &str)| {
        let data_type = parse_type(kind.trim_end_matches('?')).expect("a known type");
        Field::new(*name, data_type, kind.ends_with('?'))
    };
    Arc::new(Schema::new(fields.iter().map(field).collect::<Vec<_>>()))
}

fn decode(schema: &SchemaRef, text: &[u8]) -> Decoded {
    let mut framer = Framer::new(Format::Json, Limits { rows: 10_000, bytes: 1 << 24, record: 1 << 20 });
    let mut rest = text;
    while !rest.is_empty() {
        let room = framer.room();
        let count = room.len().min(rest.len());
        room[..count].copy_from_slice(&rest[..count]);
        rest = &rest[count..];
        framer.advance(count);
    }
    framer.end();
    let block = framer.next_block(true).unwrap_or_default();
    assert!(framer.next_block(true).is_none(), "one block is enough for a test");
    Decoder::new(Format::Json, schema, None, 1 << 20).expect("a schema").decode(&block).expect("a batch")
}

/// The reason for which a line is rejected.
fn reason(kind: &str, line: &[u8]) -> String {
    let schema = schema(&[("id", "i64?"), ("x", kind)]);
    let good: &[u8] = match decode(&schema, line) {
        Decoded { rejected, .. } if rejected.len() == 1 => return rejected[0].reason.clone(),
        _ => line,
    };
    panic!("not rejected: {}", String::from_utf8_lossy(good));
}

fn column(kind: &str, text: &str) -> ArrayRef {
    let decoded = decode(&schema(&[("x", kind)]), text.as_bytes());
    assert_eq!(decoded.rejected, []);
    decoded.batch.columns.column(0).clone()
}

#[test]
fn every_type_is_read() {
    assert_eq!(column("bool", "{\"x\":true}\n{\"x\":false}").as_boolean(), &vec![true, false].into());
    let i32s = column("i32", "{\"x\":-2147483648}\n{\"x\":2147483647}\n{\"x\":-0}");
    assert_eq!(i32s.as_primitive::<Int32Type>().values(), &[i32::MIN, i32::MAX, 0]);
    let i64s = column("i64", "{\"x\":-9223372036854775808}\n{\"x\":9223372036854775807}");
    assert_eq!(i64s.as_primitive::<Int64Type>().values(), &[i64::MIN, i64::MAX]);
    assert_eq!(column("u32", "{\"x\":4294967295}").as_primitive::<UInt32Type>().values(), &[u32::MAX]);
    let u64s = column("u64", "{\"x\":18446744073709551615}");
    assert_eq!(u64s.as_primitive::<UInt64Type>().values(), &[u64::MAX]);
    assert_eq!(column("f32", "{\"x\":0.1}\n{\"x\":1e-50}").as_primitive::<Float32Type>().values(), &[0.1, 0.0]);
    let f64s = column("f64", "{\"x\":57.16}\n{\"x\":-1E-2}\n{\"x\":7}\n{\"x\":0.30000000000000004}");
    assert_eq!(f64s.as_primitive::<Float64Type>().values(), &[57.16, -0.01, 7.0, 0.30000000000000004]);
    let utf8 = column("utf8", "{\"x\":\"\"}\n{\"x\":\"h\u{e9}llo\"}\n{\"x\":\"a\\u00e9\\ud83d\\ude00\\n\\/\"}");
    assert_eq!(utf8.as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["", "h\u{e9}llo", "a\u{e9}\u{1F600}\n/"]);
    let bytes = column("binary", "{\"x\":\"AAEC\"}\n{\"x\":\"\"}");
    assert_eq!(bytes.as_binary::<i32>().iter().flatten().collect::<Vec<_>>(), [&[0, 1, 2][..], &[]]);
    let times = column("timestamp", "{\"x\":1522540831000}\n{\"x\":\"2018-04-01T00:00:31Z\"}");
    assert_eq!(times.as_primitive::<TimestampMillisecondType>().values(), &[1_522_540_831_000; 2]);
    let dates = column("date", "{\"x\":\"2018-04-01\"}\n{\"x\":17622}");
    assert_eq!(dates.as_primitive::<Date32Type>().values(), &[17_622; 2]);
    let vectors = column("f32[3]", "{\"x\":[1,2.5,-3]}\n{\"x\" : [ 4 , 5 , 6 ] }");
    let values = vectors.as_fixed_size_list().values().as_primitive::<Float32Type>();
    assert_eq!(values.values(), &[1.0, 2.5, -3.0, 4.0, 5.0, 6.0]);
    let lists = column("list<f32>", "{\"x\":[]}\n{\"x\":[1]}\n{\"x\":[ 2,3]}");
    assert_eq!(lists.as_list::<i32>().value_lengths_vec(), [0, 1, 2]);
}

trait Lengths {
    fn value_lengths_vec(&self) -> Vec<i32>;
}

impl Lengths for arrow::array::ListArray {
    fn value_lengths_vec(&self) -> Vec<i32> {
        (0..self.len()).map(|i| self.value_length(i)).collect()
    }
}

#[test]
fn a_bad_row_is_rejected_and_its_neighbours_stay() {
    let schema = schema(&[("id", "i64"), ("name", "utf8?"), ("v", "f32[2]"), ("l", "list<f32>?")]);
    let text = b"{\"id\":1,\"name\":\"a\",\"v\":[1,2],\"l\":[1]}\n\
        {\"id\":2,\"name\":\"b\",\"v\":[3,4],\"l\":[1,2],\"id\":3}\n\
        {\"id\":3,\"name\":\"c\",\"v\":[5,\"6\"]}\n\
        \n\
        {\"id\":5,\"v\":[7,8],\"l\":[1,2,3]}\n\
        not json\n\
        {\"v\":[9,10],\"id\":7,\"extra\":{\"deep\":[1,null,{\"x\":\"\\u0041\"}]},\"name\":null}";
    let decoded = decode(&schema, text);
    let columns = &decoded.batch.columns;
    assert_eq!(columns.column(0).as_primitive::<Int64Type>().values(), &[1, 5, 7]);
    assert_eq!(columns.column(1).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("a"), None, None]);
    assert_eq!(columns.column(3).as_list::<i32>().value_lengths_vec(), [1, 3, 0]);
    assert!(columns.column(3).is_null(2));
    assert_eq!(&decoded.batch.offsets[..], &[1, 5, 7], "line numbers, blank lines counted");
    let rejected: Vec<(u64, &str)> = decoded.rejected.iter().map(|r| (r.offset, r.reason.as_str())).collect();
    let expected = [
        (2, "field `id` occurs twice"),
        (3, "field `v`: expected an array of 2 numbers (f32), found [5,\"6\"]"),
        (6, "expected a JSON object, found `not json`"),
    ];
    assert_eq!(rejected, expected);
    assert_eq!(decoded.rejected[2].raw, b"not json");
}

#[test]
fn the_reason_names_the_field_what_was_expected_and_what_was_found() {
    let cases: &[(&str, &[u8], &str)] = &[
        ("f64", b"{\"x\":\"12.5\"}", "field `x`: expected a number (f64), found \"12.5\""),
        ("f64", b"{\"x\":{\"y\":1}}", "field `x`: expected a number (f64), found {\"y\":1}"),
        ("utf8", b"{\"x\":12}", "field `x`: expected a string, found 12"),
        ("bool", b"{\"x\":1}", "field `x`: expected true or false, found 1"),
        ("i64", b"{\"x\":1.5}", "field `x`: expected an integer (i64), found 1.5"),
        ("i64", b"{\"x\":1e3}", "field `x`: expected an integer (i64), found 1e3"),
        ("i32", b"{\"x\":2147483648}", "field `x`: 2147483648 does not fit i32"),
        ("u64", b"{\"x\":-1}", "field `x`: -1 does not fit u64"),
        ("i64", b"{\"x\":123456789012345678901}", "field `x`: 123456789012345678901 does not fit i64"),
        ("f64", b"{\"x\":1e999}", "field `x`: 1e999 does not fit f64"),
        ("f32", b"{\"x\":1e39}", "field `x`: 1e39 does not fit f32"),
        ("f64", b"{\"x\":null}", "field `x` is null; it must be f64"),
        ("f64", b"{\"id\":1}", "field `x` (f64) is missing"),
        ("f64", b"{}", "field `x` (f64) is missing"),
        ("f64", b"{\"x\":1,\"x\":1}", "field `x` occurs twice"),
        ("f32[2]", b"{\"x\":[1]}", "field `x`: expected 2 numbers, found [1]"),
        ("f32[2]", b"{\"x\":[1,2,3]}", "field `x`: expected 2 numbers, found [1,2,3]"),
        ("f32[2]", b"{\"x\":[1,null]}", "field `x`: expected an array of 2 numbers (f32), found [1,null]"),
        (
            "timestamp",
            b"{\"x\":\"yesterday\"}",
            "field `x`: expected a timestamp (milliseconds since 1970, or RFC 3339 text), found \"yesterday\"",
        ),
        (
            "date",
            b"{\"x\":\"1.1.2020\"}",
            "field `x`: expected a date (YYYY-MM-DD, or days since 1970), found \"1.1.2020\"",
        ),
        ("binary", b"{\"x\":\"*\"}", "field `x`: expected a string of base64, found \"*\""),
        ("f64", b"[1]", "expected a JSON object, found `[1]`"),
        ("f64", b"{\"x\":1} {}", "byte 9: `{}` follows the object; one object a line is expected"),
        ("f64", b"{\"x\":1", "byte 7: the record ends where `,` or `}` should be (cut off?)"),
        ("f64", b"{\"x\":", "field `x`, byte 6: the record ends where a value should be (cut off?)"),
        ("utf8", b"{\"x\":\"abc", "field `x`, byte 10: the record ends where `\"` should be (cut off?)"),
        ("f64", b"{\"x\" 1}", "byte 6: expected `:`, found `1}`"),
        ("f64", b"{x:1}", "byte 2: expected a name in quotes, found `x:1}`"),
        ("f64", b"{\"x\":1,}", "byte 8: expected a name in quotes, found `}`"),
        ("f64", b"{\"x\":nan}", "field `x`, byte 6: expected a value, found `nan}`"),
        ("f64", b"{\"x\":01}", "field `x`, byte 6: a malformed number (JSON wants 0.5, -1, 2e3; not .5, +1, 01 or 1.)"),
        ("utf8", b"{\"x\":\"a\xFFb\"}", "field `x`, byte 8: invalid UTF-8"),
        ("f64", b"{\"y\":\"a\xC3\",\"x\":1}", "byte 8: invalid UTF-8"),
        ("utf8", b"{\"x\":\"a\tb\"}", "field `x`, byte 8: control character U+0009 in a string; JSON wants it escaped"),
        ("utf8", b"{\"x\":\"a\\qb\"}", "field `x`, byte 8: invalid escape `\\qb\"}`"),
        ("utf8", b"{\"x\":\"a\\u12\"}", "field `x`, byte 8: invalid escape `\\u12\"}`"),
        ("utf8", b"{\"x\":\"\\ud800 \"}", "field `x`, byte 7: `\\ud800` is half of a surrogate pair"),
        ("f64", b"{\"y\":\"\\udc00\",\"x\":1}", "byte 7: `\\udc00` is half of a surrogate pair"),
    ];
    for (kind, line, expected) in cases {
        assert_eq!(reason(kind, line), *expected, "{}", String::from_utf8_lossy(line));
    }
}

#[test]
fn a_reason_is_one_short_line_whatever_the_value() {
    let long = format!("{{\"x\":\"{}\"}}", "\u{e9}\\n".repeat(500));
    let reason = reason("f64", long.as_bytes());
    assert!(reason.chars().count() < 120 && reason.ends_with('…'), "{reason}");
}

#[test]
fn nesting_ends_at_sixty_four_levels() {
    let nested = |levels: usize| format!("{{\"y\":{}{},\"x\":1}}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(decode(&schema(&[("x", "f64")]), nested(64).as_bytes()).rejected, []);
    assert_eq!(reason("f64", nested(65).as_bytes()), "byte 70: more than 64 levels of nesting");
}

#[test]
fn names_are_found_in_any_order_with_any_white_space_and_escapes() {
    let text = "{\"id\":1,\"x\":1}\n{ \"x\" : 2 , \"id\" : 2 }\r\n\t{\"\\u0078\":3,\"i\\u0064\":3}\n{\"x\":4,\"id\":4}\n{\"x\":5}";
    let decoded = decode(&schema(&[("id", "i64?"), ("x", "i64")]), text.as_bytes());
    assert_eq!(decoded.rejected, []);
    assert_eq!(decoded.batch.columns.column(1).as_primitive::<Int64Type>().values(), &[1, 2, 3, 4, 5]);
    let ids: Vec<_> = decoded.batch.columns.column(0).as_primitive::<Int64Type>().iter().collect();
    assert_eq!(ids, [Some(1), Some(2), Some(3), Some(4), None]);
}

#[test]
fn a_byte_order_mark_opens_a_file_and_nothing_else() {
    let decoded = decode(&schema(&[("x", "i64")]), "\u{FEFF}{\"x\":1}\n\u{FEFF}{\"x\":2}".as_bytes());
    assert_eq!(&decoded.batch.offsets[..], &[1]);
    assert_eq!(decoded.rejected.len(), 1);
}

/// A JSON value of no more than a few levels.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |v| v.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// The text of a value, with white space and escapes as `noise` decides.
fn write(value: &Value, noise: &mut impl FnMut() -> u32, out: &mut String) {
    let space = |noise: &mut dyn FnMut() -> u32, out: &mut String| {
        out.push_str(["", "", "", "", " ", "\t", " \r ", ""][noise() as usize % 8]);
    };
    match value {
        Value::String(text) => write_text(text, noise, out),
        Value::Array(items) => {
            out.push('[');
            space(noise, out);
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                    space(noise, out);
                }
                write(item, noise, out);
                space(noise, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            space(noise, out);
            for (index, (name, value)) in fields.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                    space(noise, out);
                }
                write_text(name, noise, out);
                space(noise, out);
                out.push(':');
                space(noise, out);
                write(value, noise, out);
                space(noise, out);
            }
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}

fn write_text(text: &str, noise: &mut impl FnMut() -> u32, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        if character < ' ' || matches!(character, '"' | '\\') || noise().is_multiple_of(16) {
            let mut units = [0; 2];
            character.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            out.push(character);
        }
    }
    out.push('"');
}

const FIELDS: [(&str, &str); 6] =
    [("b", "bool?"), ("i", "i64?"), ("n", "i32?"), ("f", "f64?"), ("s", "utf8?"), ("h\u{e9}\"", "utf8?")];

/// The row as serde_json and the schema see it; `None` when it does not fit.
fn expected(object: &Map<String, Value>) -> Option<Vec<Value>> {
    FIELDS
        .iter()
        .map(|(name, kind)| {
            let value = object.get(*name).cloned().unwrap_or(Value::Null);
            let fits = match *kind {
                "bool?" => value.is_boolean(),
                "i64?" => value.is_i64(),
                "i32?" => value.as_i64().is_some_and(|v| i32::try_from(v).is_ok()),
                "f64?" => value.is_number(),
                _ => value.is_string(),
            };
            (fits || value.is_null()).then_some(value)
        })
        .collect()
}

fn cell(columns: &RecordBatch, index: usize) -> Value {
    let array = columns.column(index);
    if array.is_null(0) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(0).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(0).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(0).into(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(0).into(),
        _ => array.as_string::<i32>().value(0).into(),
    }
}

fn assert_agrees(line: &str, decoded: &Decoded) -> Result<(), TestCaseError> {
    let parsed = serde_json::from_str::<Map<String, Value>>(line).ok();
    match parsed.as_ref().and_then(expected) {
        None => prop_assert_eq!(decoded.rejected.len(), 1, "{} should be rejected", line),
        Some(row) => {
            prop_assert_eq!(&decoded.rejected, &[] as &[Rejected], "{}", line);
            for (index, value) in row.into_iter().enumerate() {
                let found = cell(&decoded.batch.columns, index);
                // serde_json reads some floats one unit in the last place off; `number` is tested
                // against the standard library to the bit.
                let same = match (value.as_f64(), found.as_f64()) {
                    (Some(a), Some(b)) if FIELDS[index].1 == "f64?" => (a - b).abs() <= a.abs() * f64::EPSILON,
                    _ => value == found,
                };
                prop_assert!(same, "{line}: field {index} is {found}, serde_json says {value}");
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn rows_agree_with_serde_json(
        fields in prop::collection::vec((prop::sample::select(vec!["b", "i", "n", "f", "s", "h\u{e9}\"", "other", ""]), value()), 0..8),
        mut seed in any::<u32>(),
    ) {
        let object = Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        let mut noise = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed >> 16
        };
        let mut line = String::new();
        write(&object, &mut noise, &mut line);
        assert_agrees(&line, &decode(&schema(&FIELDS), line.as_bytes()))?;
    }

    /// Valid lines with a few bytes changed, dropped or doubled: what is not JSON is rejected, what
    /// still is is read as serde_json reads it. Duplicate names are left out, as they differ.
    #[test]
    fn damaged_rows_agree_with_serde_json(
        text in prop::sample::select(vec![
            r#"{"b":true,"i":-12,"n":0,"f":1.5e3,"s":"a\u00e9\n","other":[1,{"k":null},"\\"],"q":{}}"#,
            r#"{ "s" : "héllo", "f" : 0.25, "other" : [[[]], {}, [true, false]], "i" : null }"#,
            r#"{"i":1}"#,
        ]),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, prop::sample::select(b"{}[]\",:\\u0123456789eE+-. \t\rntrfalsbi\x01\x7F\xC3\xA9\xFF".to_vec())), 1..4),
    ) {
        let mut line = text.as_bytes().to_vec();
        for (at, kind, byte) in edits {
            if line.is_empty() {
                break;
            }
            let at = at.index(line.len());
            match kind {
                0 => line[at] = byte,
                1 => line.insert(at, byte),
                2 => { line.remove(at); }
                _ => line.truncate(at),
            }
        }
        let decoded = decode(&schema(&FIELDS), &line);
        let Ok(text) = std::str::from_utf8(&line) else {
            prop_assert_eq!(decoded.rejected.len(), 1);
            return Ok(());
        };
        let blank = text.trim_ascii().is_empty();
        let repeated = FIELDS.iter().any(|(name, _)| text.matches(&format!("\"{name}\"")).count() > 1);
        let twice = repeated || decoded.rejected.first().is_some_and(|r| r.reason.ends_with("occurs twice"));
        // serde_json reads -0 as a float, and refuses numbers beyond the largest in any field.
        let known = text.contains("-0") || text.contains('e') && serde_json::from_str::<Value>(text).is_err_and(|e| e.to_string().contains("out of range"));
        if !blank && !twice && !known {
            assert_agrees(text, &decoded)?;
        }
    }

    #[test]
    fn no_bytes_make_it_panic(line in prop::collection::vec(any::<u8>(), 0..60), kind in 0..13_usize) {
        let kinds = ["bool", "i32", "i64", "u32", "u64", "f32", "f64", "utf8", "binary", "timestamp", "date", "list<f32>", "f32[3]"];
        let mut text = b"{\"x\":".to_vec();
        text.extend_from_slice(&line);
        let decoded = decode(&schema(&[("x", kinds[kind])]), &text);
        let lines = text.split(|&b| b == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
        prop_assert_eq!(decoded.batch.rows() + decoded.rejected.len(), lines);
    }

    #[test]
    fn what_is_written_is_read_back(
        rows in prop::collection::vec((any::<Option<String>>(), any::<f64>(), any::<i64>(), prop::array::uniform3(any::<f32>()), any::<Vec<u8>>()), 1..20),
    ) {
        let schema = schema(&[("s", "utf8?"), ("f", "f64?"), ("t", "timestamp"), ("v", "f32[3]"), ("b", "binary")]);
        let finite = |v: f32| if v.is_finite() { v } else { 0.5 };
        let item = Arc::new(Field::new("item", DataType::Float32, false));
        let vectors: Vec<f32> = rows.iter().flat_map(|r| r.3.map(finite)).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|r| r.0.clone()).collect::<arrow::array::StringArray>()),
            Arc::new(rows.iter().map(|r| Some(r.1)).collect::<arrow::array::Float64Array>()),
            Arc::new(rows.iter().map(|r| Some(r.2)).collect::<arrow::array::TimestampMillisecondArray>()),
            Arc::new(arrow::array::FixedSizeListArray::new(item, 3, Arc::new(arrow::array::Float32Array::from(vectors)), None)),
            Arc::new(arrow::array::BinaryArray::from_iter_values(rows.iter().map(|r| &r.4))),
        ];
        let batch = RecordBatch::try_new(schema.clone(), columns).expect("a batch");
        let mut text = Vec::new();
        Encoder::new(Format::Json, &schema, None).expect("known types").encode(&batch, &mut text).expect("encoded");
        for line in text.split_inclusive(|&b| b == b'\n') {
            serde_json::from_slice::<Value>(line).expect("each line is JSON");
        }
        let decoded = decode(&schema, &text);
        prop_assert_eq!(&decoded.rejected, &[]);
        for index in [0, 2, 3, 4] {
            prop_assert_eq!(decoded.batch.columns.column(index), batch.column(index));
        }
        let floats: Vec<_> = decoded.batch.columns.column(1).as_primitive::<Float64Type>().iter().collect();
        let written: Vec<_> = rows.iter().map(|r| Some(r.1).filter(|v| v.is_finite())).collect();
        prop_assert_eq!(floats, written, "a float that is not finite is a null");
    }
}
