//! How RocksDB is set up: point look-ups, whole epochs of overwrites, little memory, two cores.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, DataBlockIndexType, LogLevel, Options};

use super::ttl::ExpiredSlots;
use crate::state::{Config, Error};

/// Bytes of a memtable: 150,000 slots of 300 bytes fit. A second one fills while this is flushed.
const MEMTABLE_BYTES: usize = 64 << 20;
/// Locks that guard overwriting in place. One thread writes and reads are rare, so few will do.
const OVERWRITE_LOCKS: usize = 64;
/// File handles that RocksDB keeps open.
const OPEN_FILES: i32 = 256;
/// Bits a key of the bloom filters: one look-up in a hundred for an absent key reads a block.
const BLOOM_BITS: f64 = 10.0;
/// Bytes of a block: a look-up reads one, checks and unpacks it whole, and slots are small.
const BLOCK_BYTES: usize = 4 << 10;
/// Part of a memtable that is a bloom filter of its keys: a look-up that does not find its key there
/// (most do not) is spared a search.
const MEMTABLE_BLOOM: f64 = 0.01;
/// Files are compacted at least this often, so that expired slots go even where nothing is written.
const COMPACTION_PERIOD_SECONDS: u64 = 24 * 60 * 60;
/// Bytes of RocksDB's own log file, of which two are kept.
const INFO_LOG_BYTES: usize = 1 << 20;

/// Bytes of RocksDB's list of its files, which grows with each flush until a new one is begun: each
/// snapshot has it as a whole.
const MANIFEST_BYTES: usize = 1 << 20;

/// Options of the database.
pub(super) fn database(config: &Config, expired_by: Arc<AtomicI64>) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_compaction_filter_factory(ExpiredSlots { expired_by });
    options.set_periodic_compaction_seconds(COMPACTION_PERIOD_SECONDS);

    options.set_write_buffer_size(MEMTABLE_BYTES);
    options.set_max_write_buffer_number(2);
    // One thread writes: an epoch is one batch. Nothing reads a snapshot, so a slot that has not
    // grown is overwritten where it is in the memtable. An epoch that touches the keys of the last
    // then costs neither memory nor a flush; with the flushes gone it is a quarter less work in all.
    options.set_allow_concurrent_memtable_write(false);
    options.set_inplace_update_support(true);
    options.set_inplace_update_locks(OVERWRITE_LOCKS);

    options.set_memtable_prefix_bloom_ratio(MEMTABLE_BLOOM);
    options.set_memtable_whole_key_filtering(true);

    options.set_max_background_jobs(2);
    options.set_max_open_files(OPEN_FILES);
    // Level 0 is merged again soon, and all of a small database is in the level behind it (`1` is that
    // one, wherever it is): slots have lost their zeros already, and unpacking a block to look up one
    // slot is most of what a look-up costs.
    let mut compression = [DBCompressionType::Lz4; 7];
    compression[..2].fill(DBCompressionType::None);
    options.set_compression_per_level(&compression);
    options.set_block_based_table_factory(&tables(config));

    options.set_max_manifest_file_size(MANIFEST_BYTES);
    options.set_log_level(LogLevel::Warn);
    options.set_max_log_file_size(INFO_LOG_BYTES);
    options.set_keep_log_file_num(2);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options
}

fn tables(config: &Config) -> BlockBasedOptions {
    let mut tables = BlockBasedOptions::default();
    tables.set_block_cache(&Cache::new_lru_cache(config.block_cache_bytes));
    tables.set_block_size(BLOCK_BYTES);
    tables.set_bloom_filter(BLOOM_BITS, false);
    tables.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
    // Filters and indexes count against the cache's bound.
    tables.set_cache_index_and_filter_blocks(true);
    tables.set_cache_index_and_filter_blocks_with_high_priority(true);
    tables.set_pin_l0_filter_and_index_blocks_in_cache(true);
    tables
}

/// Options of a database that is only read, once and in order.
pub(super) fn read_only() -> Options {
    let mut options = Options::default();
    options.set_max_open_files(OPEN_FILES);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(1);
    options
}

/// Creates the folder, and refuses one that is no database but holds something: RocksDB would
/// begin an empty database among what is there.
pub(super) fn check_folder(path: &Path) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::Failed {
        path: path.to_owned(),
        action: "create or list files",
        detail: error.to_string(),
    };
    std::fs::create_dir_all(path).map_err(failed)?;
    let (mut complete, mut foreign) = (false, None);
    for file in std::fs::read_dir(path).map_err(failed)? {
        let name = file.map_err(failed)?.file_name().to_string_lossy().into_owned();
        complete |= name == "CURRENT";
        // What an interrupted creation leaves behind.
        let harmless = ["LOCK", "LOG", "IDENTITY", "MANIFEST", "OPTIONS"].iter().any(|begin| name.starts_with(begin))
            || name.ends_with(".log")
            || name.ends_with(".dbtmp");
        if !harmless {
            foreign = Some(name);
        }
    }
    match foreign {
        Some(name) if !complete && name.ends_with(".sst") => Err(Error::Corrupt {
            path: path.to_owned(),
            detail: format!("it holds {name}, but the file CURRENT is missing"),
        }),
        Some(name) if !complete => Err(Error::Mismatch {
            path: path.to_owned(),
            problem: format!("it is no state folder, yet it holds {name}"),
        }),
        _ => Ok(()),
    }
}
