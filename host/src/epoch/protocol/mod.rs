//! What is committed, what is discarded, who may act, what may be deleted: decisions as plain
//! functions over plain data. No file, no clock, no thread, no broker; the code around them reads
//! facts and carries decisions out.
//!
//! Permission is a value. Only the log makes a [`Durable`], only [`permit`] a [`CommitPermit`], only
//! [`decide`] and [`resolve`] a [`Committed`], and the state takes nothing else.

mod facts;
mod parts;
mod permit;
mod refusal;
mod resolve;
mod retention;
#[cfg(test)]
mod tests;

pub use facts::{Facts, Held, History, Pointer, Summary};
pub use parts::{Parts, fits};
pub use permit::{Action, CommitPermit, Committed, Durable, Outcome, decide, permit};
pub use refusal::Refusal;
pub use resolve::{Base, Resolution, resolve};
pub use retention::may_cut;
