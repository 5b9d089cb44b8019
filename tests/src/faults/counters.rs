//! What a server saw.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// Seconds whose arrivals are told apart; what comes later counts for the last.
const SECONDS: usize = 3_600;
/// Status codes that are told apart.
const STATUSES: usize = 600;

/// Counted while requests come and go.
pub(super) struct Counters {
    since: Instant,
    began: SystemTime,
    keys_wanted: bool,
    requests: AtomicU64,
    rows: AtomicU64,
    in_flight: AtomicU64,
    max_in_flight: AtomicU64,
    abandoned: AtomicU64,
    connections: AtomicU64,
    open: AtomicU64,
    late: [AtomicU64; 3],
    statuses: Box<[AtomicU64]>,
    seconds: Box<[AtomicU64]>,
    named: Mutex<Named>,
}

#[derive(Default)]
struct Named {
    keys: HashMap<String, u64>,
    faults: BTreeMap<&'static str, u64>,
}

/// What was counted until now.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Predictions that were asked for, each attempt for itself.
    pub requests: u64,
    /// Their rows.
    pub rows: u64,
    /// Requests that are not answered yet.
    pub in_flight: u64,
    /// The most there were at a time.
    pub max_in_flight: u64,
    /// Requests whose client did not wait for the reply.
    pub abandoned: u64,
    /// Connections that were accepted.
    pub connections: u64,
    /// Connections that are open.
    pub open: u64,
    /// Replies by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Faults by name.
    pub faults: BTreeMap<&'static str, u64>,
    /// Requests by the value of `Idempotency-Key`, when they are kept.
    pub keys: HashMap<String, u64>,
    /// Requests that arrived in each second since the start, to the current one.
    pub seconds: Vec<u64>,
    /// When it started, in milliseconds since the Unix epoch.
    pub began_ms: u64,
    /// How much later than the script says replies were handed over.
    pub late: Late,
}

/// How much later than its latency a server answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Late {
    /// Mean in microseconds.
    pub mean_us: f64,
    /// Longest in microseconds.
    pub max_us: f64,
}

impl Counts {
    /// Replies of a status.
    pub fn status(&self, code: u16) -> u64 {
        self.statuses.get(&code).copied().unwrap_or_default()
    }

    /// The counts as JSON; of the keys how many there are and how many came more than once.
    pub fn json(&self) -> Value {
        let statuses: BTreeMap<String, u64> = self.statuses.iter().map(|(code, n)| (code.to_string(), *n)).collect();
        json!({
            "requests": self.requests, "rows": self.rows, "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight, "abandoned": self.abandoned,
            "connections": self.connections, "open": self.open, "statuses": statuses, "faults": self.faults,
            "keys": self.keys.len(), "repeated_keys": self.keys.values().filter(|n| **n > 1).count(),
            "seconds": self.seconds, "began_ms": self.began_ms,
            "late_us_mean": self.late.mean_us, "late_us_max": self.late.max_us,
        })
    }
}

fn numbers(n: usize) -> Box<[AtomicU64]> {
    (0..n).map(|_| AtomicU64::new(0)).collect()
}

impl Counters {
    pub(super) fn new(keys_wanted: bool) -> Self {
        Self {
            since: Instant::now(),
            began: SystemTime::now(),
            keys_wanted,
            requests: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            max_in_flight: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            open: AtomicU64::new(0),
            late: Default::default(),
            statuses: numbers(STATUSES),
            seconds: numbers(SECONDS),
            named: Mutex::default(),
        }
    }

    fn second(&self, now: Instant) -> usize {
        usize::try_from(now.saturating_duration_since(self.since).as_secs()).unwrap_or(SECONDS).min(SECONDS - 1)
    }

    /// A request came; it is in flight until the guard goes.
    pub(super) fn arrived(&self, now: Instant) -> InFlight<'_> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        self.seconds[self.second(now)].fetch_add(1, Ordering::Relaxed);
        let in_flight = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.max_in_flight.fetch_max(in_flight, Ordering::SeqCst);
        InFlight { counters: self, answered: false }
    }

    pub(super) fn rows(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Ordering::SeqCst);
    }

    pub(super) fn key(&self, key: Option<&str>) {
        if let Some(key) = key.filter(|_| self.keys_wanted) {
            *self.named().keys.entry(key.to_owned()).or_default() += 1;
        }
    }

    pub(super) fn fault(&self, name: &'static str) {
        *self.named().faults.entry(name).or_default() += 1;
    }

    pub(super) fn late(&self, by: Duration) {
        let ns = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.late[0].fetch_add(1, Ordering::Relaxed);
        self.late[1].fetch_add(ns, Ordering::Relaxed);
        self.late[2].fetch_max(ns, Ordering::Relaxed);
    }

    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::SeqCst);
        self.open.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn disconnected(&self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }

    pub(super) fn counts(&self) -> Counts {
        let get = |number: &AtomicU64| number.load(Ordering::SeqCst);
        let statuses = self.statuses.iter().zip(0..).map(|(n, code)| (code, get(n))).filter(|(_, n)| *n > 0).collect();
        let seconds = self.seconds[..=self.second(Instant::now())].iter().map(get).collect();
        let [late_n, late_ns, late_max] = [0, 1, 2].map(|at| get(&self.late[at]) as f64);
        let named = self.named();
        Counts {
            requests: get(&self.requests),
            rows: get(&self.rows),
            in_flight: get(&self.in_flight),
            max_in_flight: get(&self.max_in_flight),
            abandoned: get(&self.abandoned),
            connections: get(&self.connections),
            open: get(&self.open),
            statuses,
            faults: named.faults.clone(),
            keys: named.keys.clone(),
            seconds,
            began_ms: self
                .began
                .duration_since(UNIX_EPOCH)
                .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
            late: Late { mean_us: late_ns / late_n.max(1.0) / 1_000.0, max_us: late_max / 1_000.0 },
        }
    }

    fn named(&self) -> std::sync::MutexGuard<'_, Named> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in flight.
pub(super) struct InFlight<'a> {
    counters: &'a Counters,
    answered: bool,
}

impl InFlight<'_> {
    /// It is answered so; with 0, by nothing that has a status.
    pub(super) fn answered(mut self, status: u16) {
        self.answered = true;
        if let Some(number) = self.counters.statuses.get(usize::from(status)).filter(|_| status > 0) {
            number.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.counters.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.counters.abandoned.fetch_add(u64::from(!self.answered), Ordering::SeqCst);
    }
}
