//! End-to-end tests: the real binary, real plugins, real files.

mod tidy;
