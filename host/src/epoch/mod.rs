//! Epochs: what lies between two barriers, and is in the store as a whole or not at all.

mod coordinator;

pub use coordinator::{Coordinator, Outcome};
