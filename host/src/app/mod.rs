//! The one place that names concrete parts: from a checked pipeline to a running one.

mod job;
mod nodes;
mod plan;

pub use job::Job;
pub use plan::{Made, Plan, plan};
