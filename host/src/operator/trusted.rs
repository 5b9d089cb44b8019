//! The one `unsafe` of the plugin host: turning compiled machine code back into a component.
//!
//! `Component::deserialize` trusts its bytes as native code. It is sound here because the bytes
//! come from our own cache folder (mode 0700, never from the plugin folder), and [`Verified`] can
//! only be had by checking the SHA-256 that was written beside them when we compiled them. So a
//! torn write, a bit flip or a file put there by mistake is never run; who can forge the hash
//! inside a private folder already runs code as this user. Code of another version of wasmtime or
//! of other settings is refused by wasmtime itself.
#![allow(unsafe_code)]

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// Compiled code whose checksum has been checked.
pub(super) struct Verified<'a>(&'a [u8]);

impl<'a> Verified<'a> {
    /// The code, when its SHA-256 is `expected`.
    pub(super) fn check(code: &'a [u8], expected: &[u8]) -> Option<Self> {
        (Sha256::digest(code)[..] == *expected).then_some(Self(code))
    }
}

/// The component of compiled code.
pub(super) fn deserialize(engine: &Engine, code: &Verified<'_>) -> wasmtime::Result<Component> {
    // SAFETY: `Verified` shows that these are, bit by bit, the bytes that `Component::serialize`
    // gave us; see the head of this file.
    unsafe { Component::deserialize(engine, code.0) }
}
