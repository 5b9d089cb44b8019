//! Decisions, one fact a test.

use super::*;
use crate::epoch::{Decider, EpochRecord, InFlightRows, Origin};
use crate::record::{Position, SinkState};

fn kafka(id: &str) -> Decider {
    Decider::Kafka { transactional_id: id.into(), topic: "epochs".into() }
}

fn us() -> Decider {
    kafka("us")
}

/// A record of run 1 whose checksum is ten times its epoch.
fn record(epoch: u64, parent: u64, decider: Decider) -> Summary {
    let record = EpochRecord::new(epoch, parent, 1, decider);
    Summary::new(&record, epoch as u32 * 10, parent as u32 * 10)
}

/// Epochs that stand on each other, the first on `base`.
fn history(base: u64, decider: &Decider, epochs: &[u64]) -> History {
    let mut history = History { base, base_checksum: base as u32 * 10, newest: base, ..History::default() };
    for &epoch in epochs {
        let parent = history.last().unwrap_or(base);
        history.push(record(epoch, parent, decider.clone()));
    }
    history
}

fn found(epoch: u64) -> Pointer {
    Pointer::Found { decider: us(), epoch, run: 1, checksum: epoch as u32 * 10 }
}

fn absent() -> Pointer {
    Pointer::Absent { decider: us() }
}

fn held(epoch: u64) -> Held {
    Held { epoch, checksum: Some(epoch as u32 * 10) }
}

struct Case {
    history: History,
    pointer: Pointer,
    store: Held,
    snapshot: Option<Summary>,
    accept: Option<u64>,
}

impl Case {
    fn new(history: History, pointer: Pointer, store: u64) -> Self {
        Self { history, pointer, store: held(store), snapshot: None, accept: None }
    }

    fn snapshot(mut self, epoch: u64, decider: Decider) -> Self {
        self.snapshot = Some(record(epoch, epoch - 1, decider));
        self
    }

    fn accept(mut self, epoch: u64) -> Self {
        self.accept = Some(epoch);
        self
    }

    fn resolve(&self) -> Result<Resolution, Refusal> {
        let Self { history, pointer, store, snapshot, accept } = self;
        resolve(&Facts { history, pointer, store: *store, snapshot: snapshot.as_ref(), accept: *accept })
    }

    /// Committed epoch, base, replayed, discarded, next.
    fn resumes(&self) -> (u64, Base, Vec<u64>, Vec<u64>, u64) {
        match self.resolve().unwrap() {
            Resolution::Resume { committed, from, replay, discard, next } => {
                (committed, from, replay.into_iter().map(Committed::epoch).collect(), discard, next)
            }
            fresh @ Resolution::Fresh { .. } => panic!("{fresh:?}"),
        }
    }

    fn refused(&self) -> Refusal {
        let refusal = self.resolve().unwrap_err();
        let message = refusal.to_string();
        let override_named = [
            "--resume-from",
            "savepoint restore",
            "move the state folder",
            "the log goes from",
            "another `transactional_id`",
        ];
        assert!(override_named.iter().any(|o| message.contains(o)), "no way out is named: {message}");
        refusal
    }
}

fn store(epoch: u64) -> Base {
    Base::Store { epoch }
}

#[test]
fn a_pipeline_that_never_committed_begins_at_the_beginning() {
    let fresh = |next, discard: &[u64]| Ok(Resolution::Fresh { next, discard: discard.to_vec() });
    assert_eq!(Case::new(History::default(), Pointer::NotUsed, 0).resolve(), fresh(1, &[]));
    assert_eq!(Case::new(History::default(), absent(), 0).resolve(), fresh(1, &[]));
    assert_eq!(Case::new(history(0, &us(), &[1]), absent(), 0).resolve(), fresh(2, &[1]));
}

#[test]
fn what_the_log_decides_is_committed_by_being_there() {
    let log = history(0, &Decider::Log, &[1, 2, 5]);
    assert_eq!(Case::new(log.clone(), Pointer::NotUsed, 2).resumes(), (5, store(2), vec![5], vec![], 6));
    assert_eq!(Case::new(log.clone(), Pointer::NotUsed, 0).resumes(), (5, store(0), vec![1, 2, 5], vec![], 6));
    // A Kafka sink that was added since does not take it back.
    assert_eq!(Case::new(log, absent(), 5).resumes(), (5, store(5), vec![], vec![], 6));
}

#[test]
fn the_pointer_decides_the_newest_record() {
    let log = history(0, &us(), &[1, 2, 3]);
    assert_eq!(Case::new(log.clone(), found(3), 1).resumes(), (3, store(1), vec![2, 3], vec![], 4));
    assert_eq!(Case::new(log, found(2), 1).resumes(), (2, store(1), vec![2], vec![3], 4));
}

#[test]
fn numbers_that_were_used_anywhere_are_not_used_again() {
    let mut log = history(0, &us(), &[1, 2]);
    log.newest = 40;
    assert_eq!(Case::new(log, found(2), 2).resumes().4, 41);
}

#[test]
fn a_pointer_without_a_record_is_refused() {
    for log in [history(0, &us(), &[1, 2]), history(0, &us(), &[1, 2, 7])] {
        let refusal = Case::new(log, found(5), 1).refused();
        assert!(matches!(refusal, Refusal::PointerWithoutRecord { epoch: 5, run: 1, .. }), "{refusal}");
    }
    assert!(matches!(Case::new(History::default(), found(5), 0).refused(), Refusal::PointerWithoutRecord { .. }));
}

#[test]
fn a_pointer_to_another_record_of_that_epoch_is_refused() {
    let log = history(0, &us(), &[1, 2]);
    for (run, checksum) in [(2, 20), (1, 21)] {
        let pointer = Pointer::Found { decider: us(), epoch: 2, run, checksum };
        let refusal = Case::new(log.clone(), pointer, 1).refused();
        assert!(matches!(refusal, Refusal::OtherRecord { epoch: 2, .. }), "{refusal}");
    }
}

#[test]
fn a_pointer_that_is_gone_is_refused_when_a_commit_is_known() {
    let lost = |case: Case| matches!(case.refused(), Refusal::PointerLost { decider, .. } if decider == us());
    // Another epoch stands on it; it was noted; the store has it; a snapshot has it.
    assert!(lost(Case::new(history(0, &us(), &[1, 2]), absent(), 0)));
    let noted = History { noted: 1, ..history(0, &us(), &[1]) };
    assert!(lost(Case::new(noted, absent(), 0)));
    assert!(lost(Case::new(history(0, &us(), &[1]), absent(), 1)));
    assert!(lost(Case::new(history(0, &us(), &[1]), absent(), 0).snapshot(1, us())));
}

#[test]
fn a_pointer_that_went_back_is_refused() {
    let refusal = Case::new(history(0, &us(), &[1, 2, 3]), found(1), 0).refused();
    assert!(matches!(refusal, Refusal::PointerBehind { pointer: 1, committed: 2, .. }), "{refusal}");
}

#[test]
fn a_pointer_from_before_the_log_decided_is_no_contradiction() {
    let mut log = history(0, &us(), &[1, 2]);
    log.push(record(3, 2, Decider::Log));
    assert_eq!(Case::new(log.clone(), found(2), 3).resumes().0, 3);
    log.push(record(4, 3, us()));
    assert_eq!(Case::new(log.clone(), found(2), 3).resumes(), (3, store(3), vec![], vec![4], 5));
    assert_eq!(Case::new(log, found(4), 3).resumes().0, 4);
    // The records of Kafka were cut off since.
    let cut = history(2, &Decider::Log, &[3, 4]);
    assert_eq!(Case::new(cut, found(2), 3).resumes(), (4, store(3), vec![4], vec![], 5));
}

#[test]
fn an_open_epoch_of_a_decider_that_is_not_asked_is_refused() {
    let log = history(0, &kafka("them"), &[1, 2]);
    for pointer in [Pointer::NotUsed, absent(), found(1)] {
        let refusal = Case::new(log.clone(), pointer, 1).refused();
        assert!(matches!(&refusal, Refusal::CannotAsk { epoch: 2, parent: 1, .. }), "{refusal}");
        assert!(refusal.to_string().contains("`them`"), "{refusal}");
    }
    // It is not open any more when it is known to be committed.
    assert_eq!(Case::new(log, Pointer::NotUsed, 2).resumes().0, 2);
}

#[test]
fn a_store_ahead_of_the_committed_epoch_is_refused() {
    let refusal = Case::new(history(0, &Decider::Log, &[1, 2]), Pointer::NotUsed, 3).refused();
    assert_eq!(refusal, Refusal::StoreAhead { store: 3, committed: 2 });
}

#[test]
fn a_store_of_another_history_is_refused() {
    let log = history(0, &Decider::Log, &[1, 2, 5]);
    for other in [held(3), Held { epoch: 2, checksum: Some(21) }] {
        let case = Case { store: other, ..Case::new(log.clone(), Pointer::NotUsed, 0) };
        assert!(matches!(case.refused(), Refusal::StoreUnknown { .. }));
    }
    // A store that does not know its checksum is believed.
    let case = Case { store: Held { epoch: 2, checksum: None }, ..Case::new(log, Pointer::NotUsed, 0) };
    assert_eq!(case.resumes().1, store(2));
}

#[test]
fn state_that_does_not_reach_the_log_comes_from_a_snapshot() {
    let log = history(4, &Decider::Log, &[5, 6, 7]);
    let case = |store| Case::new(log.clone(), Pointer::NotUsed, store);
    for (held, base) in [(0, None), (2, None), (4, Some(4)), (6, Some(6))] {
        let expected = base.map_or(Base::Snapshot { epoch: 5 }, store);
        assert_eq!(case(held).snapshot(5, Decider::Log).resumes().1, expected, "a store of epoch {held}");
    }
    assert_eq!(case(0).snapshot(4, Decider::Log).resumes(), (7, Base::Snapshot { epoch: 4 }, vec![5, 6, 7], vec![], 8));
    assert_eq!(case(0).refused(), Refusal::Gap { base: 4, store: 0, snapshot: None });
    assert_eq!(case(2).snapshot(3, Decider::Log).refused(), Refusal::Gap { base: 4, store: 2, snapshot: Some(3) });
    let mut other = case(0).snapshot(5, Decider::Log);
    other.snapshot.as_mut().unwrap().checksum = 51;
    assert!(matches!(other.refused(), Refusal::Gap { snapshot: Some(5), .. }));
}

#[test]
fn a_log_that_is_gone_is_refused_when_anything_else_is_there() {
    let empty = || History::default();
    assert!(matches!(Case::new(empty(), Pointer::NotUsed, 3).refused(), Refusal::LogMissing { store: 3, .. }));
    let case = Case::new(empty(), Pointer::NotUsed, 3).snapshot(3, Decider::Log);
    assert!(matches!(case.refused(), Refusal::LogMissing { snapshot: Some(3), .. }));
    // The pointer proves that nothing came after the snapshot.
    let case = Case::new(empty(), found(3), 0).snapshot(3, us());
    assert_eq!(case.resumes(), (3, Base::Snapshot { epoch: 3 }, vec![], vec![], 4));
}

#[test]
fn a_committed_epoch_without_its_record_is_refused_unless_a_snapshot_has_it() {
    let open = history(4, &us(), &[5]);
    assert!(matches!(Case::new(open.clone(), found(4), 4).refused(), Refusal::RecordMissing { epoch: 4 }));
    assert_eq!(Case::new(open, found(4), 4).snapshot(4, us()).resumes(), (4, store(4), vec![], vec![5], 6));
}

#[test]
fn the_operators_word_stands_against_the_pointer() {
    let log = history(0, &us(), &[1, 2, 3]);
    let case = |pointer| Case::new(log.clone(), pointer, 1);
    assert_eq!(case(absent()).accept(2).resumes(), (2, store(1), vec![2], vec![3], 4));
    assert_eq!(case(found(9)).accept(3).resumes(), (3, store(1), vec![2, 3], vec![], 10));
    assert!(matches!(case(found(3)).accept(8).refused(), Refusal::NotThere { epoch: 8, .. }));
    // But the state has to get there.
    let ahead = || Case { store: held(3), ..case(found(3)).accept(2) };
    assert!(matches!(ahead().refused(), Refusal::StoreAhead { store: 3, committed: 2 }));
    assert_eq!(ahead().snapshot(1, us()).resumes(), (2, Base::Snapshot { epoch: 1 }, vec![2], vec![3], 4));
    let gone = Case::new(History::default(), Pointer::NotUsed, 0).snapshot(6, Decider::Log).accept(6);
    assert_eq!(gone.resumes().1, Base::Snapshot { epoch: 6 });
}

#[test]
fn a_pointer_from_before_a_savepoint_was_restored_does_not_count() {
    let mut log = History { newest: 9, ..History::default() };
    let mut restored = EpochRecord::new(10, 6, 3, Decider::Log);
    restored.origin = Origin::Savepoint { name: "s".into() };
    log.push(Summary::new(&restored, 100, 0));
    assert_eq!(Case::new(log.clone(), found(9), 6).resumes(), (10, store(6), vec![10], vec![], 11));
    let open = EpochRecord::new(11, 10, 3, us());
    log.push(Summary::new(&open, 110, 100));
    assert_eq!(Case::new(log.clone(), found(9), 10).resumes(), (10, store(10), vec![], vec![11], 12));
    // One from the run itself does, and does not fit.
    let pointer = Pointer::Found { decider: us(), epoch: 12, run: 3, checksum: 1 };
    assert!(matches!(Case::new(log, pointer, 10).refused(), Refusal::PointerWithoutRecord { .. }));
}

#[test]
fn an_epoch_is_permitted_when_it_is_durable_delivered_and_next() {
    let durable = || Durable::new(&record(3, 2, us()), 100);
    let permitted = permit(durable(), Ok(()), 2).unwrap();
    assert_eq!((permitted.epoch(), permitted.run(), permitted.checksum()), (3, 1, 30));
    assert!(matches!(permit(durable(), Err("lost".into()), 2), Err(Action::Rewind(why)) if why.contains("lost")));
    assert!(matches!(permit(durable(), Ok(()), 1), Err(Action::Stop(_))));
}

#[test]
fn only_a_commit_that_is_known_is_applied() {
    let decide = |outcome| decide(permit(Durable::new(&record(3, 2, us()), 1), Ok(()), 2).unwrap(), outcome);
    assert_eq!(decide(Outcome::Committed).map(|c| (c.epoch(), c.checksum())), Ok((3, 30)));
    assert!(matches!(decide(Outcome::Aborted("a".into())), Err(Action::Rewind(_))));
    assert!(matches!(decide(Outcome::Uncertain("u".into())), Err(Action::Rewind(why)) if why.contains("uncertain")));
    assert!(matches!(decide(Outcome::Fenced("f".into())), Err(Action::Exit(_))));
}

#[test]
fn the_log_is_cut_only_where_nothing_needs_it() {
    assert_eq!(may_cut(9, 9, None), 0, "there is no snapshot");
    assert_eq!(may_cut(9, 7, Some(5)), 5, "the oldest snapshot goes on from there");
    assert_eq!(may_cut(9, 4, Some(5)), 4, "the store has no more on disk");
    assert_eq!(may_cut(5, 5, Some(5)), 4, "the committed epoch's record says where sources go on");
    assert_eq!(may_cut(0, 0, Some(0)), 0);
}

#[test]
fn state_of_a_part_that_is_gone_is_refused_unless_it_may_be_left_out() {
    let mut record = EpochRecord::new(3, 2, 1, Decider::Log);
    record.sources.insert("in".into(), vec![Position::new("0", 1)]);
    record.operators.insert("count".into(), 0);
    record.sinks.insert("out".into(), SinkState::File { path: "out".into(), length: 1, identity: 0 });
    record.sinks.insert("gone".into(), SinkState::Nothing);
    record.in_flight.insert("score".into(), InFlightRows { rows: 1, data: String::new() });
    let (all, none): (&[&str], &[&str]) = (&["new", "in", "count", "score", "out"], &[]);
    let whole = Parts { sources: all, operators: all, asynchronous: all, sinks: all };
    assert_eq!(fits(&record, whole, false), Ok(()));
    for (parts, name) in [
        (Parts { sources: none, ..whole }, "source `in`"),
        (Parts { operators: none, ..whole }, "operator `count`"),
        (Parts { asynchronous: none, ..whole }, "inference operator `score`"),
        (Parts { sinks: none, ..whole }, "sink `out`"),
    ] {
        let message = fits(&record, parts, false).unwrap_err().to_string();
        assert!(message.contains(name) && message.contains("--allow-non-restored-state"), "{message}");
        assert_eq!(fits(&record, parts, true), Ok(()));
    }
}
