//! Write Millstream operators in Rust.
//!
//! An operator reads rows, may keep state per key, and emits rows. It is compiled to a WebAssembly
//! component that the host runs in a sandbox; natively the same code runs under `cargo test`.
//!
//! ```
//! use millstream_sdk::prelude::*;
//!
//! #[derive(Row)]
//! struct Transaction<'a> {
//!     terminal_id: &'a str,
//!     amount: f64,
//!     #[event_time]
//!     timestamp: i64,
//! }
//!
//! #[derive(Row)]
//! struct Features {
//!     amount_ratio: f64,
//!     count_24h: u32,
//!     mean_24h: f64,
//! }
//!
//! #[derive(State, Default)]
//! #[state(version = 1, ttl = "24h")]
//! struct User {
//!     last_amount: Option<f64>,
//!     day: Tiles<24, Hour>,
//! }
//!
//! #[derive(Default)]
//! struct Enrich;
//!
//! #[operator(name = "enrich", version = "1.0.0", counters = ["unknown_terminals"])]
//! impl KeyedOperator for Enrich {
//!     type In<'a> = Transaction<'a>;
//!     type Out = Features;
//!     type State = User;
//!
//!     fn process(
//!         &mut self,
//!         tx: Transaction<'_>,
//!         user: &mut User,
//!         out: &mut Output<Features>,
//!         cx: &Context,
//!     ) -> Result<()> {
//!         ensure!(tx.amount >= 0.0, "amount {} is negative", tx.amount);
//!         if tx.terminal_id.is_empty() {
//!             cx.count(Self::UNKNOWN_TERMINALS, 1);
//!         }
//!         user.day.add(tx.timestamp, tx.amount);
//!         out.push(Features {
//!             amount_ratio: user.last_amount.map_or(1.0, |last| tx.amount / last),
//!             count_24h: user.day.count(),
//!             mean_24h: user.day.mean(),
//!         });
//!         user.last_amount = Some(tx.amount);
//!         Ok(())
//!     }
//! }
//! ```
//!
//! - Rows: [`macro@Row`] and [`row`]. State: [`macro@State`] and [`state`]. Windows: [`tiles`].
//! - Several outputs: [`macro@Ports`] and [`output`].
//! - `open` takes the operator's `config` table: [`Config`].
//! - Errors, and what the host does about each kind: [`Error`].
//! - Tests: [`testing`].
//!
//! Timers and broadcast state are part of the contract with the host, but this crate does not offer
//! them yet.

// The macros name the crate by its full name, here as well.
extern crate self as millstream_sdk;

pub mod config;
pub mod context;
pub mod error;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod export;
pub mod output;
pub mod plugin;
pub mod row;
pub mod state;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod tiles;

#[cfg(test)]
mod tests;

pub use config::Config;
pub use context::{Context, Counter, Level};
pub use error::{Error, ErrorKind, Result};
pub use millstream_batch::Floats;
pub use millstream_sdk_macros::{Ports, Row, State, operator};
pub use output::{Output, Port};
pub use plugin::{KeyedOperator, Operator};
pub use row::Row;
pub use state::{State, StateError};

/// Everything that an operator usually needs.
pub mod prelude {
    pub use crate::tiles::{Day, Hour, Millis, Minute, Tiles, TilesMinMax};
    pub use crate::{
        Config, Context, Counter, Error, Floats, KeyedOperator, Level, Operator, Output, Port, Ports, Result, Row,
        State, StateError, ensure, operator, reject,
    };
}
