//! Millstream runs a stream of events through sandboxed WebAssembly operators and machine-learning
//! models. The modules follow the way of a record; ARCHITECTURE.md has the import table.

pub mod admin;
pub mod app;
pub mod bench;
pub mod checkpoint;
pub mod cli;
pub mod codec;
pub mod config;
pub mod dataflow;
pub mod epoch;
pub mod inference;
pub mod kafka;
pub mod operator;
pub mod progress;
pub mod record;
pub mod report;
pub mod rollout;
pub mod sink;
pub mod source;
pub mod state;

/// A folder of test data in this package. Clones share their build output, so cargo is asked when the
/// test runs, and not when it was compiled.
#[cfg(test)]
fn testdata(folder: &str) -> std::path::PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map(std::path::PathBuf::from).unwrap_or_default().join(folder)
}
