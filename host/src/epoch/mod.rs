//! Epochs: what lies between two barriers, and is committed as a whole or not at all.

mod commit;
mod coordinator;
mod stats;

pub use commit::{Commit, Done, Forget, Gathered};
pub use coordinator::{Coordinator, Outcome};
pub use stats::{EpochStats, EpochSummary, STEPS, StepSummary};
