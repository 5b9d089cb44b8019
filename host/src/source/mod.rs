//! Sources: where rows come from. One connector a file.

mod config;

pub use config::{Config, Connector, Generator, GeneratorKind};

pub use crate::dataflow::{Chunk, Failure as Error, Output, Source, Stopped};
