//! Says whether an output is what it would have been without a crash. It looks at input and output
//! only and knows nothing of the host: rows carry an id of their own and the running count of their
//! key, so that a row that was lost, doubled or counted twice shows.
//!
//! The rules:
//! - **O1** each input position comes out exactly once: as a row, or as a dead letter if it is poison;
//! - **O2** the rows of a key come out in the order of the input, counted 1, 2, 3, … without gap or repeat;
//! - **O3** the last count of each key is that of a plain computation over the input;
//! - **O4** what rows say about themselves (position, epoch) is so: their own position, and epochs that
//!   never go back within a partition;
//! - **O5** the group's committed offsets are the ends of the input's partitions;
//! - **O6** no transaction is left open: last stable offset = high watermark;
//! - **O7** the log has records of aborted transactions: kills hit open transactions.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Display, Formatter};

use crate::kafka::Offsets;

/// A position of the input.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// `in.jsonl`, or `topic/3`.
    pub partition: String,
    /// Line from 1, or offset.
    pub offset: u64,
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.partition, self.offset)
    }
}

/// What stands at a position of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A good row.
    Row {
        /// A number that no other row has.
        id: u64,
        /// Its key.
        user: String,
    },
    /// What cannot be decoded, as it was written.
    Poison(String),
}

/// A record of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub content: Content,
}

/// A row of the output, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The partition of the output; 0 for a file.
    pub partition: u32,
    /// The id of the input row.
    pub id: u64,
    /// Its key.
    pub user: String,
    /// The running count of the key.
    pub count: u64,
    /// Where it says that it comes from.
    pub position: Option<Place>,
    /// The epoch that it says to belong to.
    pub epoch: Option<u64>,
}

/// A dead letter, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Where the record stood.
    pub place: Place,
    /// The record.
    pub raw: Option<String>,
}

/// What is wrong, by the number of its rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule: `O1` …
    pub rule: &'static str,
    /// What differs, and where.
    pub what: String,
}

impl Display for Violation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

/// Violations, as the rules find them.
#[derive(Debug, Default)]
struct Found(Vec<Violation>);

impl Found {
    fn add(&mut self, rule: &'static str, what: String) {
        self.0.push(Violation { rule, what });
    }
}

/// O1 to O4. Rows in the order of the output (within a partition), the input in its own (within a
/// partition).
pub fn check_rows(input: &[Given], rows: &[Row], letters: &[Letter]) -> Vec<Violation> {
    let mut found = Found::default();
    once_each(input, rows, letters, &mut found);
    counted_in_order(input, rows, &mut found);
    final_counts(input, rows, &mut found);
    own_words(input, rows, &mut found);
    found.0
}

fn once_each(input: &[Given], rows: &[Row], letters: &[Letter], found: &mut Found) {
    let mut times: HashMap<u64, u64> = HashMap::new();
    rows.iter().for_each(|row| *times.entry(row.id).or_default() += 1);
    let mut dead: HashMap<&Place, Vec<&Letter>> = HashMap::new();
    letters.iter().for_each(|letter| dead.entry(&letter.place).or_default().push(letter));
    for Given { place, content } in input {
        let letters = dead.remove(place).unwrap_or_default();
        match content {
            Content::Row { id, user } => {
                let times = times.remove(id).unwrap_or_default();
                match (times, letters.len()) {
                    (1, 0) => {}
                    (0, 0) => found.add("O1", format!("row {id} of {user} at {place} is missing")),
                    (times, 0) => found.add("O1", format!("row {id} of {user} at {place} came out {times} times")),
                    (times, dead) => found.add(
                        "O1",
                        format!("row {id} of {user} at {place} is good, but has {dead} dead letters and came out {times} times"),
                    ),
                }
            }
            Content::Poison(raw) => match letters[..] {
                [] => found.add("O1", format!("poison at {place} has no dead letter")),
                [letter] if letter.raw.as_ref() != Some(raw) => {
                    found.add("O1", format!("the dead letter of {place} has {:?} instead of {raw:?}", letter.raw));
                }
                [_] => {}
                _ => found.add("O1", format!("poison at {place} has {} dead letters", letters.len())),
            },
        }
    }
    let mut strange: Vec<_> = times.into_iter().collect();
    strange.sort_unstable();
    for (id, times) in strange {
        found.add("O1", format!("row {id} came out {times} times and is not in the input"));
    }
    let mut strange: Vec<_> = dead.into_keys().collect();
    strange.sort();
    for place in strange {
        found.add("O1", format!("a dead letter names {place}, which is not in the input"));
    }
}

/// Ids of each key, in the order of the input.
fn ids_by_key(input: &[Given]) -> BTreeMap<&str, Vec<u64>> {
    let mut keys: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for given in input {
        if let Content::Row { id, user } = &given.content {
            keys.entry(user).or_default().push(*id);
        }
    }
    keys
}

/// One violation a key at most: what follows the first is its echo.
fn counted_in_order(input: &[Given], rows: &[Row], found: &mut Found) {
    let mut outputs: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    rows.iter().for_each(|row| outputs.entry(&row.user).or_default().push(row));
    let inputs = ids_by_key(input);
    for (user, rows) in outputs {
        let ids = inputs.get(user).map(Vec::as_slice).unwrap_or_default();
        if rows.iter().any(|row| row.partition != rows[0].partition) {
            found.add("O2", format!("rows of {user} are in several partitions of the output"));
            continue;
        }
        for (i, row) in rows.iter().enumerate() {
            let wanted = i as u64 + 1;
            if row.count != wanted {
                let before = i.checked_sub(1).map_or(0, |before| rows[before].count);
                found.add("O2", format!("row {} of {user} is counted {} after {before}", row.id, row.count));
                break;
            }
            if ids.get(i) != Some(&row.id) {
                found.add("O2", format!("row {} of {user} came out where row {:?} belongs", row.id, ids.get(i)));
                break;
            }
        }
    }
}

fn final_counts(input: &[Given], rows: &[Row], found: &mut Found) {
    let mut last: HashMap<&str, u64> = HashMap::new();
    for row in rows {
        last.insert(&row.user, row.count);
    }
    for (user, ids) in ids_by_key(input) {
        let (wanted, got) = (ids.len() as u64, last.get(user).copied().unwrap_or_default());
        if wanted != got {
            found.add("O3", format!("{user} ends at {got} instead of {wanted}"));
        }
    }
}

fn own_words(input: &[Given], rows: &[Row], found: &mut Found) {
    let mut places: HashMap<u64, &Place> = HashMap::new();
    for given in input {
        if let Content::Row { id, .. } = &given.content {
            places.insert(*id, &given.place);
        }
    }
    let mut epochs: BTreeMap<u32, u64> = BTreeMap::new();
    for row in rows {
        if let (Some(said), Some(place)) = (&row.position, places.get(&row.id))
            && said != *place
        {
            found.add("O4", format!("row {} says {said} but stood at {place}", row.id));
        }
        let Some(epoch) = row.epoch else { continue };
        match epochs.entry(row.partition) {
            Entry::Vacant(entry) => drop(entry.insert(epoch)),
            Entry::Occupied(mut entry) => {
                if epoch < *entry.get() {
                    let (id, partition, before) = (row.id, row.partition, entry.get());
                    found.add(
                        "O4",
                        format!("row {id} of epoch {epoch} follows epoch {before} in partition {partition}"),
                    );
                }
                entry.insert(epoch);
            }
        }
    }
}

/// O5: `committed` by `topic/partition`, `ends` those of `topic`.
pub fn check_committed(
    committed: &BTreeMap<String, u64>,
    topic: &str,
    ends: &BTreeMap<u32, Offsets>,
) -> Vec<Violation> {
    let mut found = Found::default();
    for (partition, end) in ends {
        let name = format!("{topic}/{partition}");
        let got = committed.get(&name).copied();
        // A partition that never had a record may be without a committed offset.
        if got != Some(end.high_watermark) && !(got.is_none() && end.high_watermark == 0) {
            found.add("O5", format!("{name} is committed up to {got:?} and ends at {}", end.high_watermark));
        }
    }
    found.0
}

/// O6, for one topic.
pub fn check_stable(topic: &str, ends: &BTreeMap<u32, Offsets>) -> Vec<Violation> {
    let mut found = Found::default();
    for (partition, Offsets { last_stable, high_watermark, .. }) in ends {
        if last_stable != high_watermark {
            let what =
                format!("{topic}/{partition} is stable up to {last_stable}, its high watermark is {high_watermark}");
            found.add("O6", what);
        }
    }
    found.0
}

/// O7: how many records of the output were aborted.
pub fn check_aborted(records: u64) -> Vec<Violation> {
    let mut found = Found::default();
    if records == 0 {
        found.add("O7", "no kill hit an open transaction: nothing in the output topic was aborted".into());
    }
    found.0
}
