//! What a model server does: how long it takes, and what goes wrong with which requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a server does from now on. The default answers everything, at once and rightly.
#[derive(Clone, Debug)]
pub struct Script {
    /// From the whole request to the reply.
    pub latency: Latency,
    /// Looked at in order for each prediction; the first that strikes decides.
    pub rules: Vec<Rule>,
    /// As many requests at a time as it bears; none is without limit.
    pub overload: Option<Overload>,
    /// A request with a row whose first feature is this is answered 400.
    pub poison: Option<f32>,
    /// A request with a row whose first feature is this takes so long.
    pub slow_row: Option<(f32, Duration)>,
    /// Numbers a prediction has.
    pub outputs: usize,
    /// Version that replies name, where the request names none and the protocol has a place for it.
    pub version: String,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            latency: Latency::default(),
            rules: Vec::new(),
            overload: None,
            poison: None,
            slow_row: None,
            outputs: 1,
            version: "1".to_owned(),
        }
    }
}

impl Script {
    /// Answers rightly after this time.
    pub fn delay(delay: Duration) -> Self {
        Self { latency: Latency::fixed(delay), ..Self::default() }
    }

    /// The same with one more rule.
    #[must_use]
    pub fn rule(mut self, rule: &Rule) -> Self {
        self.rules.push(rule.clone());
        self
    }
}

/// How long requests take.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
    /// At least.
    pub base: Duration,
    /// What is added, uniformly between nothing and this.
    pub spread: Duration,
    /// This share of the requests takes this long instead.
    pub tail: Option<(f64, Duration)>,
}

impl Latency {
    /// Always the same.
    pub fn fixed(base: Duration) -> Self {
        Self { base, ..Self::default() }
    }

    /// Anything between two.
    pub fn uniform(from: Duration, to: Duration) -> Self {
        Self { base: from, spread: to.saturating_sub(from), tail: None }
    }

    /// The same, but `share` of the requests takes `slow`.
    #[must_use]
    pub fn tail(self, share: f64, slow: Duration) -> Self {
        Self { tail: Some((share, slow)), ..self }
    }

    /// That of one request, from two random numbers of [0, 1).
    pub(super) fn of(self, random: [f64; 2]) -> Duration {
        match self.tail {
            Some((share, slow)) if random[0] < share => slow,
            _ => self.base + self.spread.mul_f64(random[1]),
        }
    }
}

/// Workers and a queue: more requests at a time wait for each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overload {
    /// Requests at work at a time; each takes the script's latency.
    pub workers: usize,
    /// Requests that may wait; one more is answered 503 at once.
    pub queue: usize,
    /// Added to the time of a request for each of its rows.
    pub row: Duration,
}

/// What may go wrong with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// This status, with an error body as the protocol has it, and `Retry-After`.
    Status(u16, Option<String>),
    /// The connection is reset (RST) before a byte of the reply.
    ResetBeforeHead,
    /// The head and half of the body, then RST.
    ResetAfterHead,
    /// The connection is closed (FIN) before a byte of the reply.
    CloseBeforeHead,
    /// The head and half of the body, then FIN.
    CloseAfterHead,
    /// A whole reply of half the JSON (or tensor).
    Truncated,
    /// A whole reply that is no JSON.
    Malformed,
    /// One prediction less than there are rows.
    FewerRows,
    /// One number more than each prediction has.
    Wider,
    /// Text where numbers are expected, or a number where text is.
    OtherType,
    /// A shape that does not fit the data, or an index that does not exist.
    ShapeMismatch,
    /// No reply, ever; the connection stays open.
    Stall,
    /// The head and half of the body, and then nothing; the connection stays open.
    StallInBody,
    /// The connection's bytes one at a time, with so much time between two, the head's too.
    Drip(Duration),
    /// So many bytes of white space, its length in the head or not.
    Huge(u64, bool),
    /// The reply is right, and the connection says goodbye: GOAWAY, or `Connection: close`.
    GoAway,
    /// A redirect to this place.
    Redirect(String),
    /// `finish_reason` is `length` (chat only; elsewhere the reply is right).
    Unfinished,
}

impl Fault {
    /// Name under which it is counted.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Status(..) => "status",
            Self::ResetBeforeHead => "reset-before-head",
            Self::ResetAfterHead => "reset-after-head",
            Self::CloseBeforeHead => "close-before-head",
            Self::CloseAfterHead => "close-after-head",
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
            Self::FewerRows => "fewer-rows",
            Self::Wider => "wider",
            Self::OtherType => "other-type",
            Self::ShapeMismatch => "shape-mismatch",
            Self::Stall => "stall",
            Self::StallInBody => "stall-in-body",
            Self::Drip(_) => "drip",
            Self::Huge(..) => "huge",
            Self::GoAway => "goaway",
            Self::Redirect(_) => "redirect",
            Self::Unfinished => "unfinished",
        }
    }
}

/// Which requests a fault hits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum When {
    Always,
    Share(f64),
    Nth(u64),
    First(u64),
    Flapping { up: Duration, down: Duration },
}

/// A fault and the requests that it hits. Its clones count together.
#[derive(Clone, Debug)]
pub struct Rule {
    pub(super) fault: Fault,
    pub(super) when: When,
    pub(super) at_once: bool,
    seen: Arc<AtomicU64>,
    hits: Arc<AtomicU64>,
    since: Instant,
}

impl Rule {
    pub(super) fn new(fault: Fault, when: When) -> Self {
        Self { fault, when, at_once: false, seen: Arc::default(), hits: Arc::default(), since: Instant::now() }
    }

    /// Each request.
    pub fn always(fault: Fault) -> Self {
        Self::new(fault, When::Always)
    }

    /// This share of the requests.
    pub fn share(fault: Fault, share: f64) -> Self {
        Self::new(fault, When::Share(share))
    }

    /// The n-th request from now, counted from 1, and no other.
    pub fn nth(fault: Fault, n: u64) -> Self {
        Self::new(fault, When::Nth(n))
    }

    /// The first n requests from now.
    pub fn first(fault: Fault, n: u64) -> Self {
        Self::new(fault, When::First(n))
    }

    /// Nothing for `up`, each request for `down`, and so on.
    pub fn flapping(fault: Fault, up: Duration, down: Duration) -> Self {
        Self::new(fault, When::Flapping { up, down })
    }

    /// It happens without the script's latency before it, as a server refuses what it has no room for.
    #[must_use]
    pub fn at_once(mut self) -> Self {
        self.at_once = true;
        self
    }

    /// How often it struck.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::SeqCst)
    }

    /// Whether it strikes this request, with a random number of [0, 1).
    pub(super) fn strikes(&self, now: Instant, random: f64) -> bool {
        let number = self.seen.fetch_add(1, Ordering::SeqCst) + 1;
        let strikes = match self.when {
            When::Always => true,
            When::Share(share) => random < share,
            When::Nth(n) => number == n,
            When::First(n) => number <= n,
            When::Flapping { up, down } => {
                let period = (up + down).as_nanos().max(1);
                now.saturating_duration_since(self.since).as_nanos() % period >= up.as_nanos()
            }
        };
        self.hits.fetch_add(u64::from(strikes), Ordering::SeqCst);
        strikes
    }
}
