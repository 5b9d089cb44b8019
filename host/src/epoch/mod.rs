//! Epochs: what lies between two barriers, and is committed as a whole or not at all.
//!
//! The coordinator makes the barriers. `protocol` decides, `log` keeps, `committer` brings an epoch
//! through, and `recovery` finds the way back to the committed one.

mod commit;
mod committer;
mod coordinator;
pub mod log;
pub mod protocol;
mod record;
mod recovery;
#[cfg(test)]
mod simulation;
mod stats;

pub use commit::{Commit, Done, Forget, Gathered};
pub use committer::{Committer, Decision, EpochLog, LogDecides, State, Steps};
pub use coordinator::{Coordinator, Outcome};
pub use log::{Disk, Folder, Log, LogError};
pub use record::{Decider, EpochRecord, GenerationState, InFlightRows, ModelState, Origin};
pub use recovery::{RecoveryError, recover};
pub use stats::{EpochStats, EpochSummary, STEPS, StepSummary};
