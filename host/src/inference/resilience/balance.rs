//! Which endpoint gets a call: of two that are drawn at random, the one that would answer first by
//! what is known of it (`time of an answer · calls in flight`). Two choices are nearly as good as the
//! best of all, and unlike it do not send every call to the one that looked best a moment ago.
//!
//! A failure makes an endpoint look slow for a while: one that fails at once would else look fast and
//! get everything. Failures in a row take it out altogether (*ejection*), a `Retry-After` does for the
//! time that the server asked for (*pause*).

use std::time::{Duration, Instant};

use super::backoff::MAX_RETRY_AFTER;
use super::outcome::Outcome;

/// A faster answer takes this long to be believed (to 63 %), and so fades what is not measured again.
const DECAY: Duration = Duration::from_secs(10);
/// How slow a failure makes an endpoint look.
const PENALTY: Duration = Duration::from_secs(5);
/// How long it does so: after one failure, and at most, doubling with each in a row. Behind that a call
/// shows whether it is well again; a penalty that only fades would keep a fast endpoint out for a minute.
const PENALTY_FOR: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));
/// What an answer is taken to need while no endpoint has been measured.
const UNKNOWN: Duration = Duration::from_secs(1);
/// Failures in a row after which an endpoint is taken out.
const EJECT_AFTER: u32 = 5;
/// How long, times the number of ejections so far.
const EJECT_FOR: Duration = Duration::from_secs(30);
/// Longest ejection.
const MAX_EJECTION: Duration = Duration::from_secs(300);

/// Chooses among endpoints, by their index.
#[derive(Clone, Debug)]
pub struct Balancer {
    endpoints: Vec<Endpoint>,
}

#[derive(Clone, Debug)]
struct Endpoint {
    pending: usize,
    /// Time of an answer, in seconds, as it was at `measured`.
    rtt: Option<f64>,
    measured: Instant,
    failed: Option<Instant>,
    in_a_row: u32,
    ejections: u32,
    ejected_until: Option<Instant>,
    paused_until: Option<Instant>,
}

/// What the balancer thinks of an endpoint.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EndpointState {
    /// Calls in flight.
    pub pending: usize,
    /// What an answer is taken to need, failures included; none before the first.
    pub rtt: Option<Duration>,
    /// Whether it is taken out for its failures.
    pub ejected: bool,
    /// Whether it asked to be left alone.
    pub paused: bool,
}

impl Balancer {
    /// One over so many endpoints.
    pub fn new(endpoints: usize, now: Instant) -> Self {
        let endpoint = Endpoint {
            pending: 0,
            rtt: None,
            measured: now,
            failed: None,
            in_a_row: 0,
            ejections: 0,
            ejected_until: None,
            paused_until: None,
        };
        Self { endpoints: vec![endpoint; endpoints] }
    }

    /// The endpoint for the next call, of those that are `available`; none when there is none, or all
    /// of them asked to be left alone. `not` is one that was tried already: it is taken only when no
    /// other is well. Ejected ones are the last resort.
    pub fn pick(
        &self,
        now: Instant,
        available: impl Fn(usize) -> bool,
        not: Option<usize>,
        rng: &mut fastrand::Rng,
    ) -> Option<usize> {
        let open = |i: usize, e: &Endpoint| !e.paused(now) && available(i);
        self.two_choices(now, |i, e| Some(i) != not && !e.ejected(now) && open(i, e), rng)
            .or_else(|| self.two_choices(now, |i, e| !e.ejected(now) && open(i, e), rng))
            .or_else(|| self.two_choices(now, |i, e| Some(i) != not && open(i, e), rng))
            .or_else(|| self.two_choices(now, open, rng))
    }

    /// A call of an endpoint begins.
    pub fn begin(&mut self, endpoint: usize) {
        if let Some(endpoint) = self.endpoints.get_mut(endpoint) {
            endpoint.pending += 1;
        }
    }

    /// A call of an endpoint has ended after `took`.
    pub fn end(&mut self, endpoint: usize, outcome: Outcome, took: Duration, now: Instant) {
        let may_eject = self.may_eject(now);
        let Some(endpoint) = self.endpoints.get_mut(endpoint) else { return };
        endpoint.pending = endpoint.pending.saturating_sub(1);
        match outcome {
            Outcome::Answered => {
                endpoint.observe(took, now);
                endpoint.in_a_row = 0;
            }
            Outcome::Failed | Outcome::TimedOut => {
                endpoint.failed = Some(now);
                endpoint.in_a_row += 1;
                if endpoint.in_a_row >= EJECT_AFTER && may_eject && !endpoint.ejected(now) {
                    endpoint.eject(now);
                }
            }
            Outcome::Overloaded { retry_after } => {
                endpoint.failed = Some(now);
                if let Some(pause) = retry_after {
                    let until = now + pause.min(MAX_RETRY_AFTER);
                    endpoint.paused_until = endpoint.paused_until.max(Some(until));
                }
            }
            // A refusal comes faster than an answer and must not attract calls.
            Outcome::Rejected => {}
            // It took at least as long, which is known only if that is longer than was thought.
            Outcome::Cancelled => {
                if endpoint.measured_at(now).is_some_and(|rtt| took.as_secs_f64() > rtt) {
                    endpoint.observe(took, now);
                }
            }
        }
    }

    /// An endpoint has passed its trial: what it failed before counts no longer.
    pub fn recovered(&mut self, endpoint: usize) {
        if let Some(endpoint) = self.endpoints.get_mut(endpoint) {
            (endpoint.failed, endpoint.in_a_row, endpoint.ejected_until) = (None, 0, None);
        }
    }

    /// What is thought of an endpoint.
    #[cfg(test)]
    pub fn state(&self, endpoint: usize, now: Instant) -> Option<EndpointState> {
        let endpoint = self.endpoints.get(endpoint)?;
        Some(EndpointState {
            pending: endpoint.pending,
            rtt: endpoint.rtt_at(now).map(|rtt| Duration::try_from_secs_f64(rtt).unwrap_or(Duration::MAX)),
            ejected: endpoint.ejected(now),
            paused: endpoint.paused(now),
        })
    }

    /// Whether an endpoint asked to be left alone, and still is.
    pub fn is_paused(&self, endpoint: usize, now: Instant) -> bool {
        self.endpoints.get(endpoint).is_some_and(|endpoint| endpoint.paused(now))
    }

    /// When the first of the endpoints that asked to be left alone may be called again.
    pub fn paused_until(&self, now: Instant) -> Option<Instant> {
        self.endpoints.iter().filter(|e| e.paused(now)).filter_map(|e| e.paused_until).min()
    }

    /// At most half of the endpoints are out, so never all.
    fn may_eject(&self, now: Instant) -> bool {
        let out = self.endpoints.iter().filter(|e| e.ejected(now)).count();
        (out + 1) * 2 <= self.endpoints.len()
    }

    fn two_choices(
        &self,
        now: Instant,
        candidate: impl Fn(usize, &Endpoint) -> bool,
        rng: &mut fastrand::Rng,
    ) -> Option<usize> {
        let candidates = || self.endpoints.iter().enumerate().filter(|(i, e)| candidate(*i, e));
        let count = candidates().count();
        if count == 0 {
            return None;
        }
        let first = rng.usize(..count);
        let (a, one) = candidates().nth(first)?;
        if count == 1 {
            return Some(a);
        }
        // Another one than the first, each as likely.
        let second = (first + 1 + rng.usize(..count - 1)) % count;
        let (b, other) = candidates().nth(second)?;
        // One that was never measured is taken to be as fast as the other.
        let unknown = |e: &Endpoint| e.measured_at(now).unwrap_or(UNKNOWN.as_secs_f64());
        let cost = one.cost(now, unknown(other));
        let other_cost = other.cost(now, unknown(one));
        Some(if other_cost < cost { b } else { a })
    }
}

impl Endpoint {
    fn ejected(&self, now: Instant) -> bool {
        self.ejected_until.is_some_and(|until| now < until)
    }

    fn paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }

    fn cost(&self, now: Instant, unknown: f64) -> f64 {
        self.measured_at(now).unwrap_or(unknown).max(self.penalty_at(now)) * (self.pending + 1) as f64
    }

    /// A slower answer is believed at once, a faster one bit by bit.
    fn observe(&mut self, took: Duration, now: Instant) {
        let took = took.as_secs_f64();
        let rtt = match self.rtt {
            Some(rtt) if took < rtt => took + (rtt - took) * fading(now, self.measured),
            _ => took,
        };
        self.rtt = Some(rtt);
        self.measured = now;
    }

    /// What was measured fades, so that a slow endpoint is tried again.
    fn measured_at(&self, now: Instant) -> Option<f64> {
        self.rtt.map(|rtt| rtt * fading(now, self.measured))
    }

    fn penalty_at(&self, now: Instant) -> f64 {
        let doublings = self.in_a_row.saturating_sub(1).min(8);
        let lasts = PENALTY_FOR.0.saturating_mul(1 << doublings).min(PENALTY_FOR.1);
        let recent = self.failed.filter(|at| now.saturating_duration_since(*at) < lasts);
        recent.map_or(0.0, |at| PENALTY.as_secs_f64() * fading(now, at))
    }

    /// What an answer is taken to need, penalty included.
    #[cfg(test)]
    fn rtt_at(&self, now: Instant) -> Option<f64> {
        let penalty = Some(self.penalty_at(now)).filter(|p| *p > 0.0);
        self.measured_at(now).into_iter().chain(penalty).reduce(f64::max)
    }

    fn eject(&mut self, now: Instant) {
        // Time spent well takes ejections back, one for each time that one lasts at first.
        if let Some(until) = self.ejected_until {
            let well = now.saturating_duration_since(until).as_secs() / EJECT_FOR.as_secs();
            self.ejections = self.ejections.saturating_sub(u32::try_from(well).unwrap_or(u32::MAX));
        }
        self.ejections += 1;
        self.ejected_until = Some(now + EJECT_FOR.saturating_mul(self.ejections).min(MAX_EJECTION));
        self.in_a_row = 0;
    }
}

fn fading(now: Instant, since: Instant) -> f64 {
    (-now.saturating_duration_since(since).as_secs_f64() / DECAY.as_secs_f64()).exp()
}

#[cfg(test)]
mod tests;
