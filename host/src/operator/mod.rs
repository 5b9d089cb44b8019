//! The plugin host: operators as sandboxed WebAssembly components.
//!
//! A [`Plugin`] is one loaded generation. A [`Runner`] is one operator on one worker: it packs a
//! batch, calls its instance, checks the answer and applies it as a transaction; a row that kills
//! the plugin is isolated and everything else goes on. A [`Folder`] watches for new generations.
//! Only this module knows wasmtime. It sees keyed state through [`Slots`] alone.

mod bindings;
mod compiled;
mod config;
mod description;
mod engine;
mod error;
mod host;
mod instance;
mod linker;
mod plugin;
mod slots;
mod trusted;

pub use config::*;
pub use description::{Description, Port, StateDescription};
pub use engine::Engine;
pub use error::{Fatal, Fault, LoadError};
pub use plugin::{Plugin, Sha256Sum};
pub use slots::{Keyed, NoSlots, Slots};
