//! Which epoch is committed, and how to get back to it.
//!
//! An epoch is prepared only when the one before it is committed. So at most the newest record is
//! open, and its decider settles it: the log by having it, Kafka by naming it. Everything else that
//! is known has to agree; where it does not, something was destroyed, and the answer is a
//! [`Refusal`], never a guess.

use super::{Committed, Facts, History, Pointer, Refusal, Summary};
use crate::epoch::Decider;

/// How a run begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Nothing was ever committed: sources begin at their beginning, state is empty.
    Fresh {
        /// Number of the first epoch.
        next: u64,
        /// Prepared epochs that do not count.
        discard: Vec<u64>,
    },
    /// It goes on behind the committed epoch.
    Resume {
        /// The committed epoch. Its record, or its snapshot's, says where sources and sinks go on.
        committed: u64,
        /// Where the state comes from.
        from: Base,
        /// Epochs whose slots are then applied, in this order.
        replay: Vec<Committed>,
        /// Prepared epochs that do not count.
        discard: Vec<u64>,
        /// Number of the first epoch: none that was ever used is used again.
        next: u64,
    },
}

/// Where state comes from before the log is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The local store, which may be empty.
    Store {
        /// The epoch that it holds.
        epoch: u64,
    },
    /// A snapshot.
    Snapshot {
        /// The epoch that it holds.
        epoch: u64,
    },
}

impl Base {
    /// The epoch that it holds.
    pub fn epoch(self) -> u64 {
        match self {
            Self::Store { epoch } | Self::Snapshot { epoch } => epoch,
        }
    }
}

impl Resolution {
    /// The committed epoch; 0 when there is none.
    pub fn committed(&self) -> u64 {
        match self {
            Self::Fresh { .. } => 0,
            Self::Resume { committed, .. } => *committed,
        }
    }

    /// Number of the first epoch of the run.
    pub fn next(&self) -> u64 {
        match self {
            Self::Fresh { next, .. } | Self::Resume { next, .. } => *next,
        }
    }

    /// Prepared epochs that do not count.
    pub fn discard(&self) -> &[u64] {
        match self {
            Self::Fresh { discard, .. } | Self::Resume { discard, .. } => discard,
        }
    }
}

/// Decides how a run begins.
///
/// # Errors
/// When the facts contradict each other.
pub fn resolve(facts: &Facts<'_>) -> Result<Resolution, Refusal> {
    let &Facts { history, store, .. } = facts;
    let snapshot = facts.snapshot.filter(|snapshot| fits(snapshot, history, facts.accept));
    let committed = match facts.accept {
        Some(epoch) => accepted(epoch, history, snapshot)?,
        None => committed(facts, snapshot)?,
    };
    let discard: Vec<u64> = history.records.iter().map(|record| record.epoch).filter(|&e| e > committed).collect();
    let named = match facts.pointer {
        Pointer::Found { epoch, .. } => *epoch,
        Pointer::NotUsed | Pointer::Absent { .. } => 0,
    };
    let newest = [history.newest, named, store.epoch, facts.snapshot.map_or(0, |snapshot| snapshot.epoch)];
    let next = newest.into_iter().fold(0, u64::max) + 1;
    if committed == 0 {
        return match facts.snapshot {
            None if store.epoch == 0 => Ok(Resolution::Fresh { next, discard }),
            snapshot => {
                Err(Refusal::LogMissing { store: store.epoch, snapshot: snapshot.map(|snapshot| snapshot.epoch) })
            }
        };
    }
    if history.get(committed).is_none() && snapshot.is_none_or(|snapshot| snapshot.epoch != committed) {
        return Err(Refusal::RecordMissing { epoch: committed });
    }
    let from = base(facts, snapshot, committed)?;
    let replay = history.records.iter().filter(|r| r.epoch > from.epoch() && r.epoch <= committed);
    let replay = replay.map(|record| Committed::new(record.epoch, record.checksum)).collect();
    Ok(Resolution::Resume { committed, from, replay, discard, next })
}

/// Whether a snapshot is of this history.
fn fits(snapshot: &Summary, history: &History, accept: Option<u64>) -> bool {
    match history.get(snapshot.epoch) {
        Some(record) => (record.run, record.checksum) == (snapshot.run, snapshot.checksum),
        None if history.records.is_empty() => true,
        None if snapshot.epoch == history.base => [0, snapshot.checksum].contains(&history.base_checksum),
        None => accept == Some(snapshot.epoch),
    }
}

/// The operator's word, when there is such an epoch.
fn accepted(epoch: u64, history: &History, snapshot: Option<&Summary>) -> Result<u64, Refusal> {
    let there = history.get(epoch).is_some() || snapshot.is_some_and(|snapshot| snapshot.epoch == epoch);
    let (base, newest) = (history.base, history.last().unwrap_or(history.base));
    if there { Ok(epoch) } else { Err(Refusal::NotThere { epoch, base, newest }) }
}

/// The committed epoch; 0 when there is none.
fn committed(facts: &Facts<'_>, snapshot: Option<&Summary>) -> Result<u64, Refusal> {
    let &Facts { history, store, pointer, .. } = facts;
    // State and snapshots are of committed epochs only.
    let applied = history.get(store.epoch).filter(|record| store.may_be(record.epoch, record.checksum));
    let applied = applied.into_iter().chain(snapshot.and_then(|snapshot| history.get(snapshot.epoch)));
    let decided = applied.map(|record| record.epoch).fold(history.decided(), u64::max);
    let asked = match pointer {
        Pointer::NotUsed => None,
        Pointer::Absent { decider } | Pointer::Found { decider, .. } => Some(decider),
    };
    let mut open = history.records.iter().filter(|record| record.epoch > decided);
    if let Some(record) = open.find(|record| asked != Some(&record.decider)) {
        let (decider, epoch, parent) = (record.decider.clone(), record.epoch, record.parent);
        return Err(Refusal::CannotAsk { decider, epoch, parent });
    }
    // The newest epoch that this decider is known to have committed.
    let by = |decider: &Decider| {
        let records = history.records.iter().chain(snapshot).filter(|record| record.decider == *decider);
        records.map(|record| record.epoch).filter(|&epoch| epoch <= decided.max(snapshot.map_or(0, |s| s.epoch))).max()
    };
    match pointer {
        Pointer::NotUsed => Ok(decided),
        Pointer::Absent { decider } => match by(decider) {
            Some(committed) => Err(Refusal::PointerLost { decider: decider.clone(), committed }),
            None => Ok(decided),
        },
        &Pointer::Found { ref decider, epoch, run, checksum } => {
            let decider = decider.clone();
            if let Some(committed) = by(&decider).filter(|&committed| committed > epoch) {
                return Err(Refusal::PointerBehind { decider, pointer: epoch, committed });
            }
            // What was committed before a savepoint was restored does not count.
            if history.records.first().is_some_and(|first| first.begins_a_history() && first.run > run) {
                return Ok(decided);
            }
            let found = history.get(epoch).or(snapshot.filter(|snapshot| snapshot.epoch == epoch));
            match found {
                Some(found) if (found.run, found.checksum) == (run, checksum) => Ok(decided.max(epoch)),
                Some(found) => {
                    let found = (found.run, found.checksum);
                    Err(Refusal::OtherRecord { decider, epoch, expected: (run, checksum), found })
                }
                // Cut off since: later epochs were decided by the log.
                None if epoch <= history.base => Ok(decided),
                None => {
                    let newest = history.last().unwrap_or(history.base);
                    Err(Refusal::PointerWithoutRecord { decider, epoch, run, newest })
                }
            }
        }
    }
}

/// Where the state comes from.
fn base(facts: &Facts<'_>, snapshot: Option<&Summary>, committed: u64) -> Result<Base, Refusal> {
    let &Facts { history, store, .. } = facts;
    let known = match history.get(store.epoch).or(snapshot.filter(|snapshot| store.epoch == snapshot.epoch)) {
        Some(record) => store.may_be(record.epoch, record.checksum),
        None => store.may_be(history.base, history.base_checksum),
    };
    let from_snapshot = snapshot.map(|snapshot| snapshot.epoch).filter(|&epoch| epoch <= committed);
    let from_snapshot = from_snapshot.map(|epoch| Base::Snapshot { epoch });
    let store = store.epoch;
    if store > committed {
        // The operator has taken a decision back, perhaps. Otherwise the log has lost its end.
        return from_snapshot.filter(|_| facts.accept.is_some()).ok_or(Refusal::StoreAhead { store, committed });
    }
    if store > 0 && known {
        return Ok(Base::Store { epoch: store });
    }
    if store > 0 && store >= history.base {
        let newest = history.last().unwrap_or(history.base);
        return Err(Refusal::StoreUnknown { store, base: history.base, newest });
    }
    match from_snapshot {
        Some(from) => Ok(from),
        None if store == 0 && history.base == 0 => Ok(Base::Store { epoch: store }),
        None => Err(Refusal::Gap { base: history.base, store, snapshot: facts.snapshot.map(|s| s.epoch) }),
    }
}
