//! External models under load: the reference scenarios of speed (`inference-bench`) and of failure
//! (`inference-scenarios`). The model server is a process of its own, so that the processor time of the
//! two can be told apart on a machine that they share.

mod arrivals;
mod figures;
mod host;
mod ordered;
mod pipeline;
mod rows;
pub mod scenarios;
pub mod speed;
mod watch;

pub use figures::{Figure, json, table};

/// Prediction sources by which the model itself answered, at the first try or later.
fn by_the_model(source: &str) -> bool {
    matches!(source, "primary" | "retry" | "hedge")
}
