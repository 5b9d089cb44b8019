//! The parts together, against a server that is played, on a clock of its own.

mod limits;
mod outage;
mod play;
mod references;
