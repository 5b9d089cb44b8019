//! Rows and ports through the packed layout.

use proptest::prelude::*;

use crate::plugin::{Plugin, Runner};
use crate::prelude::*;
use crate::testing::Harness;

/// Every type that a field may have, read and written.
#[derive(Row, Debug, Clone, PartialEq)]
struct Everything<'a> {
    flag: bool,
    small: i32,
    large: i64,
    unsigned: u32,
    huge: u64,
    single: f32,
    double: f64,
    text: &'a str,
    bytes: &'a [u8],
    vector: [f32; 3],
    list: Vec<f32>,
    #[event_time]
    at: i64,
    #[timestamp]
    seen: Option<i64>,
    #[date]
    day: i32,
    #[column("type")]
    kind: Option<String>,
    maybe: Option<f64>,
    maybe_flag: Option<bool>,
    maybe_text: Option<&'a str>,
    maybe_vector: Option<[f32; 3]>,
}

#[derive(Default)]
struct Copier;

#[operator(name = "copier", version = "0.1.0")]
impl Operator for Copier {
    type In<'a> = Everything<'a>;
    type Out = Everything<'static>;

    fn process(&mut self, row: Everything<'_>, out: &mut Output<Self::Out>, cx: &Context) -> Result<()> {
        ensure!(cx.event_time() == row.at, "event time is {}", cx.event_time());
        out.push(row);
        Ok(())
    }
}

fn everything() -> impl Strategy<Value = (Everything<'static>, String, Vec<u8>, Option<String>)> {
    let numbers = (any::<bool>(), any::<i32>(), any::<i64>(), any::<u32>(), any::<u64>(), -1e9f32..1e9, -1e9f64..1e9);
    let lists = (any::<[i16; 3]>(), prop::collection::vec(-1e9f32..1e9, 0..5));
    let times = (any::<i64>(), any::<Option<i64>>(), any::<i32>());
    let options =
        (any::<Option<String>>(), prop::option::of(-1e9f64..1e9), any::<Option<bool>>(), any::<Option<[i16; 3]>>());
    let owners = (any::<String>(), any::<Vec<u8>>(), any::<Option<String>>());
    (numbers, lists, times, options, owners).prop_map(|(numbers, lists, times, options, owners)| {
        let floats = |values: [i16; 3]| values.map(f32::from);
        let row = Everything {
            flag: numbers.0,
            small: numbers.1,
            large: numbers.2,
            unsigned: numbers.3,
            huge: numbers.4,
            single: numbers.5,
            double: numbers.6,
            text: "",
            bytes: &[],
            vector: floats(lists.0),
            list: lists.1,
            at: times.0,
            seen: times.1,
            day: times.2,
            kind: options.0,
            maybe: options.1,
            maybe_flag: options.2,
            maybe_text: None,
            maybe_vector: options.3.map(floats),
        };
        (row, owners.0, owners.1, owners.2)
    })
}

proptest! {
    #[test]
    fn rows_of_every_type_survive_the_way_through_an_operator(rows in prop::collection::vec(everything(), 0..20)) {
        let rows: Vec<_> = rows
            .iter()
            .map(|(row, text, bytes, maybe)| Everything { text, bytes, maybe_text: maybe.as_deref(), ..row.clone() })
            .collect();
        let outcome = Harness::<Copier>::new().rows(rows.clone()).unwrap();
        prop_assert_eq!(outcome.errors(), []);
        prop_assert_eq!(outcome.rows::<Everything>(), rows);
    }
}

#[test]
fn the_description_names_columns_and_types() {
    let description = <Copier as Plugin>::Runner::describe();
    assert_eq!((description.name, description.version, description.batch_format), ("copier", "0.1.0", 1));
    assert_eq!(description.state, None);
    let columns: Vec<_> = description
        .inputs
        .iter()
        .map(|field| format!("{}: {}{}", field.name, field.data_type, if field.nullable { "?" } else { "" }))
        .collect();
    let expected = "flag: bool, small: i32, large: i64, unsigned: u32, huge: u64, single: f32, double: f64, \
                    text: utf8, bytes: binary, vector: f32[3], list: list<f32>, at: timestamp, seen: timestamp?, \
                    day: date, type: utf8?, maybe: f64?, maybe_flag: bool?, maybe_text: utf8?, maybe_vector: f32[3]?";
    assert_eq!(columns.join(", "), expected);
    assert_eq!(description.outputs.len(), 1);
    assert_eq!(description.outputs[0].name, "main");
    assert_eq!(description.outputs[0].fields, description.inputs);
}

#[derive(Row, Debug, PartialEq)]
struct Scored {
    score: f64,
}

#[derive(Row, Debug, PartialEq)]
struct Alert<'a> {
    user: &'a str,
    floats: u32,
}

#[derive(Ports)]
struct Outputs {
    scored: Port<Scored>,
    alerts: Port<Alert<'static>>,
}

#[derive(Row)]
struct Event<'a> {
    user: &'a str,
    score: Option<f64>,
    copies: u32,
    vector: Floats<'a>,
}

struct Splitter {
    threshold: f64,
    fatal: bool,
}

#[operator(name = "splitter", counters = ["alerts", "copies-made"])]
impl Operator for Splitter {
    type In<'a> = Event<'a>;
    type Out = Outputs;

    fn open(config: &Config) -> Result<Self> {
        config.allow_only(&["threshold", "fatal"])?;
        Ok(Self { threshold: config.value_or("threshold", 0.5)?, fatal: config.value_or("fatal", false)? })
    }

    fn process(&mut self, event: Event<'_>, out: &mut Output<Outputs>, cx: &Context) -> Result<()> {
        for _ in 0..event.copies {
            out.scored.push(Scored { score: event.score.unwrap_or(-1.0) });
            cx.count(Self::COPIES_MADE, 1);
        }
        let Some(score) = event.score else { reject!("`{}` has no score", event.user) };
        if score > self.threshold {
            out.alerts.push(Alert { user: event.user, floats: event.vector.len() as u32 });
            cx.count(Self::ALERTS, 1);
            cx.warn(event.user);
        }
        if self.fatal { Err(Error::fatal("told so")) } else { Ok(()) }
    }
}

/// `Event` with a list that can be written.
fn events<'a>(rows: &'a [(&'a str, Option<f64>, u32)], list: Floats<'a>) -> Vec<Event<'a>> {
    rows.iter().map(|&(user, score, copies)| Event { user, score, copies, vector: list }).collect()
}

/// A list column's value can only be borrowed from a batch: lets one be made.
fn with_floats(values: Vec<f32>, test: impl FnOnce(Floats<'_>)) {
    #[derive(Row)]
    struct Lists<'a> {
        list: Floats<'a>,
    }
    #[derive(Row)]
    struct Owned {
        list: Vec<f32>,
    }
    #[derive(Default)]
    struct Same;
    #[operator(name = "same")]
    impl Operator for Same {
        type In<'a> = Owned;
        type Out = Owned;
        fn process(&mut self, row: Owned, out: &mut Output<Owned>, _: &Context) -> Result<()> {
            out.push(row);
            Ok(())
        }
    }
    let outcome = Harness::<Same>::new().rows([Owned { list: values }]).unwrap();
    test(outcome.rows::<Lists>()[0].list);
}

#[test]
fn side_outputs_counters_and_log_lines_come_out_by_name() {
    with_floats(vec![1.0, 2.0], |list| {
        let mut harness = Harness::<Splitter>::open([("threshold", "0.7")]).unwrap();
        let rows = [("ann", Some(0.9), 2), ("bob", Some(0.6), 0), ("cid", Some(0.8), 1)];
        let outcome = harness.rows(events(&rows, list)).unwrap();
        assert_eq!(outcome.rows::<Scored>(), [0.9, 0.9, 0.8].map(|score| Scored { score }));
        assert_eq!(outcome.origins(), [0, 0, 2]);
        assert_eq!(
            outcome.side::<Alert>("alerts"),
            [Alert { user: "ann", floats: 2 }, Alert { user: "cid", floats: 2 }]
        );
        assert_eq!(outcome.side_origins("alerts"), [0, 2]);
        assert_eq!((outcome.counter("alerts"), outcome.counter("copies-made")), (2, 3));
        assert_eq!(harness.take_log(), [(Level::Warn, "ann".to_owned()), (Level::Warn, "cid".to_owned())]);
    });
}

#[test]
fn a_rejected_row_takes_its_output_back_and_the_rows_around_it_go_on() {
    with_floats(Vec::new(), |list| {
        let mut harness = Harness::<Splitter>::new();
        let rows = [("ann", Some(0.1), 1), ("bob", None, 3), ("cid", Some(0.2), 1)];
        let outcome = harness.rows(events(&rows, list)).unwrap();
        assert_eq!(outcome.rows::<Scored>(), [0.1, 0.2].map(|score| Scored { score }));
        assert_eq!(outcome.origins(), [0, 2]);
        assert_eq!(outcome.errors(), [(1, "`bob` has no score".to_owned())]);
    });
}

#[test]
fn a_fatal_error_ends_the_batch_and_the_next_one_starts_clean() {
    with_floats(Vec::new(), |list| {
        let mut harness = Harness::<Splitter>::open([("fatal", "true")]).unwrap();
        for _ in 0..2 {
            let error = harness.rows(events(&[("ann", Some(0.1), 1)], list)).err().unwrap();
            assert_eq!((error.kind(), error.message()), (crate::ErrorKind::Fatal, "told so"));
        }
        let outcome = harness.rows(Vec::new()).unwrap();
        assert_eq!(outcome.rows::<Scored>(), []);
        assert_eq!(outcome.counter("copies-made"), 0);
    });
}

#[test]
fn a_null_in_a_required_column_rejects_the_row_and_names_the_column() {
    #[derive(Row)]
    struct Loose {
        amount: Option<f64>,
    }
    #[derive(Row)]
    struct Strict {
        amount: f64,
    }
    #[derive(Default)]
    struct Same;
    #[operator(name = "same")]
    impl Operator for Same {
        type In<'a> = Strict;
        type Out = Strict;
        fn process(&mut self, row: Strict, out: &mut Output<Strict>, _: &Context) -> Result<()> {
            out.push(row);
            Ok(())
        }
    }
    #[derive(Default)]
    struct Loosen;
    #[operator(name = "loosen")]
    impl Operator for Loosen {
        type In<'a> = Loose;
        type Out = Loose;
        fn process(&mut self, row: Loose, out: &mut Output<Loose>, _: &Context) -> Result<()> {
            out.push(row);
            Ok(())
        }
    }
    // The packed form of a column does not say whether it may have nulls: hand one's rows to the other.
    let outcome = Harness::<Same>::new().raw_rows([Loose { amount: Some(1.0) }, Loose { amount: None }]).unwrap();
    assert_eq!(outcome.origins(), [0]);
    assert_eq!(
        outcome.errors(),
        [(1, "column `amount` has no value; the operator declares `amount` as required".to_owned())]
    );
    let outcome = Harness::<Loosen>::new().raw_rows([Strict { amount: 1.0 }]).unwrap();
    assert_eq!(outcome.rows::<Loose>()[0].amount, Some(1.0));
}

#[test]
fn a_column_of_another_type_fails_the_batch() {
    #[derive(Row)]
    struct Wrong {
        score: f32,
    }
    let error = Harness::<Copier>::new().raw_rows([Wrong { score: 1.0 }]).err().unwrap();
    assert!(error.message().contains("column 0 is `f32`, but `bool` was declared"), "{error}");
}

#[test]
fn bytes_that_are_no_batch_are_refused() {
    let mut runner = <Copier as Plugin>::Runner::open(&Config::default()).unwrap();
    let host = crate::testing::Log::default();
    assert!(runner.process(&[], &host).is_err());
    assert!(runner.process(&[1; 200], &host).is_err());
}

#[test]
fn an_operator_without_settings_refuses_any() {
    let error = Harness::<Copier>::open([("threshold", "1")]).err().unwrap();
    assert_eq!(error.message(), "unknown key `threshold` in `config`; the operator has no settings");
}
