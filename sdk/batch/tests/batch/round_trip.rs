//! Whatever goes in comes out, in both directions.

use arrow::array::ArrayRef;
use millstream_batch::{
    Answer, AnswerRef, AnswerSchemas, AnswerSpec, AnswerView, AnyBuilder, CounterIncrement, Increment, Input,
    InputKind, InputParts, Keys, Limits, PortBuilder, RowError, SlotChange, TimerChange, write_arrow_input,
    write_input,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::rows::{Cells, Table, any_columns, any_table, from_arrow, from_column, schema};

/// A batch as the host has it; keyed when there are keys.
#[derive(Clone, Debug)]
pub struct Batch {
    pub kind: InputKind,
    pub rows: usize,
    pub columns: Vec<Cells>,
    pub event_times: Vec<i64>,
    pub key_index: Vec<u32>,
    pub table: Table,
    pub watermark: i64,
    pub processing_time: i64,
}

impl Batch {
    pub fn parts(&self) -> InputParts<'_, Table> {
        InputParts {
            kind: self.kind,
            rows: self.rows,
            event_times: &self.event_times,
            keys: (!self.table.0.is_empty()).then_some(Keys { index: &self.key_index, table: &self.table }),
            watermark: self.watermark,
            processing_time: self.processing_time,
        }
    }

    pub fn builders(&self) -> Vec<AnyBuilder> {
        self.columns.iter().map(Cells::to_builder).collect()
    }
}

pub fn any_batch() -> impl Strategy<Value = Batch> {
    (0_usize..40, 0_usize..6, any::<bool>()).prop_flat_map(|(rows, keys, timed)| {
        (
            prop_oneof![Just(InputKind::Batch), Just(InputKind::Timers)],
            any_columns(rows, 0..6),
            vec(any::<i64>(), if timed { rows } else { 0 }),
            vec(0..keys.max(1) as u32, if keys > 0 { rows } else { 0 }),
            any_table(keys),
            any::<(i64, i64)>(),
        )
            .prop_map(move |(kind, columns, event_times, key_index, table, times)| Batch {
                kind,
                rows,
                columns,
                event_times,
                key_index,
                table,
                watermark: times.0,
                processing_time: times.1,
            })
    })
}

/// Everything an input says must be what the batch says.
fn assert_reads(bytes: &[u8], batch: &Batch) {
    let input = Input::parse(bytes).unwrap();
    assert_eq!(input.kind(), batch.kind);
    assert_eq!((input.rows(), input.columns(), input.keys()), (batch.rows, batch.columns.len(), batch.table.0.len()));
    assert_eq!((input.watermark(), input.processing_time()), (batch.watermark, batch.processing_time));
    for row in 0..=batch.rows {
        assert_eq!(input.event_time(row), batch.event_times.get(row).copied());
        assert_eq!(input.key_index(row), batch.key_index.get(row).copied());
    }
    for (at, (key, slot)) in (0..).zip(&batch.table.0) {
        assert_eq!(input.key(at), Some(&key[..]));
        let found = input.slot(at).map(|slot| (slot.version, slot.bytes.to_vec()));
        assert_eq!(&found, slot);
    }
    let past = batch.table.0.len() as u32;
    assert_eq!((input.key(past), input.slot(past)), (None, None));
    for (at, column) in batch.columns.iter().enumerate() {
        let read = input.raw_column(at).unwrap();
        assert_eq!(read.column_type(), column.column_type);
        assert_eq!(from_column(&read).unwrap(), column.cells);
    }
    assert!(input.raw_column(batch.columns.len()).is_err());
}

/// An answer as the guest means it.
#[derive(Clone, Debug)]
pub struct Reply {
    pub rows: usize,
    pub keys: usize,
    pub ports: Vec<(Vec<u32>, Vec<Cells>)>,
    pub slots: Vec<(u32, Option<Vec<u8>>)>,
    pub errors: Vec<(u32, u32, String)>,
    pub timers: Vec<(u32, i64, bool)>,
    pub counters: Vec<(u64, f64)>,
}

pub fn any_reply() -> impl Strategy<Value = Reply> {
    (0_usize..30, 1_usize..6).prop_flat_map(|(rows, keys)| {
        let origins = prop_oneof![
            Just((0..rows as u32).collect::<Vec<_>>()),
            vec(0..rows.max(1) as u32, if rows == 0 { 0..1 } else { 0..40 }).prop_map(|mut origins| {
                origins.sort_unstable();
                origins
            }),
        ];
        let port = origins.prop_flat_map(|origins| (Just(origins.clone()), any_columns(origins.len(), 0..5)));
        let slot = prop_oneof![Just(None), Just(Some(Vec::new())), vec(any::<u8>(), 1..20).prop_map(Some)];
        let slots = vec(prop::option::of(slot), keys).prop_map(move |slots| {
            (0..keys as u32).zip(slots).rev().filter_map(|(key, slot)| Some((key, slot?))).collect::<Vec<_>>()
        });
        let errors = vec((0..rows.max(1) as u32, any::<u32>(), ".{0,8}"), if rows == 0 { 0..1 } else { 0..4 });
        (
            vec(port, 0..3),
            slots,
            errors,
            vec((0..keys as u32, any::<i64>(), any::<bool>()), 0..5),
            vec((0_u64..1000, 0.0..100.0), 0..3),
        )
            .prop_map(move |(ports, slots, errors, timers, counters)| Reply {
                rows,
                keys,
                ports,
                slots,
                errors,
                timers,
                counters,
            })
    })
}

impl Reply {
    /// Builds the answer twice with one builder, so that what the first left behind would show.
    pub fn build(&self) -> Vec<u8> {
        let mut input = Vec::new();
        let table = Table(vec![(Vec::new(), None); self.keys]);
        let index = vec![0; self.rows];
        let parts = InputParts {
            kind: InputKind::Batch,
            rows: self.rows,
            event_times: &[],
            keys: Some(Keys { index: &index, table: &table }),
            watermark: 0,
            processing_time: 0,
        };
        write_input(&mut input, &parts, &()).unwrap();
        let input = Input::parse(&input).unwrap();
        let mut answer = Answer::new();
        let first = self.fill(&mut answer, &input);
        let second = self.fill(&mut answer, &input);
        assert_eq!(first, second);
        second
    }

    fn fill(&self, answer: &mut Answer, input: &Input<'_>) -> Vec<u8> {
        answer.start(input);
        let mut ports: Vec<PortBuilder<Vec<AnyBuilder>>> = self
            .ports
            .iter()
            .map(|(origins, columns)| {
                let mut port = PortBuilder::new(columns.iter().map(Cells::to_builder).collect());
                origins.iter().for_each(|&origin| port.end_row(origin));
                port
            })
            .collect();
        for (at, (key, slot)) in self.slots.iter().enumerate() {
            match slot {
                None => answer.delete_slot(*key),
                Some(bytes) if at % 2 == 0 => answer.set_slot(*key, bytes),
                Some(bytes) => answer.set_slot_with(*key, bytes.len(), |place| place.copy_from_slice(bytes)),
            }
        }
        for (row, code, message) in &self.errors {
            answer.row_error(*row, *code, message);
        }
        for &(key, at, cancel) in &self.timers {
            if cancel { answer.cancel_timer(key, at) } else { answer.set_timer(key, at) }
        }
        for (index, &(whole, fraction)) in (0..).zip(&self.counters) {
            answer.count(index, whole / 2);
            answer.count(index, whole - whole / 2);
            answer.count_f64(index, fraction);
            answer.count_f64(index, f64::NAN);
        }
        let mut ports: Vec<&mut dyn millstream_batch::Port> = ports.iter_mut().map(|port| port as _).collect();
        let bytes = answer.finish(&mut ports).unwrap();
        assert!(ports.iter().all(|port| port.origins().is_empty()));
        bytes
    }

    pub fn spec(&self) -> AnswerSpec {
        AnswerSpec {
            ports: self.ports.iter().map(|(_, columns)| columns.iter().map(|c| c.column_type).collect()).collect(),
            counters: self.counters.len() as u32,
            limits: Limits::default(),
        }
    }

    pub fn schemas(&self) -> AnswerSchemas {
        let schemas = self.ports.iter().map(|(_, columns)| schema(columns)).collect();
        AnswerSchemas::new(schemas, self.counters.len() as u32, Limits::default()).unwrap()
    }

    fn assert_tables<'a>(
        &self,
        slots: impl Iterator<Item = SlotChange<'a>>,
        errors: impl Iterator<Item = RowError<'a>>,
        timers: impl Iterator<Item = TimerChange>,
        counters: impl Iterator<Item = CounterIncrement>,
    ) {
        let slots: Vec<_> = slots.map(|slot| (slot.key, slot.bytes.map(<[u8]>::to_vec))).collect();
        let expected: Vec<_> =
            self.slots.iter().map(|(key, slot)| (*key, slot.clone().filter(|slot| !slot.is_empty()))).collect();
        assert_eq!(slots, expected);
        let errors: Vec<_> = errors.map(|error| (error.row, error.code, error.message.to_owned())).collect();
        assert_eq!(errors, self.errors);
        assert_eq!(timers.map(|timer| (timer.key, timer.at, timer.cancel)).collect::<Vec<_>>(), self.timers);
        let mut sums = vec![(0, 0.0); self.counters.len()];
        for counter in counters {
            match counter.by {
                Increment::Whole(by) => sums[counter.index as usize].0 += by,
                Increment::Fraction(by) => sums[counter.index as usize].1 += by,
            }
        }
        assert_eq!(sums, self.counters);
    }
}

/// Bytes that begin at an odd address.
pub fn misaligned(bytes: &[u8]) -> (Vec<u8>, usize) {
    let mut shifted = vec![0; bytes.len() + 16];
    let start = shifted.as_ptr().align_offset(8) + 3;
    shifted[start..start + bytes.len()].copy_from_slice(bytes);
    (shifted, start)
}

proptest! {
    #[test]
    fn an_input_from_arrow_reads_as_its_rows(batch in any_batch(), dirt in vec(any::<u8>(), 0..200)) {
        let arrays: Vec<ArrayRef> = batch.columns.iter().map(Cells::to_arrow).collect();
        let mut bytes = dirt;
        write_arrow_input(&mut bytes, &batch.parts(), &arrays).unwrap();
        assert_reads(&bytes, &batch);
        let (shifted, start) = misaligned(&bytes);
        assert_reads(&shifted[start..start + bytes.len()], &batch);
    }

    #[test]
    fn an_input_from_sliced_arrays_reads_as_the_rows_of_the_slice(
        columns in any_columns(60, 1..6),
        start in 0_usize..60,
        len in 0_usize..60,
    ) {
        let len = len.min(60 - start);
        let batch = Batch {
            kind: InputKind::Batch,
            rows: len,
            columns: columns.iter().map(|column| column.slice(start, len)).collect(),
            event_times: Vec::new(),
            key_index: Vec::new(),
            table: Table(Vec::new()),
            watermark: i64::MIN,
            processing_time: 0,
        };
        // A slice of a slice, so that offsets add up.
        let arrays: Vec<_> =
            columns.iter().map(|column| column.to_arrow().slice(start / 2, 60 - start / 2)).collect();
        let arrays: Vec<_> = arrays.iter().map(|array| array.slice(start - start / 2, len)).collect();
        let mut bytes = Vec::new();
        write_arrow_input(&mut bytes, &batch.parts(), &arrays).unwrap();
        assert_reads(&bytes, &batch);
    }

    #[test]
    fn an_input_from_builders_reads_as_its_rows(batch in any_batch()) {
        let mut bytes = Vec::new();
        write_input(&mut bytes, &batch.parts(), &batch.builders()).unwrap();
        assert_reads(&bytes, &batch);
    }

    #[test]
    fn an_answer_reads_as_the_guest_meant_it(reply in any_reply()) {
        let bytes = reply.build();
        let plain = AnswerRef::parse(&bytes, &reply.spec(), reply.rows, reply.keys).unwrap();
        reply.assert_tables(plain.slots(), plain.errors(), plain.timers(), plain.counters());

        let shared = AnswerView::parse(bytes.clone(), &reply.schemas(), reply.rows, reply.keys).unwrap();
        reply.assert_tables(shared.slots(), shared.errors(), shared.timers(), shared.counters());

        let (shifted, start) = misaligned(&bytes);
        let shifted = arrow::buffer::Buffer::from_vec(shifted).slice_with_length(start, bytes.len());
        let copied = AnswerView::parse(shifted, &reply.schemas(), reply.rows, reply.keys).unwrap();

        for (at, (origins, columns)) in reply.ports.iter().enumerate() {
            let found: Vec<_> = (0..plain.rows(at)).map(|row| plain.origin(at, row).unwrap()).collect();
            prop_assert_eq!(&found, origins);
            prop_assert_eq!(plain.origin(at, origins.len()), None);
            let identity = origins.iter().copied().eq(0..reply.rows as u32);
            prop_assert_eq!(shared.origin(at).is_none(), identity);
            for answer in [&shared, &copied] {
                if let Some(found) = answer.origin(at) {
                    prop_assert_eq!(&found[..], &origins[..]);
                }
                prop_assert_eq!(answer.batches()[at].num_rows(), origins.len());
                for (column, expected) in answer.port_batch(at).unwrap().columns().iter().zip(columns) {
                    prop_assert_eq!(&from_arrow(column), &expected.cells);
                }
            }
            for (column, expected) in columns.iter().enumerate() {
                prop_assert_eq!(&from_column(&plain.column(at, column).unwrap()).unwrap(), &expected.cells);
            }
        }
    }

    #[test]
    fn a_truncated_builder_goes_on_as_if_the_rows_had_never_been(
        before in any_columns(20, 1..6),
        keep in 0_usize..20,
    ) {
        let mut port = PortBuilder::new(before.iter().map(Cells::to_builder).collect::<Vec<_>>());
        (0..19).for_each(|row| port.end_row(row));
        port.truncate(keep);
        for builder in &mut port.columns {
            millstream_batch::ColumnBuilder::push_null(builder);
        }
        port.end_row(19);
        let mut bytes = Vec::new();
        let parts = InputParts {
            kind: InputKind::Batch,
            rows: port.rows(),
            event_times: &[],
            keys: None::<Keys<'_, Table>>,
            watermark: 0,
            processing_time: 0,
        };
        prop_assert_eq!(port.rows(), keep.min(19) + 1);
        write_input(&mut bytes, &parts, &port.columns).unwrap();
        let input = Input::parse(&bytes).unwrap();
        for (at, column) in before.iter().enumerate() {
            let mut expected = column.cells[..keep.min(19)].to_vec();
            expected.push(None);
            prop_assert_eq!(from_column(&input.raw_column(at).unwrap()).unwrap(), expected);
        }
    }
}
