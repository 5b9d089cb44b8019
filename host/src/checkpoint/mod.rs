//! Checkpoint storage: what a restart needs when the state folder is gone, and what is kept by name.
//!
//! A [`Snapshotter`] puts the database as of one epoch into a [`Storage`], file by file, and then a
//! [`Manifest`] that names them; [`restore_snapshot`] is the way back. A [`Savepoint`] is the state
//! itself, by operator and key group, in a format that knows no database. What is there no longer
//! fits what its documents say is found by digests, and refused by name.
//!
//! Which epoch is committed is not decided here, but by `epoch`: this module keeps what it is given.

mod background;
mod config;
mod digest;
mod error;
#[cfg(test)]
mod fixtures;
mod gc;
mod log_objects;
mod manifest;
mod names;
mod restore;
mod run;
mod savepoint;
mod snapshot;
mod staging;
mod storage;
#[cfg(test)]
mod tests;
mod verify;

pub use background::{Background, RecentRecords};
pub use config::{Config, Location};
pub use digest::Digest;
pub use error::Error;
pub use log_objects::{delete_log_segments, fetch_log, newest_log_name, put_log_segment};
pub use manifest::{Manifest, ManifestFile, Recorded, snapshots};
pub use names::SnapshotId;
pub use restore::{newest_snapshot, restore_snapshot};
pub use run::{Run, claim_run, newest_run, read_run};
pub use savepoint::{Block, OperatorState, Origin, Restored, Savepoint, savepoints};
pub use snapshot::{SnapshotInfo, Snapshotter};
pub use staging::Staging;
pub use storage::{Object, Storage};
pub use verify::{Bad, Verified, verify};
