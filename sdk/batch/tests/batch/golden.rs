//! Format 1 as it was written on its first day. These bytes never change: a later version of the
//! crate must still read them to the same values, or call its format 2.

use arrow::array::{ArrayRef, Float64Array, StringArray, TimestampMillisecondArray};
use std::sync::Arc;

use millstream_batch::{
    Answer, AnswerRef, AnswerSpec, AnyBuilder, ColumnType, FixedF32Builder, FixedF32Column, Increment, Input,
    InputKind, InputParts, Keys, Limits, PortBuilder, PrimitiveBuilder, PrimitiveColumn, RowError, Slot, SlotChange,
    TimerChange, Utf8Column, write_arrow_input,
};

use crate::rows::Table;

const INPUT: &str = "
4d5350420100010003000000030000000200000065010000ffffffffffffffff
0068e5cf8b010000000100001801000028010000380100000500000040010000
600100000500000000000000000000000801000000000000b000000001000000
b800000010000000c80000000500000007000000000000000000000000000000
0000000000000000d0000000180000000a000000000000000000000000000000
0000000000000000e80000001800000005000000000000000000000002000000
0200000005000000c3a47a6564000000000000000000f83f000000000000d0bf
9c7500883ce4377e010000000000000002000000000000000300000000000000
0a0000000000000014000000000000001e000000000000000000000001000000
000000000000000000000000030000000500000000000000616e6e626f000000
0000000005000000070000000000000000000000000000000000000000000000
7374617465
";

const ANSWER: &str = "
4d53504201000200030000000200000002000000680100005800000002000000
f000000050000000030000000100000010010000600100000800000002000000
200100000200000040010000000000006e657700000000000200000002000000
0000000088000000900000000000000003000000000000000100000000000000
f00000000000000000000000020000000401000000000000d000000001000000
0000000000000000d8000000080000000d000000020000000000000000000000
0000000000000000e00000001000000001000000000000000900000000000000
0000003f0000803f000000c00000804001000000000000000300000000000000
0000000003000000000000000100000001000000010000000000000008000000
63000000000000000000000000000000fbffffffffffffff0100000001000000
000000000000000004000000000000000100000001000000000000000000e03f
6e65676174697665
";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn format_1_input_reads_as_it_was_written() {
    let bytes = bytes(INPUT);
    let input = Input::parse(&bytes).unwrap();
    assert_eq!((input.kind(), input.rows(), input.columns(), input.keys()), (InputKind::Batch, 3, 3, 2));
    assert_eq!((input.watermark(), input.processing_time()), (-1, 1_700_000_000_000));
    assert_eq!([0, 1, 2].map(|row| input.event_time(row)), [Some(10), Some(20), Some(30)]);
    assert_eq!([0, 1, 2].map(|row| input.key_index(row)), [Some(0), Some(1), Some(0)]);
    assert_eq!([input.key(0), input.key(1)], [Some(&b"ann"[..]), Some(&b"bo"[..])]);
    assert_eq!([input.slot(0), input.slot(1)], [Some(Slot { version: 7, bytes: b"state" }), None]);
    let text = input.column::<Utf8Column<'_>>(0).unwrap();
    assert_eq!([0, 1, 2].map(|row| text.get(row)), [Some("ä"), None, Some("zed")]);
    let number = input.column::<PrimitiveColumn<'_, f64>>(1).unwrap();
    assert_eq!([0, 1, 2].map(|row| number.get(row)), [Some(1.5), Some(-0.25), Some(1e300)]);
    let time = input.raw_column(2).unwrap();
    assert_eq!(time.column_type(), ColumnType::Timestamp);
    let time = time.view::<PrimitiveColumn<'_, i64>>().unwrap();
    assert_eq!([0, 1, 2].map(|row| time.get(row)), [Some(1), Some(2), Some(3)]);
}

#[test]
fn format_1_input_is_written_as_ever() {
    let table = Table(vec![(b"ann".to_vec(), Some((7, b"state".to_vec()))), (b"bo".to_vec(), None)]);
    let parts = InputParts {
        kind: InputKind::Batch,
        rows: 3,
        event_times: &[10, 20, 30],
        keys: Some(Keys { index: &[0, 1, 0], table: &table }),
        watermark: -1,
        processing_time: 1_700_000_000_000,
    };
    let columns: [ArrayRef; 3] = [
        Arc::new(StringArray::from(vec![Some("ä"), None, Some("zed")])),
        Arc::new(Float64Array::from(vec![1.5, -0.25, 1e300])),
        Arc::new(TimestampMillisecondArray::from(vec![1, 2, 3])),
    ];
    let mut out = Vec::new();
    write_arrow_input(&mut out, &parts, &columns).unwrap();
    assert_eq!(hex(&out), hex(&bytes(INPUT)));
}

fn answer_spec() -> AnswerSpec {
    let ports = vec![vec![ColumnType::U32, ColumnType::FixedF32(2)], vec![]];
    AnswerSpec { ports, counters: 2, limits: Limits::default() }
}

#[test]
fn format_1_answer_reads_as_it_was_written() {
    let bytes = bytes(ANSWER);
    let answer = AnswerRef::parse(&bytes, &answer_spec(), 3, 2).unwrap();
    assert_eq!([answer.rows(0), answer.rows(1)], [2, 3]);
    assert_eq!([answer.origin(0, 0), answer.origin(0, 1)], [Some(0), Some(2)]);
    assert_eq!([0, 1, 2].map(|row| answer.origin(1, row)), [Some(0), Some(1), Some(2)]);
    let counts = answer.column(0, 0).unwrap().view::<PrimitiveColumn<'_, u32>>().unwrap();
    assert_eq!([counts.get(0), counts.get(1)], [Some(9), None]);
    let vectors = answer.column(0, 1).unwrap().view::<FixedF32Column<'_>>().unwrap();
    assert_eq!([0, 1].map(|row| vectors.get(row).unwrap().to_array()), [Some([0.5, 1.0]), Some([-2.0, 4.0])]);
    let slots = [SlotChange { key: 1, bytes: Some(b"new") }, SlotChange { key: 0, bytes: None }];
    assert!(answer.slots().eq(slots));
    assert!(answer.errors().eq([RowError { row: 1, code: 1, message: "negative" }]));
    let timers = [TimerChange { key: 0, at: 99, cancel: false }, TimerChange { key: 1, at: -5, cancel: true }];
    assert!(answer.timers().eq(timers));
    let counters: Vec<_> = answer.counters().map(|counter| (counter.index, counter.by)).collect();
    assert_eq!(counters, [(0, Increment::Whole(4)), (1, Increment::Fraction(0.5))]);
}

#[test]
fn format_1_answer_is_written_as_ever() {
    let input = bytes(INPUT);
    let mut answer = Answer::new();
    answer.start(&Input::parse(&input).unwrap());
    let mut counts = PrimitiveBuilder::<u32>::new();
    counts.push_option(Some(9));
    counts.push_option(None);
    let mut vectors = FixedF32Builder::new(2);
    vectors.push(&[0.5, 1.0]);
    vectors.push(&[-2.0, 4.0]);
    let mut main = PortBuilder::new(vec![AnyBuilder::U32(counts), AnyBuilder::FixedF32(vectors)]);
    main.end_row(0);
    main.end_row(2);
    let mut side = PortBuilder::new(());
    (0..3).for_each(|row| side.end_row(row));
    answer.set_slot(1, b"new");
    answer.delete_slot(0);
    answer.row_error(1, 1, "negative");
    answer.set_timer(0, 99);
    answer.cancel_timer(1, -5);
    answer.count(0, 4);
    answer.count_f64(1, 0.5);
    let out = answer.finish(&mut [&mut main, &mut side]).unwrap();
    assert_eq!(hex(&out), hex(&bytes(ANSWER)));
}
