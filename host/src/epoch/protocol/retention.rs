//! What may be deleted.

/// Up to which epoch the log may be cut: what the store has on disk, every retained snapshot
/// reaches, and is not the committed epoch itself, whose record says where sources and sinks go on.
/// 0 = nothing. `oldest_snapshot` is `None` while there is none: the log is all there is then.
pub fn may_cut(committed: u64, flushed: u64, oldest_snapshot: Option<u64>) -> u64 {
    oldest_snapshot.map_or(0, |snapshot| snapshot.min(flushed).min(committed.saturating_sub(1)))
}
