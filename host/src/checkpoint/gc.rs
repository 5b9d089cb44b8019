//! What in checkpoint storage may go: decided first, over plain data, and deleted after.
//!
//! An object goes when no manifest that is kept names it, and one that goes does, or it is old: an
//! upload that is under way has objects that nothing names yet. Manifests go before the objects that they name, newest
//! first, so that one that is there always has all its files. Only a [`Snapshotter`](super::Snapshotter)
//! collects, after it took a snapshot, so no upload of the same process is ever under way meanwhile.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use super::manifest::{Manifest, snapshots};
use super::names::{self, META, RUNS, SAVEPOINTS, TABLES};
use super::storage::Object;
use super::{Error, SnapshotId, Storage};

/// Objects that are younger stay unless their snapshot goes: an upload that takes longer is not to be expected, and what is left
/// behind is little.
const YOUNG: Duration = Duration::from_secs(3_600);
/// Claims of runs that stay: a host that claims one just now must not find its number free.
const RUNS_KEPT: usize = 64;

/// What is there.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    /// The snapshots in their order, with the objects that they name (none for one that goes and
    /// cannot be read).
    pub manifests: &'a [(SnapshotId, BTreeSet<String>)],
    /// Objects in the folders of files, savepoints and runs.
    pub objects: &'a [Object],
    /// Snapshots to keep.
    pub retain: usize,
    pub now: SystemTime,
}

/// What may be deleted, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Garbage {
    pub manifests: Vec<SnapshotId>,
    pub objects: Vec<String>,
}

/// Decides what may be deleted.
pub(super) fn garbage(facts: &Facts<'_>) -> Garbage {
    let (go, stay) = split(facts);
    let named: BTreeSet<&str> = stay.iter().flat_map(|(_, objects)| objects).map(String::as_str).collect();
    let whole_savepoints: BTreeSet<&str> = facts
        .objects
        .iter()
        .filter_map(|o| names::savepoint_of(&o.name).filter(|savepoint| o.name == names::savepoint(savepoint)))
        .collect();
    let newest_runs: BTreeSet<u64> = {
        let mut runs: Vec<u64> = facts.objects.iter().filter_map(|o| names::parse_run(&o.name)).collect();
        runs.sort_unstable_by(|a, b| b.cmp(a));
        runs.into_iter().take(RUNS_KEPT).chain(stay.iter().map(|(id, _)| id.run)).collect()
    };
    let unneeded = |object: &&Object| {
        let folder = object.name.split('/').next().unwrap_or_default();
        match folder {
            TABLES | META => !named.contains(object.name.as_str()),
            SAVEPOINTS => names::savepoint_of(&object.name).is_some_and(|s| !whole_savepoints.contains(s)),
            RUNS => names::parse_run(&object.name).is_some_and(|run| !newest_runs.contains(&run)),
            _ => false,
        }
    };
    // An object from the future is young.
    let old = |object: &&Object| facts.now.duration_since(object.modified).is_ok_and(|age| age > YOUNG);
    let gone: BTreeSet<&str> = go.iter().flat_map(|(_, objects)| objects).map(String::as_str).collect();
    let may_go = |object: &&Object| gone.contains(object.name.as_str()) || old(object);
    Garbage {
        manifests: go.iter().rev().map(|(id, _)| *id).collect(),
        objects: facts.objects.iter().filter(may_go).filter(unneeded).map(|o| o.name.clone()).collect(),
    }
}

type Named = (SnapshotId, BTreeSet<String>);

/// The snapshots that go and those that stay; at least one stays.
fn split<'a>(facts: &Facts<'a>) -> (&'a [Named], &'a [Named]) {
    debug_assert!(facts.manifests.is_sorted_by_key(|(id, _)| *id));
    facts.manifests.split_at(facts.manifests.len().saturating_sub(facts.retain.max(1)))
}

/// Deletes what may go. Gives the oldest epoch of a snapshot that stays.
pub(super) fn collect(storage: &Storage, retain: usize, now: SystemTime) -> Result<u64, Error> {
    let ids = snapshots(storage)?;
    let kept = ids.len().saturating_sub(retain.max(1));
    let mut manifests: Vec<Named> = Vec::with_capacity(ids.len());
    for (index, id) in ids.into_iter().enumerate() {
        let named = match Manifest::read(storage, id) {
            Ok(manifest) => manifest.files.iter().map(|f| f.object()).collect(),
            // One that stays and cannot be read may name anything: nothing is deleted then.
            Err(error) if index >= kept => return Err(error),
            Err(_) => BTreeSet::new(),
        };
        manifests.push((id, named));
    }
    let mut objects = Vec::new();
    for folder in [TABLES, META, SAVEPOINTS, RUNS] {
        objects.extend(storage.list(folder)?);
    }
    let facts = Facts { manifests: &manifests, objects: &objects, retain, now };
    let oldest = split(&facts).1.iter().map(|(id, _)| id.epoch).min().unwrap_or(0);
    let Garbage { manifests, objects } = garbage(&facts);
    for id in &manifests {
        storage.delete(&id.name())?;
    }
    for object in &objects {
        storage.delete(object)?;
    }
    storage.delete_unfinished(YOUNG)?;
    if !(manifests.is_empty() && objects.is_empty()) {
        tracing::debug!(manifests = manifests.len(), objects = objects.len(), "old snapshots deleted");
    }
    Ok(oldest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: u64 = 3_600;

    fn time(hours: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(hours * HOUR)
    }

    fn object(name: &str, hours: u64) -> Object {
        Object { name: name.to_owned(), size: 1, modified: time(hours) }
    }

    fn snapshot(run: u64, epoch: u64, objects: &[&str]) -> Named {
        (SnapshotId { run, epoch }, objects.iter().map(|o| (*o).to_owned()).collect())
    }

    fn decide(manifests: &[Named], objects: &[Object], retain: usize) -> Garbage {
        garbage(&Facts { manifests, objects, retain, now: time(10) })
    }

    #[test]
    fn files_stay_while_a_kept_snapshot_names_them() {
        let manifests = [
            snapshot(1, 10, &["sst/a.sst", "sst/b.sst", "meta/m1"]),
            snapshot(1, 20, &["sst/a.sst", "sst/c.sst", "meta/m2"]),
            snapshot(2, 15, &["sst/a.sst", "sst/d.sst", "meta/m3"]),
        ];
        let objects: Vec<Object> =
            ["meta/m1", "meta/m2", "meta/m3", "sst/a.sst", "sst/b.sst", "sst/c.sst", "sst/d.sst"]
                .map(|name| object(name, 1))
                .into();
        let found = decide(&manifests, &objects, 1);
        assert_eq!(found.manifests, [manifests[1].0, manifests[0].0], "newest first");
        assert_eq!(found.objects, ["meta/m1", "meta/m2", "sst/b.sst", "sst/c.sst"]);
        let found = decide(&manifests, &objects, 2);
        assert_eq!(
            (found.manifests, found.objects),
            (vec![manifests[0].0], vec!["meta/m1".into(), "sst/b.sst".into()])
        );
        assert_eq!(decide(&manifests, &objects, 3), Garbage::default());
        assert_eq!(decide(&manifests, &objects, 0).manifests.len(), 2, "one always stays");
    }

    #[test]
    fn what_is_young_stays_on_both_sides_of_the_limit() {
        let mut young = object("sst/young.sst", 9);
        let decide = |o: &Object| decide(&[], std::slice::from_ref(o), 3).objects.len();
        assert_eq!(decide(&young), 0, "an hour old");
        young.modified -= Duration::from_secs(1);
        assert_eq!(decide(&young), 1);
        assert_eq!(decide(&object("sst/future.sst", 11)), 0);
    }

    #[test]
    fn what_a_snapshot_that_goes_named_goes_with_it_however_young() {
        let manifests = [snapshot(1, 10, &["sst/a.sst", "sst/b.sst"]), snapshot(1, 20, &["sst/a.sst"])];
        let objects = ["sst/a.sst", "sst/b.sst", "sst/upload.sst"].map(|name| object(name, 10));
        assert_eq!(decide(&manifests, &objects, 1).objects, ["sst/b.sst"]);
    }

    #[test]
    fn savepoints_stay_whole_and_only_unfinished_ones_go() {
        let objects = [
            object("savepoints/good/savepoint.json", 1),
            object("savepoints/good/aa.blocks", 1),
            object("savepoints/half/bb.blocks", 1),
            object("savepoints/stray", 1),
            object("log/0000000001/00000000000000000001", 1),
            object("somebody's", 1),
        ];
        assert_eq!(decide(&[], &objects, 3).objects, ["savepoints/half/bb.blocks"]);
    }

    #[test]
    fn runs_stay_when_they_are_new_or_a_snapshot_names_them() {
        let objects: Vec<Object> = (1..=70).map(|run| object(&names::run(run), 1)).collect();
        let found = decide(&[snapshot(3, 10, &[])], &objects, 3).objects;
        assert_eq!(found, [1, 2, 4, 5, 6].map(names::run));
    }

    proptest! {
        #[test]
        fn no_kept_snapshot_loses_a_file(
            snapshots in proptest::collection::btree_map((1u64..4, 1u64..30), proptest::collection::vec(0usize..12, 0..6), 0..8),
            ages in proptest::collection::vec(0u64..12, 12),
            retain in 0usize..5,
        ) {
            let names: Vec<String> = (0..12).map(|n| format!("sst/{n}.sst")).collect();
            let manifests: Vec<Named> = snapshots
                .iter()
                .map(|((run, epoch), files)| {
                    (SnapshotId { run: *run, epoch: *epoch }, files.iter().map(|f| names[*f].clone()).collect())
                })
                .collect();
            let objects: Vec<Object> = names.iter().zip(&ages).map(|(name, age)| object(name, *age)).collect();
            let found = decide(&manifests, &objects, retain);
            let kept: Vec<&Named> = manifests.iter().filter(|(id, _)| !found.manifests.contains(id)).collect();
            prop_assert_eq!(kept.len(), manifests.len().min(retain.max(1)));
            for (id, files) in kept {
                prop_assert!(found.manifests.iter().all(|gone| gone < id));
                prop_assert!(found.objects.iter().all(|gone| !files.contains(gone)));
            }
        }
    }
}
