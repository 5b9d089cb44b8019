//! Keyed operators: state per key, rejected rows, migration.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::prelude::*;
use crate::testing::Harness;

#[derive(Row)]
struct Change<'a> {
    by: i64,
    note: &'a str,
    #[event_time]
    at: i64,
}

#[derive(Row, Debug, PartialEq)]
struct Balance {
    balance: i64,
    changes: u32,
}

#[derive(State, Default, Debug, PartialEq, Clone)]
#[state(version = 2, ttl = "90s", migrate = from_version_1)]
struct Account {
    balance: i64,
    changes: u32,
    notes: Vec<String>,
}

/// Version 1 had the balance only.
fn from_version_1(from: u32, slot: &[u8]) -> Result<Account, StateError> {
    match from {
        1 => Ok(Account { balance: crate::state::decode(slot)?, ..Account::default() }),
        found => Err(StateError::Version { found, expected: Account::VERSION }),
    }
}

#[derive(Default)]
struct Accounts;

#[operator(name = "accounts", version = "1.2.3")]
impl KeyedOperator for Accounts {
    type In<'a> = Change<'a>;
    type Out = Balance;
    type State = Account;

    fn process(
        &mut self,
        change: Change<'_>,
        account: &mut Account,
        out: &mut Output<Balance>,
        cx: &Context,
    ) -> Result<()> {
        match change.note {
            "close" => {
                cx.clear_state();
                return Ok(());
            }
            "look" => return Ok(()),
            "whoami" => {
                cx.info(cx.key_str().unwrap_or("?"));
                cx.info(&format!("{} {} {}", cx.event_time(), cx.watermark(), cx.processing_time()));
                return Ok(());
            }
            "stop" => return Err(Error::retry("not now")),
            _ => {}
        }
        // Changes first and checks afterwards, on purpose.
        account.balance += change.by;
        account.changes += 1;
        account.notes.push(change.note.to_owned());
        out.push(Balance { balance: account.balance, changes: account.changes });
        ensure!(account.balance >= 0, "balance would be {}", account.balance);
        Ok(())
    }
}

fn change(by: i64) -> Change<'static> {
    Change { by, note: "", at: 7 }
}

fn note(note: &str) -> Change<'_> {
    Change { by: 0, note, at: 7 }
}

fn balance(harness: &Harness<Accounts>, key: &str) -> Option<i64> {
    harness.state::<Account>(key).map(|account| account.balance)
}

#[test]
fn state_is_kept_per_key_within_and_between_batches() {
    let mut harness = Harness::<Accounts>::new();
    let outcome = harness.keyed([("a", change(1)), ("b", change(10)), ("a", change(2))]).unwrap();
    let balances: Vec<_> = outcome.rows::<Balance>().iter().map(|row| (row.balance, row.changes)).collect();
    assert_eq!(balances, [(1, 1), (10, 1), (3, 2)]);
    harness.keyed([("a", change(4))]).unwrap();
    assert_eq!((balance(&harness, "a"), balance(&harness, "b"), balance(&harness, "c")), (Some(7), Some(10), None));
    assert_eq!(harness.slot("a").unwrap().0, 2);
}

#[test]
fn a_rejected_row_leaves_the_state_as_it_was_wherever_it_stands() {
    for rejected in 0..4 {
        let mut harness = Harness::<Accounts>::new();
        harness.keyed([("a", change(5))]).unwrap();
        let rows = (0..4).map(|row| ("a", change(if row == rejected { -100 } else { 1 })));
        let outcome = harness.keyed(rows).unwrap();
        assert_eq!(outcome.rows::<Balance>().len(), 3);
        assert_eq!(outcome.errors().len(), 1);
        assert_eq!(outcome.errors()[0].0, rejected);
        let account = harness.state::<Account>("a").unwrap();
        assert_eq!((account.balance, account.changes, account.notes.len()), (8, 4, 4));
    }
}

#[test]
fn a_key_whose_only_row_is_rejected_gets_no_state() {
    let mut harness = Harness::<Accounts>::new();
    let outcome = harness.keyed([("a", change(-1)), ("a", change(-2))]).unwrap();
    assert_eq!((outcome.errors().len(), outcome.slots_changed()), (2, 0));
    assert_eq!(harness.slot("a"), None);
}

#[test]
fn state_that_did_not_change_is_not_written() {
    let mut harness = Harness::<Accounts>::new();
    harness.keyed([("a", change(1))]).unwrap();
    assert_eq!(harness.keyed([("a", note("look")), ("a", note("look"))]).unwrap().slots_changed(), 0);
}

#[test]
fn cleared_state_is_deleted_unless_a_later_row_sets_it_again() {
    let mut harness = Harness::<Accounts>::new();
    harness.keyed([("a", change(1)), ("b", change(2))]).unwrap();
    harness.keyed([("a", note("close")), ("b", note("close")), ("b", change(3)), ("c", note("close"))]).unwrap();
    assert_eq!((balance(&harness, "a"), balance(&harness, "b"), balance(&harness, "c")), (None, Some(3), None));
}

#[test]
fn a_slot_of_an_older_version_is_migrated_and_written_in_the_new_one() {
    let mut harness = Harness::<Accounts>::new();
    harness.set_slot("a", 1, 40i64.to_le_bytes());
    harness.keyed([("a", change(2))]).unwrap();
    assert_eq!(balance(&harness, "a"), Some(42));
    assert_eq!(harness.slot("a").unwrap().0, 2);
}

#[test]
fn a_slot_that_does_not_decode_stops_the_batch_and_names_the_key() {
    let mut harness = Harness::<Accounts>::new();
    harness.set_slot("ann", 2, [1, 2, 3]);
    let error = harness.keyed([("ann", change(2))]).err().unwrap();
    assert_eq!(error.kind(), crate::ErrorKind::Fatal);
    assert!(error.message().starts_with("key `ann`: a state slot ends within a field"), "{error}");
    harness.set_slot("ann", 9, [1]);
    let error = harness.keyed([("ann", change(2))]).err().unwrap();
    assert!(error.message().contains("state version 9, this plugin has version 2"), "{error}");
}

#[test]
fn a_retry_keeps_nothing_of_the_batch() {
    let mut harness = Harness::<Accounts>::new();
    let error = harness.keyed([("a", change(1)), ("a", note("stop"))]).err().unwrap();
    assert_eq!(error.kind(), crate::ErrorKind::Retry);
    assert_eq!(harness.slot("a"), None);
    assert_eq!(harness.keyed([("a", change(1))]).unwrap().rows::<Balance>().len(), 1);
}

#[test]
fn the_context_knows_key_and_times() {
    let mut harness = Harness::<Accounts>::new();
    harness.set_watermark(5);
    harness.set_processing_time(6);
    harness.keyed([("ann", note("whoami"))]).unwrap();
    let lines: Vec<_> = harness.take_log().into_iter().map(|(_, line)| line).collect();
    assert_eq!(lines, ["ann", "7 5 6"]);
}

#[test]
fn a_keyed_operator_without_keys_says_what_to_do() {
    let error = Harness::<Accounts>::new().rows([change(1)]).err().unwrap();
    assert!(error.message().contains("name the `key` column"), "{error}");
}

#[test]
fn the_description_has_the_state() {
    use crate::plugin::{Plugin, Runner, StateDescription};
    let state = <Accounts as Plugin>::Runner::describe().state;
    assert_eq!(state, Some(StateDescription { version: 2, ttl_ms: 90_000, fixed_size: 0 }));
}

proptest! {
    #[test]
    fn batches_agree_with_a_map_of_balances(
        batches in prop::collection::vec(prop::collection::vec((0u8..6, -20i64..40), 0..40), 1..6),
    ) {
        let mut harness = Harness::<Accounts>::new();
        let mut reference = BTreeMap::<u8, (i64, u32)>::new();
        for batch in batches {
            let mut expected = Vec::new();
            let mut rejected = Vec::new();
            for (row, &(key, by)) in batch.iter().enumerate() {
                let before = reference.get(&key).copied().unwrap_or_default();
                let after = (before.0 + by, before.1 + 1);
                if after.0 < 0 {
                    rejected.push(row as u32);
                } else {
                    reference.insert(key, after);
                    expected.push(Balance { balance: after.0, changes: after.1 });
                }
            }
            let outcome = harness.keyed(batch.iter().map(|&(key, by)| ([key], change(by)))).unwrap();
            prop_assert_eq!(outcome.rows::<Balance>(), expected);
            prop_assert_eq!(outcome.errors().into_iter().map(|(row, _)| row).collect::<Vec<_>>(), rejected);
        }
        for key in 0..6 {
            let state = harness.state::<Account>([key]).map(|account| (account.balance, account.changes));
            prop_assert_eq!(state, reference.get(&key).copied());
        }
    }
}
