//! The plugin host: operators as sandboxed WebAssembly components.
//!
//! A [`Plugin`] is one loaded generation. A [`Runner`] is one operator on one worker: it packs a
//! batch, calls its instance, checks the answer and applies it as a transaction; a row that kills
//! the plugin is isolated and everything else goes on. A [`Folder`] watches for new generations.
//! Only this module knows wasmtime. It sees keyed state through [`Slots`] alone.

mod apply;
mod bindings;
mod columns;
mod compatible;
mod compiled;
mod config;
mod description;
mod emit;
mod engine;
mod error;
mod folder;
mod generation;
mod host;
mod instance;
mod isolate;
mod keys;
mod linker;
mod outcome;
mod pack;
mod plugin;
mod runner;
mod slots;
mod trusted;

#[cfg(test)]
mod tests;

pub use config::*;
pub use description::{Description, Port, StateDescription};
pub use engine::Engine;
pub use error::{Failure, Fault, LoadError};
pub use folder::{Event, Folder, FolderError, NewGeneration, Refusal, User, Watch};
pub use generation::output_schemas;
pub use outcome::{Increment, Outcome, RowRejected, Stats};
pub use plugin::{Plugin, Sha256Sum};
pub use runner::Runner;
pub use slots::{Keyed, NoSlots, Slots};
