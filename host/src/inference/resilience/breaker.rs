//! A circuit breaker: after too many failed or slow calls a server is left alone for a while, then
//! tried with a few calls, all of which must succeed before it gets the rest.
//!
//! ```text
//!            failure rate, slow rate or failures in a row
//!   closed ───────────────────────────────────────────────▶ open ◀──────────┐
//!      ▲                                                     │ time is up   │ one probe failed:
//!      │                    all probes succeeded             ▼              │ twice the time
//!      └───────────────────────────────────────────────── half-open ────────┘
//! ```
//!
//! A call that was begun in one state says nothing in the next: its permit carries the generation.

use std::ops::{AddAssign, SubAssign};
use std::time::{Duration, Instant};

use super::outcome::Outcome;
use super::window::Window;
use crate::inference::external::BreakerConfig;

/// The time that it stays open is spread by this share, so that breakers that opened together are
/// not tried together.
const SPREAD: f64 = 0.2;

/// A circuit breaker of one endpoint.
#[derive(Clone, Debug)]
pub struct Breaker {
    config: BreakerConfig,
    state: State,
    /// Counts changes of state.
    generation: u64,
    window: Window<BreakerCounts>,
    /// Failures since the last success.
    in_a_row: u32,
    /// Times that it opened since it was last closed.
    openings: u32,
    opened: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed,
    Open { until: Instant },
    HalfOpen { granted: u32, succeeded: u32, slow: u32 },
}

/// Whether calls are let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// All are.
    Closed,
    /// A few are, on trial.
    HalfOpen,
    /// None is.
    Open,
}

/// Calls within the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BreakerCounts {
    /// Calls that ended.
    pub calls: u32,
    /// Those that failed, overload included.
    pub failed: u32,
    /// Those that took too long.
    pub slow: u32,
}

impl AddAssign for BreakerCounts {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.failed += other.failed;
        self.slow += other.slow;
    }
}

impl SubAssign for BreakerCounts {
    fn sub_assign(&mut self, other: Self) {
        self.calls -= other.calls;
        self.failed -= other.failed;
        self.slow -= other.slow;
    }
}

/// Permission for one call, to be given back with what came of it: a probe that is never settled
/// keeps the breaker half-open.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a permit must be settled"]
pub struct Permit {
    generation: u64,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(config: BreakerConfig, now: Instant) -> Self {
        Self {
            window: Window::new(config.window, now),
            config,
            state: State::Closed,
            generation: 0,
            in_a_row: 0,
            openings: 0,
            opened: 0,
        }
    }

    /// Whether [`Self::acquire`] would let a call through.
    pub fn allows(&self, now: Instant) -> bool {
        match self.state {
            State::Closed => true,
            State::Open { until } => now >= until,
            State::HalfOpen { granted, .. } => granted < self.probes(),
        }
    }

    /// Permission for a call, or none.
    pub fn acquire(&mut self, now: Instant) -> Option<Permit> {
        if let State::Open { until } = self.state
            && now >= until
        {
            self.change(State::HalfOpen { granted: 0, succeeded: 0, slow: 0 });
        }
        let probes = self.probes();
        match &mut self.state {
            State::Closed => {}
            State::HalfOpen { granted, .. } if *granted < probes => *granted += 1,
            State::Open { .. } | State::HalfOpen { .. } => return None,
        }
        Some(Permit { generation: self.generation })
    }

    /// A call has ended after `took`.
    pub fn settle(&mut self, permit: Permit, outcome: Outcome, took: Duration, now: Instant, rng: &mut fastrand::Rng) {
        if permit.generation != self.generation {
            return;
        }
        let failed = match outcome {
            Outcome::Answered | Outcome::Rejected => false,
            Outcome::Failed | Outcome::TimedOut | Outcome::Overloaded { .. } => true,
            Outcome::Cancelled => {
                if let State::HalfOpen { granted, .. } = &mut self.state {
                    *granted = granted.saturating_sub(1);
                }
                return;
            }
        };
        let slow = took > self.config.slow_after;
        let probes = self.probes();
        match &mut self.state {
            State::Closed => {
                let count = BreakerCounts { calls: 1, failed: failed.into(), slow: slow.into() };
                self.window.add(now, count);
                match outcome {
                    // The server is there and says so: no sign that it is gone, none that it is well.
                    Outcome::Overloaded { .. } => {}
                    _ if failed => self.in_a_row += 1,
                    _ => self.in_a_row = 0,
                }
                if self.tripped(now) {
                    self.open(now, rng);
                }
            }
            State::HalfOpen { succeeded, slow: slow_probes, .. } => {
                *slow_probes += u32::from(slow);
                let too_slow = reaches(*slow_probes, probes, self.config.slow_rate);
                if failed || too_slow {
                    self.open(now, rng);
                    return;
                }
                *succeeded += 1;
                if *succeeded >= probes {
                    self.openings = 0;
                    self.change(State::Closed);
                }
            }
            // The generation of a permit is never one of an open state.
            State::Open { .. } => {}
        }
    }

    /// Its state.
    pub fn state(&self, now: Instant) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Open { until } if now < until => BreakerState::Open,
            State::Open { .. } | State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// When the next call may be tried, while it is open.
    pub fn opens_until(&self) -> Option<Instant> {
        match self.state {
            State::Open { until } => Some(until),
            State::Closed | State::HalfOpen { .. } => None,
        }
    }

    /// What is in the window.
    #[cfg(test)]
    pub fn counts(&mut self, now: Instant) -> BreakerCounts {
        self.window.sum(now)
    }

    /// Times that it has opened since the start.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    fn probes(&self) -> u32 {
        self.config.probes.max(1)
    }

    fn tripped(&mut self, now: Instant) -> bool {
        let config = &self.config;
        if config.consecutive > 0 && self.in_a_row >= config.consecutive {
            return true;
        }
        let BreakerCounts { calls, failed, slow } = self.window.sum(now);
        calls >= config.min_calls
            && (reaches(failed, calls, config.failure_rate) || reaches(slow, calls, config.slow_rate))
    }

    fn open(&mut self, now: Instant, rng: &mut fastrand::Rng) {
        let factor = 1_u32.checked_shl(self.openings).unwrap_or(u32::MAX);
        let time = self.config.open_for.saturating_mul(factor).min(self.config.max_open);
        let time = time.mul_f64(1.0 - SPREAD + 2.0 * SPREAD * rng.f64()).min(self.config.max_open);
        self.openings += 1;
        self.opened += 1;
        self.change(State::Open { until: now + time });
    }

    fn change(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
        self.in_a_row = 0;
        self.window.clear();
    }
}

/// Whether `part` of `all` is at least `share`, and not nothing.
fn reaches(part: u32, all: u32, share: f64) -> bool {
    part > 0 && f64::from(part) >= share * f64::from(all) - 1e-9
}

#[cfg(test)]
mod tests;
