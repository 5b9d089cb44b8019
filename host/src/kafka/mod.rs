//! Kafka: what its source, its sinks and the commit of an epoch share. Only here is rdkafka known.
//!
//! - [`Properties`]: settings of librdkafka by name; which of them the host owns.
//! - [`Consumer`]: a member of a consumer group that answers rebalances itself; [`Consumers`] are
//!   those of a pipeline, of which the commit of an epoch needs the group metadata.
//! - [`Producer`]: an idempotent producer that checks every delivery report.
//! - [`Transactor`]: the one transactional producer of a pipeline, and the pointer that says which
//!   epoch was committed.
//!
//! All of it is for threads that may block; nothing here knows the dataflow.

mod client;
mod config;
mod consumer;
mod consumers;
mod error;
mod lag;
mod log;
mod partition;
mod pointer;
mod producer;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod topic;
mod transactor;

pub use client::{Problem, Properties};
pub use config::{Config, GroupConfig};
pub use consumer::{Consumer, Event, Message};
pub use consumers::Consumers;
pub use error::{Error, Kind};
pub use lag::{Lag, PartitionLag, Progress};
pub use partition::Partition;
pub use pointer::Pointer;
pub use producer::{Producer, Record};
pub use transactor::{Outcome, Transactor};
