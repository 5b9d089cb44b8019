//! A model server that misbehaves on command: real HTTP/1.1 and HTTP/2 over loopback, the protocols
//! that the host speaks, predictions that a test can compute itself, and every way to fail that a
//! model server has.
//!
//! A prediction is the sum of a row's features ([`predict`]); with more outputs, output `i` is the sum
//! plus `i`. An embedding is [`embed`], a chat answers `echo: ` and the last message.
//!
//! In process: [`ModelServer::start`] with a [`Script`], which [`ModelServer::set`] replaces while it
//! runs. As a process of its own, for benchmarks and for what must die alone: [`ModelProcess`], or the
//! binary `model-server`.

mod body;
mod clock;
mod command;
mod counters;
mod flags;
mod process;
mod protocol;
mod script;
mod server;
mod service;
mod socket;
mod tcp;

pub use command::obey;
pub use counters::{Counts, Late};
pub use flags::{Flags, USAGE};
pub use process::ModelProcess;
pub use protocol::{embed, predict};
pub use script::{Fault, Latency, Overload, Rule, Script};
pub use server::{ModelServer, Options};
