//! One bad row costs that row, whatever it does to the plugin.

use super::*;

/// 40 good rows with these values at these places.
fn with(bad: &[(usize, i64)]) -> Batch {
    let mut values: Vec<i64> = (2..42).map(|v| v * 2).collect();
    bad.iter().for_each(|&(at, value)| values[at] = value);
    batch(values)
}

/// Checks that exactly the rows at `bad` are missing, all others are as if nothing had happened.
fn others_are_untouched(input: &Batch, out: &Outcome, bad: &[usize]) {
    let values: Vec<_> = integers(input, "value").into_iter().enumerate().filter(|(i, _)| !bad.contains(i)).collect();
    let main = &out.ports[0];
    assert_eq!(text(main, "id"), values.iter().map(|(i, _)| format!("r{i}")).collect::<Vec<_>>());
    assert_eq!(integers(main, "doubled"), values.iter().map(|(_, v)| v * 2).collect::<Vec<_>>());
    assert_eq!(main.offsets.to_vec(), values.iter().map(|(i, _)| 100 + *i as u64).collect::<Vec<_>>());
    assert_eq!(out.counters[0].whole, values.len() as u64);
    assert_eq!(out.stats.rows, values.len() as u64);
}

/// The bad row of `plugin` is rejected with this reason, and the operator goes on.
fn one_bad_row(plugin: &str, value: i64, reason: &str) -> Outcome {
    one_bad_row_of(&mut runner(plugin), value, reason)
}

fn one_bad_row_of(runner: &mut Runner, value: i64, reason: &str) -> Outcome {
    let input = with(&[(17, value)]);
    let out = process(runner, &input);
    assert_eq!(rejected(&out), [(17, format!("{}: {reason}", runner.plugin().label()).as_str())]);
    others_are_untouched(&input, &out, &[17]);
    let next = with(&[]);
    let after = process(runner, &next);
    others_are_untouched(&next, &after, &[]);
    assert_eq!(after.stats.calls, 1);
    out
}

#[test]
fn a_row_that_loops_for_ever_is_rejected() {
    let limits = Limits { deadline: Duration::from_millis(300), ..limits() };
    let mut runner = Runner::new(&ENGINE, load("loop-forever"), &operator("loop-forever"), &limits, &schema()).unwrap();
    let out = one_bad_row_of(&mut runner, 1313, "deadline of 300 ms exceeded");
    // The whole batch, 20, 10, 5 and 3 (or 2) rows, then the row itself.
    assert!(out.stats.timeouts >= 5, "{:?}", out.stats);
    assert_eq!(out.stats.traps, 0);
}

#[test]
fn a_row_that_allocates_without_end_is_rejected() {
    let out = one_bad_row("allocate-without-end", 1313, "memory limit of 16 MiB exceeded");
    assert!(out.stats.traps >= 5 && out.stats.restarts >= 5, "{:?}", out.stats);
}

#[test]
fn a_row_that_panics_is_rejected_with_the_panics_text() {
    let out = process(&mut runner("panics"), &with(&[(3, 1313)]));
    let reason = rejected(&out)[0].1.to_owned();
    assert!(reason.contains("panic: no luck with 1313, at panics/src/lib.rs:"), "{reason}");
}

#[test]
fn rows_around_a_panic_are_untouched() {
    let input = with(&[(0, 1313), (1, 1313), (39, 1313)]);
    let out = process(&mut runner("panics"), &input);
    assert_eq!(rejected(&out).iter().map(|(row, _)| *row).collect::<Vec<_>>(), [0, 1, 39]);
    others_are_untouched(&input, &out, &[0, 1, 39]);
}

#[test]
fn a_row_that_exits_is_rejected() {
    one_bad_row("panics", 1414, "trap: it called exit");
}

#[test]
fn a_row_that_recurses_for_ever_is_rejected() {
    one_bad_row("panics", 1515, "trap: memory access out of bounds (which is also how a stack overflow shows)");
}

#[test]
fn a_row_that_only_a_worn_instance_fails_on_is_processed() {
    let mut runner = runner("panics");
    let input = with(&[(17, 1616), (18, 1616)]);
    let out = process(&mut runner, &input);
    assert!(rejected(&out).is_empty(), "{:?}", out.rejected);
    others_are_untouched(&input, &out, &[]);
}

#[test]
fn an_answer_that_is_no_answer_is_refused() {
    let refused = |value| {
        let mut runner = runner("wrong-buffer");
        let input = with(&[(17, value)]);
        let out = process(&mut runner, &input);
        others_are_untouched(&input, &out, &[17]);
        let (row, reason) = rejected(&out)[0];
        assert_eq!(row, 17);
        reason.strip_prefix(&format!("{}: ", runner.plugin().label())).unwrap().to_owned()
    };
    assert!(refused(1313).starts_with("answer refused: packed batch: header field `magic`"), "{}", refused(1313));
    assert_eq!(refused(1414), "answer refused: more than 4 MiB");
    assert!(refused(1515).starts_with("answer refused: packed batch: "), "{}", refused(1515));
    assert!(refused(1616).starts_with("answer refused: packed batch: header"), "{}", refused(1616));
}

#[test]
fn a_call_that_returns_code_1_or_an_unknown_code_rejects_the_row() {
    one_bad_row("returns-errors", 1313, "unlucky");
    one_bad_row("returns-errors", 1616, "from the future");
}

#[test]
fn a_call_that_returns_code_2_is_tried_once_more() {
    let mut runner = runner("returns-errors");
    let input = with(&[(17, 1414)]);
    let out = process(&mut runner, &input);
    others_are_untouched(&input, &out, &[]);
    assert_eq!((out.stats.calls, out.stats.restarts), (2, 0));
}

#[test]
fn a_call_that_returns_code_3_stops_the_operator() {
    let mut runner = runner("returns-errors");
    let label = runner.plugin().label().clone();
    assert_eq!(failure(&mut runner, &with(&[(17, 1515)])), format!("operator `op` ({label}): the end"));
}

#[test]
fn a_plugin_that_fails_on_every_row_stops_the_operator() {
    let message = failure(&mut runner("panics"), &batch(vec![1313; 1000]));
    assert!(
        message.contains("it failed on 32 rows one after the other, the last time with: panic: no luck"),
        "{message}"
    );
    // Also when the rows come one by one.
    let mut runner = runner("panics");
    let one = batch([1313]);
    for _ in 0..31 {
        assert_eq!(process(&mut runner, &one).rejected.len(), 1);
    }
    assert!(failure(&mut runner, &one).contains("it failed on 32 rows one after the other"));
}

#[test]
fn a_row_that_goes_well_starts_the_count_of_failures_anew() {
    let mut runner = runner("panics");
    let mut values = vec![1313; 63];
    values[31] = 2;
    let out = process(&mut runner, &batch(values));
    assert_eq!(out.rejected.len(), 62);
}

#[test]
fn an_instance_beyond_the_high_water_mark_is_replaced_between_batches() {
    let mut runner = runner("allocate-without-end");
    let mut recycles = 0;
    for _ in 0..10 {
        // Two mebibytes are lost with each batch; sixteen are the limit.
        let input = batch([7, 7]);
        let out = process(&mut runner, &input);
        assert!(rejected(&out).is_empty(), "{:?}", out.rejected);
        assert_eq!((out.stats.traps, out.stats.restarts), (0, 0));
        recycles += out.stats.recycles;
    }
    assert!(recycles >= 2, "{recycles}");
}
