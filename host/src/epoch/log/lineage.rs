//! Which records count: one history, put together from the segments of several runs.
//!
//! Each run appends to segments of its own. A run begins where it found the history when it started,
//! which its first record names as its parent; whatever an older run wrote behind that place (it may
//! have been alive still) is not part of the history, damaged or not. A record that begins with a
//! savepoint begins a history of its own.

use std::path::PathBuf;
use std::sync::Arc;

use super::LogError;
use crate::epoch::Origin;
use crate::epoch::protocol::{History, Summary};

/// Where a record lies.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) segment: Arc<str>,
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// A record on disk.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) summary: Summary,
    pub(super) place: Place,
}

/// A write that never finished, at the end of a run: nothing of it was acknowledged, and it is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The segment.
    pub path: PathBuf,
    /// Where the write begins.
    pub offset: u64,
    /// How much of it is there.
    pub bytes: u64,
}

/// What the segments of one run hold.
#[derive(Default)]
pub(super) struct Run {
    pub(super) run: u64,
    /// Names, and the newest epoch in each.
    pub(super) segments: Vec<(Arc<str>, u64)>,
    pub(super) records: Vec<Stored>,
    /// Epochs that it noted as committed.
    pub(super) notes: Vec<u64>,
    pub(super) unfinished: Option<Unfinished>,
    /// Why reading ended before the end.
    pub(super) broken: Option<LogError>,
}

/// Picks the history out of all runs, which come oldest first.
pub(super) fn lineage(runs: Vec<Run>) -> Result<(History, Vec<Place>), LogError> {
    let newest = runs.iter().flat_map(|run| &run.segments).map(|(_, last)| *last).max().unwrap_or(0);
    let newest_run = runs.last().map_or(0, |run| run.run);
    let mut history = History { newest, newest_run, ..History::default() };
    let mut reversed: Vec<Stored> = Vec::new();
    let mut noted = Vec::new();
    for mut run in runs.into_iter().rev() {
        // The history leaves an older run where the first record behind it stands.
        let fork = reversed.last().map_or(u64::MAX, |behind| behind.summary.parent);
        run.records.truncate(run.records.partition_point(|stored| stored.summary.epoch <= fork));
        let joins = match (run.records.last(), reversed.last()) {
            (Some(last), Some(behind)) => behind.summary.stands_on(&last.summary),
            (last, _) => last.is_some() && run.broken.is_none(),
        };
        if !joins {
            // What it stands on was cut off, or is in an older run; records that are nevertheless here
            // came from a host that stood still. Were they lost, no state reaches `base`.
            match run.broken {
                Some(broken) => return Err(broken),
                None => continue,
            }
        }
        noted.extend(run.notes.into_iter().filter(|&epoch| epoch <= fork));
        let begins = run.records.first().is_some_and(|first| first.summary.parent == 0);
        let root = run.records.iter().rposition(|stored| matches!(stored.summary.origin, Origin::Savepoint { .. }));
        reversed.extend(run.records.into_iter().skip(root.unwrap_or(0)).rev());
        if root.is_some() || begins {
            break;
        }
    }
    let (records, places): (Vec<_>, Vec<_>) = reversed.into_iter().rev().map(|s| (s.summary, s.place)).unzip();
    let base = records.first().map(|first: &Summary| (first.parent, first.parent_checksum));
    (history.base, history.base_checksum) = base.unwrap_or_default();
    history.records = records;
    history.noted = noted.into_iter().filter(|&epoch| history.position(epoch).is_some()).max().unwrap_or(0);
    Ok((history, places))
}
