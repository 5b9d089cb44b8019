//! A server on threads of its own, and the handle by which a test or a process steers it.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::clock::Clock;
use super::counters::{Counters, Counts};
use super::script::Script;
use super::service::Shared;
use super::socket::{Line, Socket};
use super::tcp::Kept;

/// HTTP/2 streams of a connection: more than any test has in flight.
const STREAMS: u32 = 100_000;
/// What an HTTP/2 client may send ahead, so that windows are not what a benchmark measures.
const WINDOW: u32 = 16 << 20;
/// How long the handle waits for its own threads.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a server is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens; port 0 is any free one.
    pub listen: SocketAddr,
    /// Threads that serve.
    pub threads: usize,
    /// HTTP/2 only. Else a connection's first bytes decide.
    pub http2: bool,
    /// Whether idempotency keys are kept. A long benchmark would fill memory with them.
    pub keys: bool,
    /// Seed of what is left to chance.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { listen: (Ipv4Addr::LOCALHOST, 0).into(), threads: 1, http2: false, keys: true, seed: 1 }
    }
}

/// A running server; it ends with this value.
pub struct ModelServer {
    port: Arc<Port>,
    flapping: Mutex<Option<JoinHandle<()>>>,
    runtime: Option<Runtime>,
}

/// A port with everything behind it.
struct Port {
    kept: Kept,
    http2: bool,
    shared: Arc<Shared>,
    accepting: Mutex<Option<Accepting>>,
    lines: Mutex<HashMap<u64, Arc<Line>>>,
    number: AtomicU64,
}

struct Accepting {
    stop: oneshot::Sender<()>,
    /// Disconnected once the listener is closed.
    closed: mpsc::Receiver<()>,
}

impl ModelServer {
    /// A server at a free port of loopback, on one thread.
    ///
    /// # Panics
    /// When there is no port to be had.
    pub fn start(script: Script) -> Self {
        Self::start_with(script, &Options::default()).expect("a model server on loopback")
    }

    /// A server as the options say.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn start_with(script: Script, options: &Options) -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        let runtime =
            builder.worker_threads(options.threads.max(1)).thread_name("model-server").enable_all().build()?;
        let context = runtime.enter();
        let counters = Counters::new(options.keys);
        let port = Arc::new(Port {
            kept: Kept::new(options.listen)?,
            http2: options.http2,
            shared: Arc::new(Shared::new(script, counters, Clock::start()?, options.seed)),
            accepting: Mutex::default(),
            lines: Mutex::default(),
            number: AtomicU64::new(0),
        });
        port.open()?;
        drop(context);
        Ok(Self { port, flapping: Mutex::default(), runtime: Some(runtime) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.kept.address()
    }

    /// `http://host:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Replaces the script. Requests that are at work keep the one they came under.
    pub fn set(&self, script: Script) {
        self.port.shared.set(script);
    }

    /// What was counted since the start.
    pub fn counts(&self) -> Counts {
        self.port.shared.counters.counts()
    }

    /// Sudden death: nothing listens any more, and every connection is reset.
    pub fn die(&self) {
        if let Some(closed) = self.port.die() {
            // It ends by disconnection.
            let _ = closed.recv_timeout(PATIENCE);
        }
        // Those that were accepted meanwhile.
        self.cut();
    }

    /// Back from the dead, on the same port.
    ///
    /// # Panics
    /// When the port cannot be listened at.
    pub fn come_back(&self) {
        let _context = self.runtime().enter();
        self.port.open().expect("the same port");
    }

    /// Resets every connection; new ones are welcome.
    pub fn cut(&self) {
        self.port.lines().values().for_each(|line| line.break_off(true));
    }

    /// Says goodbye on every connection: GOAWAY, or `Connection: close` with the next reply.
    pub fn say_goodbye(&self) {
        self.port.lines().values().for_each(|line| line.say_goodbye());
    }

    /// Lives for `up`, is dead for `down`, and so on until [`ModelServer::steady`].
    pub fn flap(&self, up: Duration, down: Duration) {
        self.steady();
        let port = Arc::clone(&self.port);
        let task = self.runtime().spawn(async move {
            loop {
                tokio::time::sleep(up).await;
                drop(port.die());
                tokio::time::sleep(down).await;
                if port.open().is_err() {
                    return;
                }
            }
        });
        *self.flapping.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    /// Ends flapping, alive.
    pub fn steady(&self) {
        if let Some(task) = self.flapping.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
            let deadline = Instant::now() + PATIENCE;
            while !task.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            self.come_back();
        }
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it is there until the end")
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        drop(self.port.die());
        if let Some(runtime) = self.runtime.take() {
            // Not waited for, so that it may end within another runtime.
            runtime.shutdown_background();
        }
    }
}

impl Port {
    fn lines(&self) -> MutexGuard<'_, HashMap<u64, Arc<Line>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens, unless it does.
    fn open(self: &Arc<Self>) -> io::Result<()> {
        let mut accepting = self.accepting.lock().unwrap_or_else(PoisonError::into_inner);
        if accepting.is_none() {
            let listener = self.kept.listen()?;
            let (stop, stopped) = oneshot::channel::<()>();
            let (open, closed) = mpsc::channel::<()>();
            let port = Arc::clone(self);
            tokio::spawn(async move {
                tokio::select! {
                    _ = stopped => {}
                    () = port.accept(&listener) => {}
                }
                drop(listener);
                drop(open);
            });
            *accepting = Some(Accepting { stop, closed });
        }
        Ok(())
    }

    /// Begins to die; what is returned is disconnected once nothing listens.
    fn die(&self) -> Option<mpsc::Receiver<()>> {
        let accepting = self.accepting.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.lines().values().for_each(|line| line.break_off(true));
        accepting.map(|Accepting { stop, closed }| {
            let _ = stop.send(());
            closed
        })
    }

    async fn accept(self: &Arc<Self>, listener: &TcpListener) {
        loop {
            // An error is a client that was gone again, or too many files.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            };
            let _ = stream.set_nodelay(true);
            let line = Arc::new(Line::default());
            let number = self.number.fetch_add(1, Ordering::Relaxed);
            self.lines().insert(number, Arc::clone(&line));
            self.shared.counters.connected();
            let port = Arc::clone(self);
            tokio::spawn(async move {
                port.serve(stream, &line).await;
                port.lines().remove(&number);
                port.shared.counters.disconnected();
            });
        }
    }

    /// Serves a connection to its end.
    async fn serve(&self, stream: TcpStream, line: &Arc<Line>) {
        let second = self.http2
            || tokio::select! {
                second = speaks_http2(&stream) => second,
                () = line.broken() => {
                    let _ = stream.set_zero_linger();
                    return;
                }
            };
        let io = TokioIo::new(Socket::new(stream, Arc::clone(line)));
        let (shared, of_request) = (Arc::clone(&self.shared), Arc::clone(line));
        let service = service_fn(move |request| {
            let (shared, line) = (Arc::clone(&shared), Arc::clone(&of_request));
            async move { shared.answer(&line, request).await }
        });
        // A connection that fails is the client's to notice. One that is broken goes with `connection`.
        macro_rules! drive {
            ($connection:expr) => {{
                let mut connection = std::pin::pin!($connection);
                loop {
                    tokio::select! {
                        _ = connection.as_mut() => return,
                        () = line.broken() => return,
                        () = line.goodbye() => connection.as_mut().graceful_shutdown(),
                    }
                }
            }};
        }
        if second {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.timer(TokioTimer::new()).max_concurrent_streams(STREAMS);
            builder.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
            drive!(builder.serve_connection(io, service))
        } else {
            drive!(http1::Builder::new().serve_connection(io, service))
        }
    }
}

/// Whether the connection's first bytes are those of HTTP/2.
async fn speaks_http2(stream: &TcpStream) -> bool {
    let mut first = [0; 3];
    loop {
        match stream.peek(&mut first).await {
            // `PRI`, where HTTP/1 has `POST` or `GET`.
            Ok(3) => return first == *b"PRI",
            Ok(0) | Err(_) => return false,
            Ok(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}
