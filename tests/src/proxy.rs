//! A TCP proxy before a broker that knows where Kafka's requests and replies begin, and so can lose
//! exactly one of them: the request before the broker saw it, or its reply after the broker did it.
//!
//! Of the protocol it reads the frame only: length (i32), then in a request the api key (i16), the api
//! version (i16) and the correlation id (i32), in a reply the correlation id. Bytes are passed on as
//! they are. Plain connections only: what is encrypted has no frames to see.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// Requests that faults can name, with their keys in the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i16)]
#[allow(missing_docs)]
pub enum Api {
    Produce = 0,
    Fetch = 1,
    OffsetFetch = 9,
    Heartbeat = 12,
    InitProducerId = 22,
    AddPartitionsToTxn = 24,
    AddOffsetsToTxn = 25,
    EndTxn = 26,
    TxnOffsetCommit = 28,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is cut and the broker never sees the request.
    CutBefore(Api),
    /// The broker gets the request; its reply is swallowed and the connection cut.
    DropReply(Api),
    /// The request reaches the broker that much later, and all behind it on its connection.
    Delay(Api, Duration),
    /// The connection stays open, and from this request on nothing passes in either direction.
    Blackhole(Api),
}

impl Fault {
    fn api(self) -> Api {
        match self {
            Self::CutBefore(api) | Self::DropReply(api) | Self::Delay(api, _) | Self::Blackhole(api) => api,
        }
    }
}

/// Which of the requests a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The n-th from now, counted from 1, and no other.
    Nth(u64),
    /// Each, until [`Proxy::clear`].
    Always,
}

/// A fault at work.
#[derive(Clone, Debug)]
pub struct Rule {
    fault: Fault,
    when: When,
    seen: Arc<AtomicU64>,
    hits: Arc<AtomicU64>,
}

impl Rule {
    /// How often it struck.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::SeqCst)
    }

    fn strikes(&self, api: i16) -> bool {
        if self.fault.api() as i16 != api {
            return false;
        }
        let number = self.seen.fetch_add(1, Ordering::SeqCst) + 1;
        let strikes = self.when == When::Always || self.when == When::Nth(number);
        self.hits.fetch_add(u64::from(strikes), Ordering::SeqCst);
        strikes
    }
}

/// The proxy; dropping it cuts its connections.
pub struct Proxy {
    shared: Arc<Shared>,
}

struct Shared {
    address: SocketAddr,
    target: u16,
    rules: Mutex<Vec<Rule>>,
    requests: Mutex<HashMap<i16, u64>>,
    connections: Mutex<Vec<Weak<Connection>>>,
    down: AtomicBool,
    stopped: AtomicBool,
}

struct Connection {
    client: TcpStream,
    broker: TcpStream,
    /// Correlation ids whose replies are swallowed.
    doomed: Mutex<HashSet<i32>>,
    black: AtomicBool,
}

impl Connection {
    fn cut(&self) {
        for stream in [&self.client, &self.broker] {
            // An error says that the other side was faster.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Proxy {
    /// A proxy at a free port of loopback, before a port of loopback.
    pub fn before(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port for a proxy");
        let shared = Arc::new(Shared {
            address: listener.local_addr().expect("the proxy's address"),
            target,
            rules: Mutex::default(),
            requests: Mutex::default(),
            connections: Mutex::default(),
            down: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.stopped.load(Ordering::SeqCst) {
                    break;
                }
                accepting.connect(client);
            }
        });
        Self { shared }
    }

    /// `host:port`, for `bootstrap.servers`.
    pub fn address(&self) -> String {
        self.shared.address.to_string()
    }

    /// The port behind it.
    pub fn target(&self) -> u16 {
        self.shared.target
    }

    /// Puts a fault in place.
    pub fn inject(&self, fault: Fault, when: When) -> Rule {
        let rule = Rule { fault, when, seen: Arc::default(), hits: Arc::default() };
        self.shared.rules.lock().unwrap().push(rule.clone());
        rule
    }

    /// Takes all faults away. Connections that were black holes are cut, so that clients notice.
    pub fn clear(&self) {
        self.shared.rules.lock().unwrap().clear();
        self.shared.down.store(false, Ordering::SeqCst);
        self.shared.each(|connection| {
            if connection.black.load(Ordering::SeqCst) {
                connection.cut();
            }
        });
    }

    /// Cuts all connections and each new one at once, until [`Proxy::clear`].
    pub fn down(&self) {
        self.shared.down.store(true, Ordering::SeqCst);
        self.shared.each(Connection::cut);
    }

    /// How many such requests came in, whatever became of them.
    pub fn requests(&self, api: Api) -> u64 {
        self.shared.requests.lock().unwrap().get(&(api as i16)).copied().unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.shared.address);
        self.shared.each(Connection::cut);
    }
}

impl Shared {
    fn each(&self, what: impl Fn(&Connection)) {
        let mut connections = self.connections.lock().unwrap();
        connections.retain(|c| c.strong_count() > 0);
        connections.iter().filter_map(Weak::upgrade).for_each(|c| what(&c));
    }

    /// Without a broker behind it the client's connection is cut, as an own port would refuse it.
    fn connect(self: &Arc<Self>, client: TcpStream) {
        let Ok(broker) = TcpStream::connect(("127.0.0.1", self.target)) else { return };
        let _ = (client.set_nodelay(true), broker.set_nodelay(true));
        let connection =
            Arc::new(Connection { client, broker, doomed: Mutex::default(), black: AtomicBool::new(false) });
        self.connections.lock().unwrap().push(Arc::downgrade(&connection));
        // Looked at after the connection is known to `down`, so that it cannot slip through.
        if self.down.load(Ordering::SeqCst) {
            return connection.cut();
        }
        let (shared, there, back) = (Arc::clone(self), Arc::clone(&connection), connection);
        std::thread::spawn(move || {
            let _ = shared.requests(&there);
            there.cut();
        });
        std::thread::spawn(move || {
            let _ = replies(&back);
            back.cut();
        });
    }

    /// Passes requests on until the connection ends.
    fn requests(&self, connection: &Connection) -> io::Result<()> {
        let (mut client, mut broker) = (&connection.client, &connection.broker);
        let mut frame = Vec::new();
        loop {
            read_frame(&mut client, &mut frame)?;
            if connection.black.load(Ordering::SeqCst) {
                continue;
            }
            let header = frame.get(4..12).ok_or(io::ErrorKind::InvalidData)?;
            let api = i16::from_be_bytes([header[0], header[1]]);
            let correlation = i32::from_be_bytes([header[4], header[5], header[6], header[7]]);
            *self.requests.lock().unwrap().entry(api).or_default() += 1;
            // All rules count the request, the first that strikes decides.
            let rules = self.rules.lock().unwrap().clone();
            let struck: Vec<Fault> = rules.iter().filter(|r| r.strikes(api)).map(|r| r.fault).collect();
            match struck.first() {
                None => {}
                Some(Fault::CutBefore(_)) => return Ok(()),
                Some(Fault::DropReply(_)) => drop(connection.doomed.lock().unwrap().insert(correlation)),
                Some(Fault::Delay(_, time)) => std::thread::sleep(*time),
                Some(Fault::Blackhole(_)) => {
                    connection.black.store(true, Ordering::SeqCst);
                    continue;
                }
            }
            broker.write_all(&frame)?;
        }
    }
}

/// Passes replies on until the connection ends, or one comes that is to be swallowed.
fn replies(connection: &Connection) -> io::Result<()> {
    let (mut client, mut broker) = (&connection.client, &connection.broker);
    let mut frame = Vec::new();
    loop {
        read_frame(&mut broker, &mut frame)?;
        if connection.black.load(Ordering::SeqCst) {
            continue;
        }
        let id = frame.get(4..8).ok_or(io::ErrorKind::InvalidData)?;
        if connection.doomed.lock().unwrap().contains(&i32::from_be_bytes([id[0], id[1], id[2], id[3]])) {
            return Ok(());
        }
        client.write_all(&frame)?;
    }
}

/// A frame with its length before it.
fn read_frame(from: &mut impl Read, frame: &mut Vec<u8>) -> io::Result<()> {
    frame.resize(4, 0);
    from.read_exact(frame)?;
    let length = i32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
    // A client that speaks something else would make this gigabytes.
    let length = usize::try_from(length).ok().filter(|l| *l <= 256 << 20).ok_or(io::ErrorKind::InvalidData)?;
    frame.resize(4 + length, 0);
    from.read_exact(&mut frame[4..])
}
