//! `[state]` once validated.

use std::path::PathBuf;

/// Settings of keyed state.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder of the RocksDB database.
    pub path: PathBuf,
    /// Bytes of slots that all write-back caches may hold together. Default 128 MiB.
    pub cache_bytes: usize,
    /// Bytes of RocksDB's block cache. Default 32 MiB.
    pub block_cache_bytes: usize,
}
