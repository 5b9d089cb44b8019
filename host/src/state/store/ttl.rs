//! Collects expired slots while RocksDB compacts.

use std::ffi::CStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rocksdb::CompactionDecision;
use rocksdb::compaction_filter::CompactionFilter;
use rocksdb::compaction_filter_factory::{CompactionFilterContext, CompactionFilterFactory};

use super::layout::{self, KEY_PREFIX, KIND_SLOT, META_PREFIX};

const NAME: &CStr = c"millstream-expired-slots";

/// Makes a filter for each compaction, with the event time of its beginning.
#[derive(Debug)]
pub(super) struct ExpiredSlots {
    pub expired_by: Arc<AtomicI64>,
}

/// Removes slots that had expired by an event time.
#[derive(Debug)]
pub(super) struct Filter {
    expired_by: i64,
}

impl CompactionFilterFactory for ExpiredSlots {
    type Filter = Filter;

    fn create(&mut self, _context: CompactionFilterContext) -> Filter {
        Filter { expired_by: self.expired_by.load(Ordering::Relaxed) }
    }

    fn name(&self) -> &CStr {
        NAME
    }
}

impl CompactionFilter for Filter {
    fn filter(&mut self, _level: u32, key: &[u8], value: &[u8]) -> CompactionDecision {
        let is_slot = key.get(KEY_PREFIX - 1) == Some(&KIND_SLOT) && !key.starts_with(&META_PREFIX);
        match layout::expiry(value) {
            Some(expires) if is_slot && expires <= self.expired_by => CompactionDecision::Remove,
            _ => CompactionDecision::Keep,
        }
    }

    fn name(&self) -> &CStr {
        NAME
    }
}
