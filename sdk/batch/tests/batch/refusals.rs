//! Every limit from both sides: what just fits is taken, what is past it is refused by name.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, FixedSizeListArray, Float32Array, Int16Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use millstream_batch::{
    Answer, AnswerRef, AnswerSchemas, AnswerSpec, AnswerView, AnyBuilder, BoolBuilder, BoolColumn, ColumnBuilder,
    ColumnType, Columns, FixedF32Builder, Input, InputKind, InputParts, Keys, LayoutError, Limits, NoKeys, Port,
    PortBuilder, PrimitiveColumn, Utf8Builder, Utf8Column, write_arrow_input, write_input,
};

use crate::rows::Table;

const ROWS: usize = 4;
const KEYS: usize = 3;

fn parts(rows: usize) -> InputParts<'static> {
    InputParts { kind: InputKind::Batch, rows, event_times: &[], keys: None, watermark: 0, processing_time: 0 }
}

fn spec(ports: Vec<Vec<ColumnType>>) -> AnswerSpec {
    AnswerSpec { ports, counters: 2, limits: Limits { rows: 6, slot: 10 } }
}

/// The answer to four rows of three keys that `fill` builds.
fn answer(ports: &mut [&mut dyn Port], fill: impl FnOnce(&mut Answer)) -> Vec<u8> {
    let table = Table(vec![(b"k".to_vec(), None); KEYS]);
    let keys = Some(Keys { index: &[0, 1, 2, 0], table: &table });
    let parts =
        InputParts { kind: InputKind::Batch, rows: ROWS, event_times: &[], keys, watermark: 0, processing_time: 0 };
    let mut input = Vec::new();
    write_input(&mut input, &parts, &()).unwrap();
    let mut answer = Answer::new();
    answer.start(&Input::parse(&input).unwrap());
    fill(&mut answer);
    answer.finish(ports).unwrap()
}

/// The error of an answer without ports, if there is one.
fn refusal(fill: impl FnOnce(&mut Answer)) -> Option<String> {
    read(&answer(&mut [], fill)).err().map(|error| error.to_string())
}

fn read(bytes: &[u8]) -> Result<AnswerRef<'_>, LayoutError> {
    AnswerRef::parse(bytes, &spec(vec![]), ROWS, KEYS)
}

/// The error of an answer with one port of rows that come from `origins`.
fn origins(origins: &[u32]) -> Option<String> {
    let mut port = PortBuilder::new(());
    origins.iter().for_each(|&origin| port.end_row(origin));
    let bytes = answer(&mut [&mut port], |_| ());
    AnswerRef::parse(&bytes, &spec(vec![vec![]]), ROWS, KEYS).err().map(|error| error.to_string())
}

#[test]
fn a_slot_names_a_key_of_the_batch_once() {
    assert_eq!(refusal(|answer| (0..3).rev().for_each(|key| answer.set_slot(key, b"x"))), None);
    assert_eq!(
        refusal(|answer| answer.set_slot(3, b"x")).unwrap(),
        "packed batch: key of slot 0 is 3, at most 2 is allowed"
    );
    let twice = refusal(|answer| {
        answer.set_slot(1, b"x");
        answer.delete_slot(1);
    });
    assert_eq!(twice.unwrap(), "packed batch: key of slot 1 repeats or goes back");
}

#[test]
fn a_slot_is_within_its_limit() {
    assert_eq!(refusal(|answer| answer.set_slot(0, &[1; 10])), None);
    assert_eq!(
        refusal(|answer| answer.set_slot(0, &[1; 11])).unwrap(),
        "packed batch: length of slot 0 is 11, at most 10 is allowed"
    );
}

#[test]
fn errors_timers_and_counters_name_what_exists() {
    assert_eq!(refusal(|answer| answer.row_error(3, 1, "no")), None);
    assert!(refusal(|answer| answer.row_error(4, 1, "no")).unwrap().contains("row of error 0 is 4, at most 3"));
    assert_eq!(refusal(|answer| answer.set_timer(2, 5)), None);
    assert!(refusal(|answer| answer.set_timer(3, 5)).unwrap().contains("key of timer 0 is 3, at most 2"));
    assert_eq!(refusal(|answer| answer.count(1, 1)), None);
    assert!(refusal(|answer| answer.count(2, 1)).unwrap().contains("index of counter 0 is 2, at most 1"));
    assert_eq!(refusal(|answer| answer.count_f64(0, f64::INFINITY)), None);
}

#[test]
fn an_error_text_is_not_cut_within_a_character() {
    let bytes = answer(&mut [], |answer| answer.row_error(0, 1, "ä"));
    assert_eq!(read(&bytes).unwrap().errors().next().unwrap().message, "ä");
    let table = u32::from_le_bytes(bytes[48..52].try_into().unwrap()) as usize;
    let mut cut = bytes.clone();
    cut[table + 12] = 1;
    assert_eq!(read(&cut).unwrap_err(), LayoutError::Text { what: "text of error", at: 0 });
    let mut long = bytes;
    long[table + 12] = 3;
    assert!(matches!(read(&long), Err(LayoutError::Value { what: "end of error text", found: 3, limit: 2, .. })));
}

#[test]
fn origins_lie_in_the_input_and_never_go_back() {
    assert_eq!(origins(&[]), None);
    assert_eq!(origins(&[0, 1, 2, 3]), None);
    assert_eq!(origins(&[0, 0, 3, 3]), None);
    assert!(origins(&[1, 0]).unwrap().contains("output port 0: packed batch: origin"));
    assert!(origins(&[0, 4]).unwrap().contains("origin of row 1 is 4, at most 3"));
}

#[test]
fn a_port_is_within_its_limit_of_rows() {
    assert_eq!(origins(&[0; 6]), None);
    assert!(origins(&[0; 7]).unwrap().contains("number of rows 0 is 7, at most 6"));
}

#[test]
fn an_answer_is_to_the_batch_that_was_sent() {
    let bytes = answer(&mut [], |_| ());
    assert!(read(&bytes).is_ok());
    let field = |rows, keys| AnswerRef::parse(&bytes, &spec(vec![]), rows, keys).unwrap_err().to_string();
    assert_eq!(field(5, KEYS), "packed batch: header field `rows` is 4, expected 5");
    assert_eq!(field(ROWS, 2), "packed batch: header field `keys` is 3, expected 2");
    assert!(AnswerRef::parse(&bytes, &spec(vec![vec![]]), ROWS, KEYS).unwrap_err().to_string().contains("`ports`"));
    assert!(Input::parse(&bytes).unwrap_err().to_string().contains("`kind` is 2"));
}

#[test]
fn a_buffer_of_another_format_is_refused() {
    let mut bytes = answer(&mut [], |_| ());
    bytes[4] = 2;
    assert_eq!(read(&bytes).unwrap_err().to_string(), "packed batch: header field `format` is 2, expected 1");
    bytes[0] = 0;
    assert!(read(&bytes).unwrap_err().to_string().contains("`magic`"));
}

#[test]
fn a_section_is_aligned() {
    let mut port = PortBuilder::new(());
    [0, 0].into_iter().for_each(|origin| port.end_row(origin));
    let mut bytes = answer(&mut [&mut port], |_| ());
    let ports = u32::from_le_bytes(bytes[24..28].try_into().unwrap()) as usize;
    bytes[ports + 12] += 4;
    let error = AnswerRef::parse(&bytes, &spec(vec![vec![]]), ROWS, KEYS).unwrap_err();
    assert!(error.to_string().contains("is not 8-byte aligned"), "{error}");
}

#[test]
fn a_port_has_the_declared_columns_and_its_nulls_are_allowed() {
    let build = |null: bool| {
        let mut column = AnyBuilder::new(ColumnType::I64);
        if null {
            column.push_null();
        } else if let AnyBuilder::I64(column) = &mut column {
            column.push(7);
        }
        let mut port = PortBuilder::new(vec![column]);
        port.end_row(2);
        answer(&mut [&mut port], |_| ())
    };
    let parse = |bytes: &[u8], data_type, nullable| {
        let schema = Arc::new(Schema::new(vec![Field::new("x", data_type, nullable)]));
        let expected = AnswerSchemas::new(vec![schema], 0, Limits::default()).unwrap();
        AnswerView::parse(bytes.to_vec(), &expected, ROWS, KEYS)
    };
    assert!(parse(&build(true), DataType::Int64, true).is_ok());
    assert!(parse(&build(false), DataType::Int64, false).is_ok());
    let error = parse(&build(true), DataType::Int64, false).unwrap_err();
    assert!(matches!(error, LayoutError::Port(0, inner) if *inner == LayoutError::Null { at: 0 }));
    let error = parse(&build(false), DataType::UInt64, false).unwrap_err();
    assert_eq!(error.to_string(), "output port 0: packed batch: column 0 is `i64`, but `u64` was declared");
}

#[test]
fn a_guest_asks_for_the_type_that_is_there() {
    let mut bytes = Vec::new();
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    write_arrow_input(&mut bytes, &parts(2), &[numbers]).unwrap();
    let input = Input::parse(&bytes).unwrap();
    assert_eq!(input.column::<PrimitiveColumn<'_, i64>>(0).unwrap().get(1), Some(2));
    let error = input.column::<Utf8Column<'_>>(0).unwrap_err();
    assert_eq!(error.to_string(), "packed batch: column 0 is `i64`, but `utf8` was declared");
    assert!(input.column::<Utf8Column<'_>>(1).is_err());
}

#[test]
fn text_that_is_not_utf8_is_refused_where_it_is_viewed() {
    let mut bytes = Vec::new();
    let text: ArrayRef = Arc::new(StringArray::from(vec!["ä", "b"]));
    write_arrow_input(&mut bytes, &parts(2), &[text]).unwrap();
    let offsets = u32::from_le_bytes(bytes[96..100].try_into().unwrap()) as usize;
    let values = u32::from_le_bytes(bytes[104..108].try_into().unwrap()) as usize;
    let view = |bytes: &[u8]| Input::parse(bytes).unwrap().column::<Utf8Column<'_>>(0).map(drop);
    let broken = Err(LayoutError::Text { what: "text of column", at: 0 });
    assert_eq!(view(&bytes), Ok(()));
    let mut cut = bytes.clone();
    cut[offsets + 4] = 1;
    assert_eq!(view(&cut), broken);
    bytes[values] = 0xff;
    assert_eq!(view(&bytes), broken);
}

#[test]
fn the_host_refuses_what_the_layout_cannot_hold() {
    let mut out = Vec::new();
    let short: ArrayRef = Arc::new(Int16Array::from(vec![1]));
    let error = write_arrow_input(&mut out, &parts(1), &[short]).unwrap_err();
    assert!(error.to_string().contains("column 0 has type Int16"), "{error}");

    let table = Table(vec![(Vec::new(), None)]);
    let keyed = |index| InputParts {
        kind: InputKind::Batch,
        rows: 2,
        event_times: &[],
        keys: Some(Keys { index, table: &table }),
        watermark: 0,
        processing_time: 0,
    };
    assert!(write_input(&mut out, &keyed(&[0, 0]), &()).is_ok());
    assert!(matches!(write_input(&mut out, &keyed(&[0]), &()), Err(LayoutError::Length { what: "key index", .. })));
    assert!(matches!(write_input(&mut out, &keyed(&[0, 1]), &()), Err(LayoutError::Value { at: 1, found: 1, .. })));
    let late = InputParts::<NoKeys> { event_times: &[1], ..parts(2) };
    assert!(matches!(write_input(&mut out, &late, &()), Err(LayoutError::Length { what: "event times", .. })));
}

#[test]
fn a_null_float_passes_only_within_a_null_list() {
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    let floats: ArrayRef = Arc::new(Float32Array::from(vec![Some(1.0), Some(2.0), None, None]));
    let lists = |valid: Vec<bool>| -> ArrayRef {
        Arc::new(FixedSizeListArray::new(item.clone(), 2, floats.clone(), Some(valid.into())))
    };
    let mut out = Vec::new();
    write_arrow_input(&mut out, &parts(2), &[lists(vec![true, false])]).unwrap();
    write_arrow_input(&mut out, &parts(1), &[lists(vec![true, true]).slice(0, 1)]).unwrap();
    let error = write_arrow_input(&mut out, &parts(2), &[lists(vec![true, true])]).unwrap_err();
    assert!(matches!(error, LayoutError::Unsupported { at: 0, .. }));
}

/// The error of finishing one port.
fn finish(columns: impl Columns, rows: u32) -> Result<Vec<u8>, LayoutError> {
    let mut port = PortBuilder::new(columns);
    (0..rows).for_each(|_| port.end_row(0));
    Answer::new().finish(&mut [&mut port])
}

#[test]
fn a_guest_cannot_finish_columns_of_unequal_length() {
    let two = || {
        let mut column = Utf8Builder::new();
        column.push("a");
        column.push("b");
        vec![AnyBuilder::Utf8(column)]
    };
    assert!(finish(two(), 2).is_ok());
    assert!(finish(two(), 1).unwrap_err().to_string().contains("rows of column 0 has length 2, expected 1"));
}

#[test]
fn a_guest_cannot_finish_a_fixed_list_of_another_length() {
    let list = |values: &[f32]| {
        let mut column = FixedF32Builder::new(2);
        column.push(values);
        vec![AnyBuilder::FixedF32(column)]
    };
    assert!(finish(list(&[1.0, 2.0]), 1).is_ok());
    assert!(finish(list(&[1.0]), 1).unwrap_err().to_string().contains("floats of column 0 has length 1, expected 2"));
    let none = vec![AnyBuilder::FixedF32(FixedF32Builder::new(0))];
    assert!(finish(none, 0).is_err());
}

#[test]
fn offsets_lead_from_the_first_value_to_the_last() {
    let mut whole = Vec::new();
    let text: ArrayRef = Arc::new(StringArray::from(vec!["abc", "d"]));
    write_arrow_input(&mut whole, &parts(2), &[text]).unwrap();
    let offsets = u32::from_le_bytes(whole[96..100].try_into().unwrap()) as usize;
    let view = |at: usize, to: u8| {
        let mut bytes = whole.clone();
        bytes[offsets + at * 4] = to;
        let text = Input::parse(&bytes).unwrap().column::<Utf8Column<'_>>(0);
        text.map(|text| text.get(0).map(str::len)).map_err(|error| error.to_string())
    };
    assert_eq!(view(1, 3), Ok(Some(3)));
    assert_eq!(view(1, 4), Ok(Some(4)));
    assert_eq!(view(1, 5).unwrap_err(), "packed batch: offsets of column 0 repeats or goes back");
    assert_eq!(view(0, 1).unwrap_err(), "packed batch: offsets of column 0 has length 3, expected 4");
    assert_eq!(view(2, 3).unwrap_err(), "packed batch: offsets of column 0 has length 3, expected 4");
    assert_eq!(view(2, 5).unwrap_err(), "packed batch: offsets of column 0 has length 5, expected 4");
}

#[test]
fn a_slot_ends_within_the_slot_bytes_on_both_sides() {
    let mut bytes = answer(&mut [], |answer| answer.set_slot(0, b"abc"));
    let table = u32::from_le_bytes(bytes[32..36].try_into().unwrap()) as usize;
    assert_eq!(read(&bytes).unwrap().slots().next().unwrap().bytes, Some(&b"abc"[..]));
    bytes[table + 8] = 4;
    assert!(matches!(read(&bytes), Err(LayoutError::Value { what: "end of slot", at: 0, found: 4, limit: 3 })));

    let table = Table(vec![(Vec::new(), Some((1, b"abc".to_vec())))]);
    let keys = Some(Keys { index: &[0], table: &table });
    let parts =
        InputParts { kind: InputKind::Batch, rows: 1, event_times: &[], keys, watermark: 0, processing_time: 0 };
    write_input(&mut bytes, &parts, &()).unwrap();
    let slots = u32::from_le_bytes(bytes[60..64].try_into().unwrap()) as usize;
    assert_eq!(Input::parse(&bytes).unwrap().slot(0).unwrap().bytes, b"abc");
    bytes[slots] = 1;
    let error = Input::parse(&bytes).unwrap_err();
    assert!(matches!(error, LayoutError::Value { what: "end of slot", at: 0, found: 4, limit: 3 }));
}

#[test]
fn a_truncated_column_of_bool_forgets_its_bits() {
    let mut column = BoolBuilder::new();
    (0..11).for_each(|_| column.push(true));
    column.truncate(9);
    (0..8).for_each(|_| column.push(false));
    let mut bytes = Vec::new();
    write_input(&mut bytes, &parts(17), &vec![AnyBuilder::Bool(column)]).unwrap();
    let view = Input::parse(&bytes).unwrap().column::<BoolColumn<'_>>(0).unwrap();
    let read: Vec<_> = (0..17).map(|row| view.get(row).unwrap()).collect();
    assert_eq!(read, [[true; 9].as_slice(), &[false; 8]].concat());
}
