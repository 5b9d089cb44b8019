//! Bound on the memory of one instance. Growth beyond it is a trap that says so, and not a failed
//! `memory.grow`, which a guest would report as an unreadable abort.

use wasmtime::ResourceLimiter;

/// Functions in all tables of an instance: large Rust plugins have a few thousand.
const MAX_TABLE_ELEMENTS: usize = 100_000;

/// The limit that was met, as the cause of a trap.
#[derive(Debug, thiserror::Error)]
#[error("memory limit of {0} bytes exceeded")]
pub(crate) struct MemoryLimit(pub(crate) usize);

/// Counts the linear memory of one store.
#[derive(Debug)]
pub(crate) struct Limiter {
    limit: usize,
    used: usize,
}

impl Limiter {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, used: 0 }
    }

    /// Linear memory in bytes, of all memories together. It never shrinks.
    pub(crate) fn used(&self) -> usize {
        self.used
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.limit {
            return Err(MemoryLimit(self.limit).into());
        }
        self.used = used;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }

    // A component built by wit-component is a handful of core instances, one memory and a few tables.
    fn instances(&self) -> usize {
        64
    }

    fn tables(&self) -> usize {
        64
    }

    fn memories(&self) -> usize {
        8
    }
}
