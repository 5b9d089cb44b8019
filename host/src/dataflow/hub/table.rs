//! The rows that an asynchronous operator has taken and not yet handed on, and the order in which
//! they leave: pure, without a clock, a thread or a request.
//!
//! A row has one owner at any time: the operator from [`Table::admit`] to [`Table::complete`], the
//! table until [`Table::take_ready`] hands it out. A row that is completed twice is refused.

use std::collections::VecDeque;
use std::rc::Rc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry as MapEntry;

use crate::record::KeyHash;

/// Order in which rows leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they came.
    Ordered,
    /// As they are completed.
    Unordered,
    /// Rows of one key as they came.
    Key,
}

/// A row that may leave.
#[derive(Debug)]
pub(crate) struct Ready<G> {
    /// Its number.
    pub id: u64,
    /// Rows that came together.
    pub group: Rc<G>,
    /// Its index among those.
    pub row: u32,
}

#[derive(Debug)]
struct Entry<G> {
    /// `None` once the row has left.
    group: Option<Rc<G>>,
    row: u32,
    completed: bool,
    /// A row of the same key has not left yet, and this one comes behind it.
    blocked: bool,
    /// The next row of the same key; 0 is none (the first row of all is nobody's next).
    next: u64,
    key: KeyHash,
}

#[derive(Debug)]
pub(crate) struct Table<G> {
    order: Order,
    /// Rows by number, from `first` on; those at the front have not left.
    entries: VecDeque<Entry<G>>,
    first: u64,
    /// With the operator.
    pending: usize,
    /// Completed, and kept back by their order.
    waiting: usize,
    /// May leave.
    ready: VecDeque<u64>,
    /// Newest row of each key that has not left.
    newest: HashMap<KeyHash, u64>,
}

impl<G> Table<G> {
    pub(crate) fn new(order: Order) -> Self {
        let (entries, ready, newest) = (VecDeque::new(), VecDeque::new(), HashMap::new());
        Self { order, entries, first: 0, pending: 0, waiting: 0, ready, newest }
    }

    /// The number that the next row gets.
    pub(crate) fn next_id(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Takes a row. `key` is looked at where rows of one key keep their order.
    pub(crate) fn admit(&mut self, group: &Rc<G>, row: u32, key: KeyHash) -> u64 {
        let id = self.next_id();
        let mut blocked = false;
        if self.order == Order::Key {
            match self.newest.entry(key) {
                MapEntry::Vacant(vacant) => {
                    vacant.insert(id);
                }
                MapEntry::Occupied(mut newest) => {
                    let before = newest.insert(id);
                    if let Some(entry) = self.entries.get_mut((before - self.first) as usize) {
                        entry.next = id;
                        blocked = true;
                    }
                }
            }
        }
        self.entries.push_back(Entry { group: Some(Rc::clone(group)), row, completed: false, blocked, next: 0, key });
        self.pending += 1;
        id
    }

    /// The operator is done with a row; false when it was already.
    pub(crate) fn complete(&mut self, id: u64) -> bool {
        let Some(at) = id.checked_sub(self.first) else { return false };
        let Some(entry) = self.entries.get_mut(at as usize).filter(|e| !e.completed) else { return false };
        entry.completed = true;
        self.pending -= 1;
        self.waiting += 1;
        match self.order {
            Order::Unordered => self.release(id),
            Order::Ordered => {
                // Those at the front that have been released are only waiting to be taken.
                let mut at = self.ready.back().map_or(0, |&last| last + 1 - self.first);
                while self.entries.get(at as usize).is_some_and(|e| e.completed) {
                    self.release(self.first + at);
                    at += 1;
                }
            }
            Order::Key => {
                let mut id = id;
                while let Some(entry) = self.entries.get((id - self.first) as usize)
                    && entry.completed
                    && !entry.blocked
                {
                    let (next, key) = (entry.next, entry.key);
                    self.release(id);
                    if self.newest.get(&key) == Some(&id) {
                        self.newest.remove(&key);
                    }
                    if next == 0 {
                        break;
                    }
                    if let Some(entry) = self.entries.get_mut((next - self.first) as usize) {
                        entry.blocked = false;
                    }
                    id = next;
                }
            }
        }
        true
    }

    fn release(&mut self, id: u64) {
        self.waiting -= 1;
        self.ready.push_back(id);
    }

    /// Hands out up to `most` rows that may leave, in their order.
    pub(crate) fn take_ready(&mut self, most: usize, out: &mut Vec<Ready<G>>) {
        for _ in 0..most {
            let Some(id) = self.ready.pop_front() else { break };
            let entry = self.entries.get_mut((id - self.first) as usize);
            if let Some((group, row)) = entry.and_then(|e| e.group.take().map(|group| (group, e.row))) {
                out.push(Ready { id, group, row });
            }
        }
        while self.entries.front().is_some_and(|e| e.group.is_none()) {
            self.entries.pop_front();
            self.first += 1;
        }
    }

    /// The oldest row that has not left.
    pub(crate) fn oldest(&self) -> Option<&Rc<G>> {
        self.entries.front().and_then(|e| e.group.as_ref())
    }

    /// Rows that have not left, in the order in which they came.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&Rc<G>, u32)> {
        self.entries.iter().filter_map(|e| e.group.as_ref().map(|group| (group, e.row)))
    }

    /// Rows with the operator.
    pub(crate) fn pending(&self) -> usize {
        self.pending
    }

    /// Rows that are completed and kept back by their order.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Places that rows take up, those that have left between others included.
    pub(crate) fn span(&self) -> usize {
        self.entries.len()
    }

    /// Whether rows may leave.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn taken(table: &mut Table<()>) -> Vec<u64> {
        let mut out = Vec::new();
        table.take_ready(usize::MAX, &mut out);
        out.into_iter().map(|r| r.id).collect()
    }

    fn filled(order: Order, keys: &[u64]) -> Table<()> {
        let mut table = Table::new(order);
        let group = Rc::new(());
        for (row, &key) in keys.iter().enumerate() {
            assert_eq!(table.admit(&group, row as u32, key), row as u64);
        }
        table
    }

    #[test]
    fn ordered_rows_wait_for_those_before_them() {
        let mut table = filled(Order::Ordered, &[0; 4]);
        table.complete(2);
        table.complete(1);
        assert_eq!((table.waiting(), table.pending(), taken(&mut table)), (2, 2, vec![]));
        table.complete(0);
        assert_eq!(table.waiting(), 0);
        table.complete(3);
        assert_eq!(taken(&mut table), [0, 1, 2, 3]);
        assert!(table.is_empty() && table.oldest().is_none());
    }

    #[test]
    fn unordered_rows_leave_as_they_are_completed() {
        let mut table = filled(Order::Unordered, &[0; 3]);
        table.complete(2);
        assert_eq!(taken(&mut table), [2]);
        assert_eq!((table.rows().count(), table.span()), (2, 3));
        table.complete(0);
        table.complete(1);
        assert_eq!(taken(&mut table), [0, 1]);
    }

    #[test]
    fn rows_of_a_key_keep_their_order_and_other_keys_go_on() {
        let mut table = filled(Order::Key, &[7, 7, 8, 7, 8]);
        table.complete(1);
        table.complete(3);
        table.complete(2);
        assert_eq!(taken(&mut table), [2]);
        table.complete(0);
        assert_eq!(taken(&mut table), [0, 1, 3]);
        table.complete(4);
        assert_eq!(taken(&mut table), [4]);
        assert!(table.newest.is_empty());
    }

    #[test]
    fn a_row_is_completed_once() {
        let mut table = filled(Order::Unordered, &[0, 0]);
        assert!(table.complete(1) && !table.complete(1));
        assert_eq!(taken(&mut table), [1]);
        assert!(!table.complete(1) && !table.complete(2));
        assert!(table.complete(0));
        taken(&mut table);
        assert!(!table.complete(0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Whatever the order of completion, and whenever rows are taken: each row leaves once, and
        /// in the order that was asked for.
        #[test]
        fn any_interleaving_keeps_the_order(
            order in prop::sample::select(vec![Order::Ordered, Order::Unordered, Order::Key]),
            keys in prop::collection::vec(0u64..5, 1..60),
            choices in prop::collection::vec(any::<u16>(), 300),
        ) {
            let mut table = Table::new(order);
            let group = Rc::new(());
            let (mut admitted, mut pending, mut completed, mut left) = (0usize, Vec::new(), Vec::new(), Vec::new());
            let mut choices = choices.into_iter().cycle();
            while left.len() < keys.len() {
                let choice = usize::from(choices.next().unwrap_or(0));
                match choice % 3 {
                    0 if admitted < keys.len() => {
                        pending.push(table.admit(&group, admitted as u32, keys[admitted]));
                        admitted += 1;
                    }
                    1 if !pending.is_empty() => {
                        let id = pending.swap_remove(choice / 3 % pending.len());
                        completed.push(id);
                        prop_assert!(table.complete(id));
                    }
                    _ => {
                        let mut out = Vec::new();
                        table.take_ready(choice / 3 % 5, &mut out);
                        left.extend(out.into_iter().map(|r| r.id));
                    }
                }
                prop_assert_eq!(table.pending(), pending.len());
                prop_assert_eq!(table.rows().count(), admitted - left.len());
                let oldest = (0..admitted as u64).find(|id| !left.contains(id));
                prop_assert_eq!(table.first, oldest.unwrap_or(admitted as u64));
            }
            let mut sorted = left.clone();
            sorted.sort_unstable();
            prop_assert!(sorted.iter().enumerate().all(|(i, &id)| id == i as u64));
            match order {
                Order::Ordered => prop_assert!(left.is_sorted()),
                Order::Unordered => prop_assert_eq!(left, completed),
                Order::Key => for key in 0..5 {
                    let of_key: Vec<u64> = left.iter().copied().filter(|&id| keys[id as usize] == key).collect();
                    prop_assert!(of_key.is_sorted());
                },
            }
            prop_assert!(table.newest.is_empty());
        }
    }
}
