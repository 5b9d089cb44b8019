//! JSON lines: one object a line.

mod cursor;
mod decode;
mod escape;
mod fault;
#[cfg(test)]
mod tests;

pub(crate) use decode::{Reader, list};
pub(crate) use escape::write_string;
pub(crate) use fault::{excerpt, expectation};
