//! The listening socket of a server that dies and comes back on the same port.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// Connections that may wait to be accepted: thousands come at once when a server returns.
const BACKLOG: u32 = 4_096;

fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // What listens shares the port with what only keeps it.
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// An address that stays ours while nothing listens: a client is refused, and no other process gets
/// the port meanwhile.
pub(super) struct Kept {
    address: SocketAddr,
    _socket: TcpSocket,
}

impl Kept {
    pub(super) fn new(address: SocketAddr) -> io::Result<Self> {
        let socket = bound(address)?;
        Ok(Self { address: socket.local_addr()?, _socket: socket })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn listen(&self) -> io::Result<TcpListener> {
        bound(self.address)?.listen(BACKLOG)
    }
}
