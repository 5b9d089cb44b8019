//! The dataflow: how rows move between sources, workers and sinks, in order and within bounds.
//! It knows neither plugins nor models, only [`Operator`]s.

mod budget;
mod config;
mod endpoint;
mod exchange;
mod graph;
mod message;
mod network;
mod node;
mod outlet;
mod port;
mod sequencer;
mod stats;
#[cfg(test)]
mod tests;
mod worker;
mod writer;

pub use config::Config;
pub use endpoint::{Chunk, Failure, Output, Sink, Source, Stopped};
pub use graph::{Graph, OperatorNode, Origin, SinkNode, SourceNode};
pub use network::{DecoderFactory, Event, Events, Handle, Network, Parts};
pub use node::{Emitted, Operator, OperatorFactory, Times};
pub use stats::{LatencySummary, Stats};
