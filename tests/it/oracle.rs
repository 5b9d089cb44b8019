//! The oracle of the crash loop catches what it is there for: each kind of wrong output, made by hand.

use std::collections::BTreeMap;

use millstream_tests::crash::oracle::{
    Content, Given, Letter, Place, Row, check_aborted, check_committed, check_rows, check_stable,
};
use millstream_tests::kafka::Offsets;

fn place(offset: u64) -> Place {
    Place { partition: "in/0".into(), offset }
}

/// Ten records: users a and b in turn, poison at 4 and 9; and what a correct run makes of them.
fn correct() -> (Vec<Given>, Vec<Row>, Vec<Letter>) {
    let (mut input, mut rows, mut letters) = (Vec::new(), Vec::new(), Vec::new());
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for offset in 0..10 {
        let content = if offset % 5 == 4 {
            let raw = format!("{{\"id\":{offset}");
            letters.push(Letter { place: place(offset), raw: Some(raw.clone()) });
            Content::Poison(raw)
        } else {
            let user = if offset % 2 == 0 { "a" } else { "b" };
            let count = counts.entry(user).or_default();
            *count += 1;
            let (position, epoch) = (Some(place(offset)), Some(1 + offset / 4));
            rows.push(Row { partition: 0, id: offset, user: user.into(), count: *count, position, epoch });
            Content::Row { id: offset, user: user.into() }
        };
        input.push(Given { place: place(offset), content });
    }
    (input, rows, letters)
}

/// The violations after a change of the correct output.
fn after(change: impl FnOnce(&mut Vec<Row>, &mut Vec<Letter>)) -> Vec<String> {
    let (input, mut rows, mut letters) = correct();
    change(&mut rows, &mut letters);
    check_rows(&input, &rows, &letters).iter().map(ToString::to_string).collect()
}

/// Whether a rule found something that says this.
fn says(found: &[String], rule: &str, what: &str) -> bool {
    found.iter().any(|f| f.starts_with(rule) && f.contains(what))
}

#[test]
fn a_correct_output_has_no_violation() {
    assert_eq!(after(|_, _| {}), [""; 0]);
    // Rows of different keys have no order among each other, and a file says nothing of itself.
    let swapped = after(|rows, _| {
        rows.swap(0, 1);
        rows.iter_mut().for_each(|r| (r.position, r.epoch) = (None, None));
    });
    assert_eq!(swapped, [""; 0]);
}

#[test]
fn a_lost_row_is_seen() {
    let found = after(|rows, _| drop(rows.remove(2)));
    assert!(says(&found, "O1", "row 2 of a at in/0@2 is missing"), "{found:?}");
    assert!(says(&found, "O2", "row 6 of a is counted 3 after 1"), "{found:?}");
    // The last row of a key leaves no gap, but a count that is too small.
    let found = after(|rows, _| drop(rows.pop()));
    assert!(says(&found, "O1", "is missing") && says(&found, "O3", "a ends at 3 instead of 4"), "{found:?}");
}

#[test]
fn a_row_that_came_out_twice_is_seen() {
    // Twice with the same count: the output was doubled, state was not.
    let found = after(|rows, _| rows.insert(3, rows[2].clone()));
    assert!(says(&found, "O1", "row 2 of a at in/0@2 came out 2 times"), "{found:?}");
    assert!(says(&found, "O2", "row 2 of a is counted 2 after 2"), "{found:?}");
    // Twice, counted on: state was applied twice as well.
    let found = after(|rows, _| {
        let last = rows.last().unwrap().clone();
        rows.push(Row { count: last.count + 1, ..last });
    });
    assert!(says(&found, "O1", "2 times") && says(&found, "O3", "a ends at 5 instead of 4"), "{found:?}");
}

#[test]
fn state_that_was_lost_or_applied_twice_is_seen_though_every_row_came_out_once() {
    let lost = after(|rows, _| rows.iter_mut().filter(|r| r.user == "b" && r.id > 3).for_each(|r| r.count -= 2));
    assert!(says(&lost, "O2", "row 5 of b is counted 1 after 2"), "{lost:?}");
    assert!(!lost.iter().any(|f| f.starts_with("O1")), "{lost:?}");
    let twice = after(|rows, _| rows.iter_mut().filter(|r| r.user == "b" && r.id > 3).for_each(|r| r.count += 2));
    assert!(says(&twice, "O2", "row 5 of b is counted 5 after 2"), "{twice:?}");
    assert!(says(&twice, "O3", "b ends at 6 instead of 4"), "{twice:?}");
}

#[test]
fn rows_of_a_key_in_another_order_or_partition_are_seen() {
    let found = after(|rows, _| {
        let (a, b) = (rows[0].id, rows[2].id);
        (rows[0].id, rows[2].id) = (b, a);
    });
    assert!(says(&found, "O2", "row 2 of a came out where row Some(0) belongs"), "{found:?}");
    let found = after(|rows, _| rows[0].partition = 1);
    assert!(says(&found, "O2", "rows of a are in several partitions"), "{found:?}");
}

#[test]
fn a_row_of_nowhere_is_seen() {
    let strange = Row { partition: 0, id: 77, user: "c".into(), count: 1, position: None, epoch: None };
    let found = after(|rows, _| rows.push(strange));
    assert!(says(&found, "O1", "row 77 came out 1 times and is not in the input"), "{found:?}");
    assert!(says(&found, "O2", "row 77 of c"), "{found:?}");
}

#[test]
fn wrong_dead_letters_are_seen() {
    let found = after(|_, letters| drop(letters.pop()));
    assert!(says(&found, "O1", "poison at in/0@9 has no dead letter"), "{found:?}");
    let found = after(|_, letters| letters.push(letters[0].clone()));
    assert!(says(&found, "O1", "poison at in/0@4 has 2 dead letters"), "{found:?}");
    let found = after(|_, letters| letters[0].raw = None);
    assert!(says(&found, "O1", "the dead letter of in/0@4 has None"), "{found:?}");
    let found = after(|_, letters| letters.push(Letter { place: place(2), raw: None }));
    assert!(says(&found, "O1", "row 2 of a at in/0@2 is good, but has 1 dead letters"), "{found:?}");
    let found = after(|_, letters| letters.push(Letter { place: place(50), raw: None }));
    assert!(says(&found, "O1", "names in/0@50, which is not in the input"), "{found:?}");
}

#[test]
fn a_row_that_says_what_is_not_so_is_seen() {
    let found = after(|rows, _| rows[1].position = Some(place(8)));
    assert_eq!(found, ["O4: row 1 says in/0@8 but stood at in/0@1"]);
    let found = after(|rows, _| rows.last_mut().unwrap().epoch = Some(1));
    assert_eq!(found, ["O4: row 8 of epoch 1 follows epoch 2 in partition 0"]);
}

#[test]
fn offsets_that_stop_short_open_transactions_and_missing_aborts_are_seen() {
    let end = |last_stable, high_watermark| Offsets { start: 0, last_stable, high_watermark };
    let ends = BTreeMap::from([(0, end(5, 5)), (1, end(7, 7)), (2, end(0, 0))]);
    let committed = |zero, one| BTreeMap::from([("in/0".to_owned(), zero), ("in/1".to_owned(), one)]);
    assert_eq!(check_committed(&committed(5, 7), "in", &ends), []);
    let found = check_committed(&committed(5, 6), "in", &ends);
    assert_eq!(found[0].to_string(), "O5: in/1 is committed up to Some(6) and ends at 7");
    assert_eq!(check_committed(&BTreeMap::new(), "in", &ends).len(), 2);
    assert_eq!(check_stable("out", &ends), []);
    let open = check_stable("out", &BTreeMap::from([(0, end(5, 9))]));
    assert_eq!(open[0].to_string(), "O6: out/0 is stable up to 5, its high watermark is 9");
    assert_eq!((check_aborted(1).len(), check_aborted(0).len()), (0, 1));
}
