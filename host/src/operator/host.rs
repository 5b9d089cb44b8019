//! What a plugin's instance sees of the world: an empty WASI context, the clock of the batch in
//! hand, a log, and a bound on its memory. One [`Host`] is the data of one store.

mod limiter;
mod logger;
mod stderr;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use wasmtime_wasi::{HostMonotonicClock, HostWallClock, ResourceTable, WasiCtx, WasiCtxView, WasiView};

pub(super) use limiter::{Limiter, MemoryLimit};
pub(super) use logger::Logger;
use stderr::Tail;

use super::bindings::millstream::operator::{clock, log, types};

/// Handles of host resources that one instance may hold: it needs a handful for its standard
/// streams.
const MAX_HANDLES: usize = 256;

/// Seed of the hash maps of every instance, so that the same rows give the same output.
const HASH_SEED: u128 = 0x6d69_6c6c_7374_7265_616d;

/// The data of one store.
pub(super) struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
    stderr: Tail,
    clock: Arc<Clock>,
    pub(super) limiter: Limiter,
    pub(super) logger: Logger,
}

/// Time of the batch in hand.
#[derive(Debug)]
struct Clock {
    processing_ms: AtomicI64,
    watermark_ms: AtomicI64,
}

impl Host {
    /// An empty world for one instance.
    pub(super) fn new(memory_bytes: usize, logger: Logger) -> Self {
        let clock = Arc::new(Clock { processing_ms: AtomicI64::new(0), watermark_ms: AtomicI64::new(i64::MIN) });
        let stderr = Tail::default();
        let wasi = WasiCtx::builder()
            .stderr(stderr.clone())
            .wall_clock(BatchClock(clock.clone()))
            .monotonic_clock(BatchClock(clock.clone()))
            .insecure_random_seed(HASH_SEED)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        Self { wasi, table, stderr, clock, limiter: Limiter::new(memory_bytes), logger }
    }

    /// Sets the time for the next call.
    pub(super) fn set_time(&self, processing_ms: i64, watermark_ms: i64) {
        self.clock.processing_ms.store(processing_ms, Ordering::Relaxed);
        self.clock.watermark_ms.store(watermark_ms, Ordering::Relaxed);
    }

    /// The end of what the instance wrote to standard error.
    pub(super) fn stderr(&self) -> String {
        self.stderr.text()
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl types::Host for Host {}

impl clock::Host for Host {
    fn processing_time_ms(&mut self) -> i64 {
        self.clock.processing_ms.load(Ordering::Relaxed)
    }

    fn watermark_ms(&mut self) -> i64 {
        self.clock.watermark_ms.load(Ordering::Relaxed)
    }
}

impl log::Host for Host {
    fn write(&mut self, level: u32, message: String) {
        self.logger.write(level, &message);
    }
}

/// WASI's clocks: the processing time of the batch, never the machine's.
struct BatchClock(Arc<Clock>);

impl BatchClock {
    fn since_epoch(&self) -> Duration {
        Duration::from_millis(self.0.processing_ms.load(Ordering::Relaxed).try_into().unwrap_or(0))
    }
}

impl HostWallClock for BatchClock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        self.since_epoch()
    }
}

impl HostMonotonicClock for BatchClock {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        self.since_epoch().as_nanos().try_into().unwrap_or(u64::MAX)
    }
}
