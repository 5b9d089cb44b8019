//! End-to-end tests: the real binary, real plugins, real files.

mod input;
mod signals;
mod tidy;
