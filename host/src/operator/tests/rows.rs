//! Rows through a plugin that behaves.

use super::*;

#[test]
fn plugin_columns_join_the_forwarded_ones() {
    let mut runner = runner("double");
    let input = batch([1, 2, 3]);
    let out = process(&mut runner, &input);
    let main = &out.ports[0];
    assert_eq!(main.columns.schema(), *runner.output_schema(0).unwrap());
    assert_eq!(text(main, "id"), ["r0", "r1", "r2"]);
    assert_eq!(integers(main, "value"), [1, 2, 3]);
    assert_eq!(integers(main, "doubled"), [2, 4, 6]);
    assert_eq!(*main.offsets, [100, 101, 102]);
    assert_eq!(*main.event_times, [1000, 1001, 1002]);
    assert!(rejected(&out).is_empty());
    assert_eq!(out.counters, [Increment { whole: 3, fraction: 0.0 }]);
    assert_eq!(out.stats, Stats { calls: 1, rows: 3, ..Stats::default() });
}

#[test]
fn rows_that_all_stay_are_not_copied() {
    let input = batch([1, 2, 3]);
    let out = process(&mut runner("double"), &input);
    let (before, after) = (input.column("id").unwrap(), out.ports[0].column("id").unwrap());
    assert!(Arc::ptr_eq(before, after));
    assert!(out.ports[0].offsets.ptr_eq(&input.offsets));
}

#[test]
fn dropped_rows_and_side_outputs_keep_their_origin() {
    let mut runner = runner("double");
    let out = process(&mut runner, &batch([0, 5, 0, 6, 7]));
    assert_eq!(text(&out.ports[0], "id"), ["r1", "r3", "r4"]);
    assert_eq!(integers(&out.ports[0], "doubled"), [10, 12, 14]);
    assert_eq!(*out.ports[0].offsets, [101, 103, 104]);
    let odd = &out.ports[1];
    assert_eq!(text(odd, "id"), ["r1", "r4"]);
    assert_eq!(*odd.offsets, [101, 104]);
    assert_eq!(*odd.event_times, [1001, 1004]);
    assert!(odd.column("doubled").is_none());
    assert_eq!(odd.columns.schema(), *runner.output_schema(1).unwrap());
}

#[test]
fn a_row_error_rejects_that_row_alone() {
    let out = process(&mut runner("double"), &batch([1, -4, 2]));
    let label = load("double").label().clone();
    assert_eq!(rejected(&out), [(1, format!("{label}: -4 is negative").as_str())]);
    assert_eq!(text(&out.ports[0], "id"), ["r0", "r2"]);
    assert_eq!(out.stats.calls, 1);
}

#[test]
fn a_null_where_the_plugin_reads_none_rejects_that_row_alone() {
    let out = process(&mut runner("double"), &batch([Some(1), None, Some(-2), Some(3), None]));
    let label = load("double").label().clone();
    let null = format!("{label}: column `value` is null, and the plugin reads it as never null");
    let negative = format!("{label}: -2 is negative");
    assert_eq!(rejected(&out), [(1, null.as_str()), (2, negative.as_str()), (4, null.as_str())]);
    assert_eq!(text(&out.ports[0], "id"), ["r0", "r3"]);
    assert_eq!(*out.ports[0].offsets, [100, 103]);
}

#[test]
fn an_empty_batch_calls_nobody() {
    let mut runner = runner("double");
    let out = process(&mut runner, &batch(Vec::<i64>::new()));
    assert_eq!(out.stats, Stats::default());
    assert_eq!(out.ports.iter().map(Batch::rows).collect::<Vec<_>>(), [0, 0]);
    assert_eq!(out.ports[0].columns.schema(), *runner.output_schema(0).unwrap());
}

#[test]
fn forward_chooses_what_goes_on() {
    let config = OperatorConfig { forward: Some(vec!["id".into()]), ..operator("double") };
    let mut runner = Runner::new(&ENGINE, load("double"), &config, &limits(), &schema()).unwrap();
    let out = process(&mut runner, &batch([4]));
    let names: Vec<_> = out.ports[0].columns.schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["id", "doubled"]);
    let schemas = output_schemas(&load("double"), &config, &schema()).unwrap();
    assert_eq!(schemas[0], ("main".into(), out.ports[0].columns.schema()));
    assert_eq!(schemas[1].0, "odd");
}

#[test]
fn an_outcome_is_reused() {
    let mut runner = runner("double");
    let mut out = Outcome::default();
    for values in [vec![1, -1], vec![2]] {
        runner.process(&batch(values), None::<Keyed<'_, NoSlots>>, 0, 0, &mut out).unwrap();
    }
    assert_eq!(integers(&out.ports[0], "doubled"), [4]);
    assert_eq!((out.ports.len(), out.rejected.len(), out.counters[0].whole), (2, 0, 1));
}

#[test]
fn other_types_come_out_as_described() {
    let out = process(&mut runner("double-as-float"), &batch([3]));
    assert_eq!(out.ports[0].column("doubled").unwrap().as_primitive::<Float64Type>().values(), &[6.0]);
}
