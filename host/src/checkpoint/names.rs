//! How objects in checkpoint storage are called. All names are made here, of numbers, digests and
//! checked words; none holds bytes of a user.
//!
//! ```text
//! runs/<run:010>.json                        who ran when; the highest number is the newest run
//! manifests/<epoch:020>-<run:010>.json       a snapshot: which files it consists of
//! sst/<sha256>.sst                           a table file of RocksDB
//! meta/<sha256>                              another file of RocksDB
//! savepoints/<name>/savepoint.json           a savepoint: which files it consists of
//! savepoints/<name>/<sha256>.blocks          the state of one operator
//! restored.json                              the savepoint that the state came from
//! log/<run:010>-<first epoch:020>.log        a segment of the epoch log
//! ```

use super::Digest;

/// Folder of the runs.
pub(super) const RUNS: &str = "runs";
/// Folder of the manifests.
pub(super) const MANIFESTS: &str = "manifests";
/// Folder of RocksDB's table files.
pub(super) const TABLES: &str = "sst";
/// Folder of RocksDB's other files.
pub(super) const META: &str = "meta";
/// Folder of the savepoints.
pub(super) const SAVEPOINTS: &str = "savepoints";
/// The savepoint that was restored.
pub(super) const RESTORED: &str = "restored.json";
/// Folder of the epoch log.
pub(super) const LOG: &str = "log";
/// Longest name of a savepoint, as of a part of a pipeline.
const MAX_SAVEPOINT_NAME: usize = 64;

/// Which snapshot: the epoch that it holds and the run that took it. The order is that of the runs,
/// and within a run that of its epochs: what a run took that was followed by another one counts less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId {
    /// The run that took it.
    pub run: u64,
    /// The epoch that it holds.
    pub epoch: u64,
}

impl SnapshotId {
    /// Name of its manifest.
    pub fn name(self) -> String {
        format!("{MANIFESTS}/{:020}-{:010}.json", self.epoch, self.run)
    }

    /// Reads the name of a manifest.
    pub fn parse(name: &str) -> Option<Self> {
        let (epoch, run) = name.strip_prefix(MANIFESTS)?.strip_prefix('/')?.strip_suffix(".json")?.split_once('-')?;
        Some(Self { run: number(run, 10)?, epoch: number(epoch, 20)? })
    }
}

/// Name of a run's claim.
pub(super) fn run(run: u64) -> String {
    format!("{RUNS}/{run:010}.json")
}

/// Reads the name of a run's claim.
pub(super) fn parse_run(name: &str) -> Option<u64> {
    number(name.strip_prefix(RUNS)?.strip_prefix('/')?.strip_suffix(".json")?, 10)
}

/// File name of a segment of the epoch log, by its object's name.
pub(super) fn log_segment(name: &str) -> Option<&str> {
    parse_log_segment(name).and(name.rsplit('/').next())
}

/// Reads the name of a segment of the epoch log: its run and its first epoch.
pub(super) fn parse_log_segment(name: &str) -> Option<(u64, u64)> {
    let (run, epoch) = name.strip_prefix(LOG)?.strip_prefix('/')?.strip_suffix(".log")?.split_once('-')?;
    Some((number(run, 10)?, number(epoch, 20)?))
}

/// Name of a file of RocksDB, by its content.
pub(super) fn file(file_name: &str, digest: Digest) -> String {
    if file_name.ends_with(".sst") { format!("{TABLES}/{digest}.sst") } else { format!("{META}/{digest}") }
}

/// Name of a savepoint's document.
pub(super) fn savepoint(name: &str) -> String {
    format!("{SAVEPOINTS}/{name}/savepoint.json")
}

/// Name of a savepoint's file with one operator's state.
pub(super) fn blocks(savepoint: &str, digest: Digest) -> String {
    format!("{SAVEPOINTS}/{savepoint}/{digest}.blocks")
}

/// The savepoint whose object this is.
pub(super) fn savepoint_of(name: &str) -> Option<&str> {
    name.strip_prefix(SAVEPOINTS)?.strip_prefix('/')?.split_once('/').map(|(savepoint, _)| savepoint)
}

/// Checks the name that a user gave a savepoint.
pub(super) fn check_savepoint(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if (1..=MAX_SAVEPOINT_NAME).contains(&name.len()) && name.chars().all(fits) {
        return Ok(());
    }
    Err(format!(
        "`{}` cannot be the name of a savepoint; expected 1 to {MAX_SAVEPOINT_NAME} of `a-z`, `0-9`, `-` and `_`",
        name.escape_debug()
    ))
}

fn number(digits: &str, width: usize) -> Option<u64> {
    let fits = digits.len() == width && digits.bytes().all(|b| b.is_ascii_digit());
    if fits { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_snapshots_read_back_and_sort_by_epoch() {
        let (a, b) = (SnapshotId { run: 12, epoch: 9 }, SnapshotId { run: 3, epoch: 10 });
        assert_eq!(a.name(), "manifests/00000000000000000009-0000000012.json");
        assert!(a.name() < b.name() && a > b, "a later run counts more than a higher epoch");
        assert_eq!(SnapshotId::parse(&a.name()), Some(a));
        for bad in ["manifests/9-12.json", "manifests/0000000000000000000x-0000000012.json", "sst/x.sst", ""] {
            assert_eq!(SnapshotId::parse(bad), None, "{bad}");
        }
        assert_eq!(parse_run(&run(42)), Some(42));
        assert_eq!(parse_run("runs/42.json"), None);
    }

    #[test]
    fn a_savepoint_cannot_be_called_like_a_path() {
        assert_eq!(check_savepoint("before-upgrade_2"), Ok(()));
        for bad in ["", "..", "a/b", "A", "a b", "a\n", &"x".repeat(65)] {
            assert!(check_savepoint(bad).is_err(), "{bad}");
        }
        assert_eq!(savepoint_of(&savepoint("x")), Some("x"));
    }
}
