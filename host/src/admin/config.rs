//! `[admin]` once validated.

use std::net::SocketAddr;

/// Settings of the admin server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where it listens; a loopback address.
    pub listen: SocketAddr,
}
