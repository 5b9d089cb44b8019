//! End-to-end tests: the real binary, real plugins, real files.

mod checkpoint;
mod cli;
mod csv;
mod features;
mod guests;
mod input;
mod s3;
mod scoring;
mod signals;
mod state;
mod swap;
mod tidy;
mod two_sources;
