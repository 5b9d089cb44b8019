//! What may be deleted.

use std::collections::BTreeSet;

/// Up to which epoch the log may be cut: what the store has on disk, every retained snapshot
/// reaches, and is not the committed epoch itself, whose record says where sources and sinks go on.
/// 0 = nothing. `oldest_snapshot` is `None` while there is none: the log is all there is then.
pub fn may_cut(committed: u64, flushed: u64, oldest_snapshot: Option<u64>) -> u64 {
    oldest_snapshot.map_or(0, |snapshot| snapshot.min(flushed).min(committed.saturating_sub(1)))
}

/// A file in checkpoint storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored<'a> {
    /// Its name.
    pub name: &'a str,
    /// Seconds since it was written, as the storage tells.
    pub age: u64,
}

/// What has to stay.
#[derive(Clone, Debug)]
pub struct Keep<'a> {
    /// Files that a retained manifest, a savepoint or the log names.
    pub named: BTreeSet<&'a str>,
    /// A younger file may belong to an upload whose manifest is still to come, in seconds.
    pub younger_than: u64,
}

/// Which files may be deleted: those that nothing names, unless they are young.
pub fn may_delete<'a>(files: &[Stored<'a>], keep: &Keep<'_>) -> Vec<&'a str> {
    let unneeded = files.iter().filter(|file| file.age >= keep.younger_than && !keep.named.contains(file.name));
    unneeded.map(|file| file.name).collect()
}
