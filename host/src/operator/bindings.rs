//! The contract of `wit/operator.wit` as Rust: generated types, host traits and typed exports.
//! `migrate-state`, `timers` and `broadcast` are optional exports; they are probed by name.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "operator",
    ownership: Borrowing { duplicate_if_necessary: true },
    require_store_data_send: true,
});

pub(super) use exports::millstream::operator::guest;
pub(super) use self::millstream::operator::types::Error;

/// Name of an optional export.
pub(super) const MIGRATE_STATE: &str = "millstream:operator/migrate-state@1.0.0";
/// Name of an optional export.
pub(super) const TIMERS: &str = "millstream:operator/timers@1.0.0";
/// Name of an optional export.
pub(super) const BROADCAST: &str = "millstream:operator/broadcast@1.0.0";
