//! The dataflow: how rows move between sources, workers and sinks, in order and within bounds.
//! It knows neither plugins nor models, only [`Operator`]s.

mod budget;
mod clock;
mod committed;
mod config;
mod endpoint;
mod events;
mod exchange;
mod failure;
mod graph;
mod hub;
mod letters;
mod message;
mod network;
mod node;
mod outlet;
mod partitions;
mod port;
mod queue;
mod records;
mod sequencer;
mod stats;
#[cfg(test)]
mod tests;
mod worker;
mod writer;

pub use config::Config;
pub use endpoint::{Chunk, Next, Output, Prepared, Records, Sink, SinkRows, Source, Stopped, Sync, Wants};
pub use events::{Event, Events, Handle};
pub use failure::{Failure, FailureKind};
pub use graph::{Graph, OperatorNode, Origin, SinkNode, SourceNode};
pub use hub::{AsyncFactory, AsyncOperator, AsyncPart, Completions, HubStats, Order, Submission};
pub use network::{DecoderFactory, Network, OperatorPart, Parts, SourcePart};
pub use node::{Emitted, Operator, OperatorFactory, Times};
pub use port::Standing;
pub use stats::{LatencySummary, Stats};
