//! `[pipeline]` and `[checkpoint]` once validated.

use std::time::Duration;

/// Settings of the dataflow.
#[derive(Clone, Debug)]
pub struct Config {
    /// Worker threads. Default: one a core.
    pub workers: usize,
    /// Rows between sources and sinks at most; beyond that sources wait. Default 65,536.
    pub max_in_flight_rows: usize,
    /// Bytes between sources and sinks at most. Default 16 MiB.
    pub max_in_flight_bytes: usize,
    /// Rows of one batch at most. Default 1,024.
    pub batch_rows: usize,
    /// Bytes of one batch at most. Default 256 KiB.
    pub batch_bytes: usize,
    /// Time between two barriers. Default 1 s.
    pub checkpoint_interval: Duration,
}
