//! End-to-end tests: the real binary, real plugins, real files.

mod checkpoint;
mod cli;
mod crash;
mod csv;
mod disk_faults;
mod features;
mod guests;
mod inference;
mod input;
mod kafka;
mod kafka_faults;
mod model_server;
mod oracle;
mod proxy;
mod real_servers;
mod s3;
mod scoring;
mod signals;
mod soak;
mod state;
mod swap;
mod tidy;
mod two_sources;
mod validation;
