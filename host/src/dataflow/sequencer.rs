//! Puts the parts of a stream back in order, and aligns the barriers of several sources.
//!
//! A receiver (a keyed stage of one worker, or a sink) knows how many parts of each block it will
//! get. A block is handed out when all of them are there and every earlier block of its source has
//! been; a barrier when it has come from every source. After a source's barrier its later blocks
//! wait until the others' barriers have come, so that an epoch is the same everywhere.

use std::collections::VecDeque;

use super::message::{Header, Part, PartContent};

/// The next thing in order.
#[derive(Debug)]
pub(crate) enum Next<T> {
    /// All parts of a block, by sending worker.
    Rows(Header, Vec<T>),
    /// The barrier that ends this epoch: its header in the sequence of each source that comes here.
    Barrier(Vec<Header>),
}

#[derive(Debug)]
pub(crate) struct Sequencer<T> {
    lanes: Vec<Lane<T>>,
    /// Lane at which the next search begins, so that no source starves another.
    turn: usize,
}

/// One source (or asynchronous operator) as this receiver sees it.
#[derive(Debug)]
struct Lane<T> {
    /// Parts of each block; 0 when nothing of this source comes here.
    expected: u32,
    /// Sequence number of the front of `window`.
    next: u64,
    window: VecDeque<Slot<T>>,
    /// The barrier that it has come to, while others have not.
    at_barrier: Option<Header>,
}

#[derive(Debug)]
struct Slot<T> {
    header: Option<Header>,
    arrived: u32,
    barrier: bool,
    parts: Vec<(u16, T)>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { header: None, arrived: 0, barrier: false, parts: Vec::new() }
    }
}

impl<T> Sequencer<T> {
    /// `expected[l]` is the number of parts of each block of lane `l`.
    pub(crate) fn new(expected: &[u32]) -> Self {
        let lane = |&expected| Lane { expected, next: 0, window: VecDeque::new(), at_barrier: None };
        Self { lanes: expected.iter().map(lane).collect(), turn: 0 }
    }

    pub(crate) fn accept(&mut self, part: Part<T>) {
        let lane = &mut self.lanes[usize::from(part.header.lane)];
        let at = (part.header.sequence - lane.next) as usize;
        if lane.window.len() <= at {
            lane.window.resize_with(at + 1, Slot::default);
        }
        let slot = &mut lane.window[at];
        slot.arrived += 1;
        match part.content {
            PartContent::Rows(rows) => slot.parts.push((part.from, rows)),
            PartContent::Barrier => slot.barrier = true,
        }
        // The header that knows the newest event time wins; they differ in nothing else.
        match &slot.header {
            Some(h) if h.max_event_time >= part.header.max_event_time => {}
            _ => slot.header = Some(part.header),
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Next<T>> {
        for _ in 0..self.lanes.len() {
            let index = self.turn % self.lanes.len();
            self.turn = index + 1;
            let lane = &mut self.lanes[index];
            let complete = |slot: &Slot<T>| slot.arrived == lane.expected;
            if lane.expected == 0 || lane.at_barrier.is_some() || !lane.window.front().is_some_and(complete) {
                continue;
            }
            let slot = lane.window.pop_front()?;
            lane.next += 1;
            let header = slot.header?;
            if !slot.barrier {
                let mut parts = slot.parts;
                parts.sort_by_key(|(from, _)| *from);
                return Some(Next::Rows(header, parts.into_iter().map(|(_, rows)| rows).collect()));
            }
            lane.at_barrier = Some(header);
            if self.lanes.iter().all(|l| l.expected == 0 || l.at_barrier.is_some()) {
                return Some(Next::Barrier(self.lanes.iter_mut().filter_map(|l| l.at_barrier.take()).collect()));
            }
            // The lane is now held; the others get their turn within this search.
            return self.pop();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Instant;

    fn part(source: u16, sequence: u64, from: u16, value: Option<u64>) -> Part<u64> {
        let header = Header {
            lane: source,
            source,
            partition: 0,
            status: super::super::message::Status::Active,
            sequence,
            epoch: 0,
            since: Instant::now(),
            last: false,
            min_event_time: i64::MAX,
            max_event_time: i64::MIN,
            ticket: None,
            queued: None,
        };
        let content = value.map_or(PartContent::Barrier, PartContent::Rows);
        Part { header, from, content }
    }

    #[test]
    fn a_block_waits_for_all_its_parts_and_for_the_blocks_before_it() {
        let mut s = Sequencer::new(&[2]);
        s.accept(part(0, 1, 0, Some(10)));
        s.accept(part(0, 1, 1, Some(11)));
        s.accept(part(0, 0, 1, Some(1)));
        assert!(s.pop().is_none());
        s.accept(part(0, 0, 0, Some(0)));
        assert!(matches!(s.pop(), Some(Next::Rows(_, p)) if p == [0, 1]));
        assert!(matches!(s.pop(), Some(Next::Rows(_, p)) if p == [10, 11]));
        assert!(s.pop().is_none());
    }

    #[test]
    fn rows_after_a_barrier_wait_for_the_other_sources_barrier() {
        let mut s = Sequencer::new(&[1, 1, 0]);
        s.accept(part(0, 0, 0, None));
        s.accept(part(0, 1, 0, Some(7)));
        s.accept(part(1, 0, 0, Some(8)));
        assert!(matches!(s.pop(), Some(Next::Rows(h, _)) if h.source == 1));
        assert!(s.pop().is_none());
        s.accept(part(1, 1, 0, None));
        assert!(matches!(s.pop(), Some(Next::Barrier(headers)) if headers.len() == 2));
        assert!(matches!(s.pop(), Some(Next::Rows(h, _)) if h.source == 0));
    }

    proptest! {
        /// Whatever the order of arrival, each source's blocks come out in order, and the blocks
        /// between two barriers are the same as in the sources.
        #[test]
        fn any_interleaving_of_arrivals_gives_the_order_of_the_sources(
            lengths in prop::collection::vec(prop::collection::vec(0usize..6, 3), 1..4),
            workers in 1u32..4,
            shuffle in prop::collection::vec(any::<u32>(), 400),
        ) {
            // Three epochs per source, each with some blocks and a barrier at its end.
            let mut arrivals = Vec::new();
            for (source, epochs) in lengths.iter().enumerate() {
                let mut sequence = 0;
                for (epoch, &blocks) in epochs.iter().enumerate() {
                    for content in (0..blocks).map(|_| Some(epoch as u64)).chain([None]) {
                        for from in 0..workers {
                            arrivals.push(part(source as u16, sequence, from as u16, content));
                        }
                        sequence += 1;
                    }
                }
            }
            let mut keys = shuffle.into_iter().cycle();
            let mut keyed: Vec<_> = arrivals.into_iter().map(|p| (keys.next().unwrap_or(0), p)).collect();
            keyed.sort_by_key(|(k, _)| *k);

            let mut s = Sequencer::new(&vec![workers; lengths.len()]);
            let (mut epoch, mut next) = (0u64, vec![0u64; lengths.len()]);
            let mut seen = vec![vec![0usize; 3]; lengths.len()];
            for (_, p) in keyed {
                s.accept(p);
                while let Some(got) = s.pop() {
                    match got {
                        Next::Rows(h, parts) => {
                            let source = usize::from(h.source);
                            prop_assert!(h.sequence >= next[source]);
                            next[source] = h.sequence + 1;
                            prop_assert_eq!(parts.len(), workers as usize);
                            prop_assert!(parts.iter().all(|&e| e == epoch));
                            seen[source][epoch as usize] += 1;
                        }
                        Next::Barrier(_) => epoch += 1,
                    }
                }
            }
            prop_assert_eq!(epoch, 3);
            prop_assert_eq!(seen, lengths);
        }
    }
}
