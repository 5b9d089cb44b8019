//! Models that answer later: in servers of their own, or embedded on a thread of their own.
//!
//! An operator lives on the thread of its hub (`dataflow`), where all of this runs without a lock.
//! The way of a row: [`operator`] reads what is sent of it → [`cache`] → [`batcher`] → [`dispatch`] →
//! a [`request`], which asks [`endpoints`] whom to call and calls by a [`transport`] → an [`answer`],
//! or one of the [`fallback`] chain → [`columns`].

mod answer;
mod batcher;
mod binding;
mod cache;
mod columns;
mod config;
mod dispatch;
mod endpoints;
mod fallback;
mod http;
mod inputs;
mod log;
mod operator;
mod request;
mod rows;
mod stats;
#[cfg(test)]
mod tests;
mod thread;
mod transport;

pub use answer::PredictionSource;
pub use binding::ExternalBinding;
pub use config::*;
pub use operator::{Emitted, ExternalOperator};
pub use stats::{EndpointStats, ExternalStats, Histogram, ROW_BOUNDS, TIME_BOUNDS_US};
