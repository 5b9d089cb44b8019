//! Keyed state through a plugin that counts.

use super::*;

fn counter(plugin: &str) -> Runner {
    let config = OperatorConfig { key: Some("id".into()), ..operator("counter") };
    Runner::new(&ENGINE, load(plugin), &config, &limits(), &schema()).unwrap()
}

fn slot(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}

#[test]
fn slots_come_back_with_the_next_batch() {
    let (mut runner, mut store) = (counter("counter-v1"), Store::default());
    let out = process_keyed(&mut runner, &mut store, &batch([1, 1, 1]), &["a", "b", "a"]).unwrap();
    assert_eq!(unsigned(&out.ports[0], "count"), [1, 1, 2]);
    let out = process_keyed(&mut runner, &mut store, &batch([1, 1, 1]), &["c", "a", "b"]).unwrap();
    assert_eq!(unsigned(&out.ports[0], "count"), [1, 3, 2]);
    assert_eq!(store.0[b"a".as_slice()], (1, slot(&[3])));
}

#[test]
fn rows_with_a_null_do_not_shift_the_keys_of_others() {
    // `double` reads `value`; the counter reads nothing, so give it a plugin that does both.
    let config = OperatorConfig { key: Some("id".into()), ..operator("double") };
    let mut runner = Runner::new(&ENGINE, load("double"), &config, &limits(), &schema()).unwrap();
    let out = process_keyed(&mut runner, &mut Store::default(), &batch([None, Some(1)]), &["a", "b"]).unwrap();
    assert_eq!(text(&out.ports[0], "id"), ["r1"]);
}

#[test]
fn a_slot_of_an_older_version_is_carried_over_when_it_is_read() {
    let mut store = Store::default();
    process_keyed(&mut counter("counter-v1"), &mut store, &batch([1, 1, 1]), &["a", "a", "b"]).unwrap();
    let mut runner = counter("counter-v2");
    let out = process_keyed(&mut runner, &mut store, &batch([1, 1]), &["c", "a"]).unwrap();
    assert_eq!(unsigned(&out.ports[0], "count"), [1, 3]);
    assert_eq!(store.0[b"a".as_slice()], (2, slot(&[3, 1])));
    assert_eq!(store.0[b"b".as_slice()], (1, slot(&[1])), "not read, not touched");
}

#[test]
fn a_slot_that_cannot_be_carried_over_costs_only_rows_of_its_key() {
    let mut store = Store::default();
    store.0.insert(b"bad".to_vec(), (1, slot(&[666])));
    store.0.insert(b"good".to_vec(), (1, slot(&[4])));
    let mut runner = counter("counter-v2");
    let out = process_keyed(&mut runner, &mut store, &batch([1; 5]), &["good", "bad", "new", "bad", "good"]).unwrap();
    assert_eq!(unsigned(&out.ports[0], "count"), [5, 1, 6]);
    assert_eq!(text(&out.ports[0], "id"), ["r0", "r2", "r4"]);
    assert_eq!(rejected(&out).iter().map(|(row, _)| *row).collect::<Vec<_>>(), [1, 3]);
    assert!(rejected(&out)[0].1.ends_with("state of version 1: a slot of 8 bytes of version 1 is unknown"));
    assert_eq!(store.0[b"bad".as_slice()], (1, slot(&[666])), "kept as it was");
}

#[test]
fn a_slot_of_a_newer_version_stops_the_operator() {
    let mut store = Store::default();
    store.0.insert(b"a".to_vec(), (2, slot(&[1, 1])));
    let failed = process_keyed(&mut counter("counter-v1"), &mut store, &batch([1]), &["a"]).unwrap_err();
    assert!(failed.message.contains("a slot has state version 2, the plugin reads 1"), "{failed}");
}

#[test]
fn a_new_generation_takes_over_with_the_state() {
    let (mut runner, mut store) = (counter("counter-v1"), Store::default());
    process_keyed(&mut runner, &mut store, &batch([1, 1]), &["a", "a"]).unwrap();
    runner.replace(load("counter-v2")).unwrap();
    let out = process_keyed(&mut runner, &mut store, &batch([1, 1]), &["a", "a"]).unwrap();
    assert_eq!(unsigned(&out.ports[0], "count"), [3, 4]);
    assert_eq!(unsigned(&out.ports[0], "generation"), [2, 2]);

    let refused = runner.replace(load("counter-v1")).unwrap_err();
    assert!(refused.message.contains("its state has version 1, older than version 2 of the running one"), "{refused}");
    let out = process_keyed(&mut runner, &mut store, &batch([1]), &["a"]).unwrap();
    assert_eq!(unsigned(&out.ports[0], "generation"), [2]);
}

#[test]
fn keys_must_come_with_rows_of_a_plugin_that_keeps_state() {
    let failed = failure(&mut counter("counter-v1"), &batch([1]));
    assert!(failed.contains("it keeps state per key and was called without keys"), "{failed}");
}
