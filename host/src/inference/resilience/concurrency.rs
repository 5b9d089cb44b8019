//! How many calls may be in flight at an endpoint, found out by trying: more while answers stay as
//! fast as they were, fewer when they become slow or the server says that it is too much.
//!
//! Once in the time of an answer (its mean), the answers of that time are compared with those before:
//!
//! | what was seen | limit |
//! | --- | --- |
//! | overload, or more than a tenth of the calls timed out | times 0.9 |
//! | answers slower than mean + 2.5 deviations | times 0.9, down to 0.5 the slower they are |
//! | the limit was reached, nothing of the above ever seen | doubled |
//! | the limit was reached, answers not slower than the mean, nor much slower than the fastest | plus a step: 1, then twice the one before, up to an eighth of the limit |
//!
//! The mean alone would follow a queue that we build up ourselves, a little more each time. So answers
//! are compared with the fastest of the last while, too. When they are much slower, an experiment tells
//! why: the limit is halved for a moment (a *dip*). If that makes answers faster, the rest of their time
//! was our own queue, and the limit comes down by as much; if not, the server is as it is.

use std::time::{Duration, Instant};

use super::fastest::Fastest;
use super::latency::{Answers, Usual};
use super::outcome::Outcome;
use crate::inference::external::ConcurrencyConfig;

/// Calls that are compared at least, however long they take: fewer tell more of chance than of the server.
const MIN_CALLS: u32 = 5;
/// Answers are never slow within this share of the mean, however little they deviated before.
const NOISE: f64 = 0.1;
/// The same while the limit doubles: twice the calls that the server can work on take twice as long.
const NOISE_RISING: f64 = 0.5;
/// Answers are as fast as the mean up to this many times it.
const SAME: f64 = 1.01;
/// The limit is not raised while answers take this many times the fastest: a third of that is waiting.
const QUEUEING: f64 = 1.5;
/// The fastest answer is measured anew, each time that an old one is forgotten, while answers take this
/// many times as long. A limit that came down leaves this much for a queue.
const DOUBTFUL: f64 = 1.25;
/// Dips are this many answers apart at least: three of them are one.
const BETWEEN_DIPS: u32 = 10;
/// The limit times this when the server is overloaded.
const DECREASE: f64 = 0.9;
/// The limit times this at worst when answers are slow.
const LEAST_DECREASE: f64 = 0.5;
/// A step up is at most this part of the limit.
const STEP: usize = 8;

/// A limit of calls in flight.
#[derive(Clone, Debug)]
pub struct Limiter {
    adaptive: bool,
    min: usize,
    max: usize,
    limit: usize,
    in_flight: usize,
    usual: Option<Usual>,
    seen: Seen,
    /// When the next comparison is due; none before the first answer.
    next: Option<Instant>,
    /// When the limit last came down.
    lowered: Option<Instant>,
    /// Size of the next step up.
    step: usize,
    /// Whether the limit doubles: it was never lowered.
    rising: bool,
    fastest: Fastest,
    dip: Option<Dip>,
    /// When the next dip may begin.
    next_dip: Instant,
}

/// What was seen since the last comparison.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    answers: Answers,
    overloads: u32,
    timeouts: u32,
    reached: bool,
}

/// A moment with half the limit.
#[derive(Clone, Copy, Debug)]
struct Dip {
    /// The limit before.
    limit: usize,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Calls that began before end.
    Drains,
    /// Calls that began within are measured.
    Measures,
    /// The limit is what it was; calls that began within end.
    Fills,
}

impl Limiter {
    /// A limit within `min` and `max`; it starts at `initial`.
    pub fn new(config: ConcurrencyConfig, now: Instant) -> Self {
        let (min, max) = (config.min.max(1), config.max.max(config.min).max(1));
        Self {
            adaptive: config.adaptive,
            min,
            max,
            limit: if config.adaptive { config.initial.clamp(min, max) } else { max },
            in_flight: 0,
            usual: None,
            seen: Seen::default(),
            next: None,
            lowered: None,
            step: 1,
            rising: true,
            fastest: Fastest::new(now),
            dip: None,
            next_dip: now,
        }
    }

    /// Whether another call may begin.
    pub fn has_room(&self) -> bool {
        self.in_flight < self.limit
    }

    /// Calls that may be in flight.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Calls that are. A limit that has just come down is exceeded by those that began before.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// A call begins.
    pub fn begin(&mut self) {
        self.in_flight += 1;
        self.seen.reached |= self.in_flight >= self.limit;
    }

    /// A call has ended after `took`; `corrected` is that time corrected for the size of the request
    /// ([`super::ServiceTime::normalise`]).
    pub fn end(&mut self, outcome: Outcome, took: Duration, corrected: Duration, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if !self.adaptive {
            return;
        }
        let next = *self.next.get_or_insert(now + took);
        let Seen { answers, overloads, timeouts, .. } = self.seen;
        if now >= next && (answers.count + timeouts >= MIN_CALLS || overloads > 0) {
            self.compare(now);
            let answer = self.usual.map_or(took.as_secs_f64(), |usual| usual.mean);
            self.next = Some(now + Duration::try_from_secs_f64(answer).unwrap_or_default());
            self.seen = Seen::default();
        }
        // A call that began under a higher limit says nothing about this one.
        if self.lowered.is_some_and(|at| now.saturating_duration_since(at) < took) {
            return;
        }
        match outcome {
            Outcome::Answered => self.answered(corrected.as_secs_f64()),
            Outcome::Overloaded { .. } => self.seen.overloads += 1,
            Outcome::TimedOut if self.is_slow(corrected) => self.seen.timeouts += 1,
            // A fault, a refusal or a call that we gave up says nothing about how much is too much.
            _ => {}
        }
    }

    /// Whether this is longer than answers take: a call that was given less time says nothing.
    fn is_slow(&self, took: Duration) -> bool {
        let mut alone = Answers::default();
        alone.add(took.as_secs_f64());
        self.usual.is_none_or(|usual| usual.slowness(&alone, NOISE) >= 1.0)
    }

    fn answered(&mut self, seconds: f64) {
        self.seen.answers.add(seconds);
        let measured = self.fastest.record(seconds);
        if let (Some(dip), Some(measured), Some(usual)) = (&mut self.dip, measured, self.usual)
            && dip.phase == Phase::Measures
        {
            dip.phase = Phase::Fills;
            let factor = (DOUBTFUL * measured / usual.mean).clamp(LEAST_DECREASE, 1.0);
            self.limit = ((dip.limit as f64 * factor) as usize).max(self.min);
            self.fastest.set(measured);
        }
    }

    fn compare(&mut self, now: Instant) {
        let Seen { answers, overloads, timeouts, reached } = self.seen;
        let noise = if self.rising { NOISE_RISING } else { NOISE };
        let slowness = self.usual.map_or(0.0, |usual| usual.slowness(&answers, noise));
        let slow = slowness >= 1.0;
        if slow || overloads > 0 || timeouts * 10 > answers.count + timeouts {
            let factor = if slow { (1.0 / slowness).clamp(LEAST_DECREASE, DECREASE) } else { DECREASE };
            self.limit = ((self.limit as f64 * factor) as usize).max(self.min);
            (self.step, self.rising, self.dip, self.lowered) = (1, false, None, Some(now));
        } else if self.dip.is_some() {
            self.dip_goes_on();
            return;
        } else if reached {
            self.raise();
        }
        match &mut self.usual {
            Some(usual) => usual.update(&answers, slow),
            None => self.usual = Usual::new(&answers),
        }
        let forgotten = self.fastest.turn(now);
        let doubtful = self.exceeds(QUEUEING) || forgotten && self.exceeds(DOUBTFUL);
        if doubtful && reached && !slow && now >= self.next_dip {
            self.dip = Some(Dip { limit: self.limit, phase: Phase::Drains });
            self.limit = (self.limit / 2).max(self.min);
            let answer = self.usual.map_or(0.0, |usual| usual.mean);
            self.next_dip = now + Duration::try_from_secs_f64(answer).unwrap_or_default() * BETWEEN_DIPS;
        }
    }

    fn raise(&mut self) {
        let usual = self.usual.map_or(f64::INFINITY, |usual| usual.mean);
        if self.rising {
            self.limit = self.limit.saturating_mul(2);
            self.rising = self.limit < self.max;
        } else if self.seen.answers.mean().is_some_and(|mean| mean <= SAME * usual) && !self.exceeds(QUEUEING) {
            self.limit += self.step;
            self.step = (self.step * 2).min(self.limit / STEP).max(1);
        }
        self.limit = self.limit.min(self.max);
    }

    fn dip_goes_on(&mut self) {
        let Some(dip) = &mut self.dip else { return };
        match dip.phase {
            Phase::Drains => {
                dip.phase = Phase::Measures;
                self.fastest.restart();
            }
            Phase::Measures => {}
            Phase::Fills => self.dip = None,
        }
    }

    /// Whether answers usually take more than so many times the fastest.
    fn exceeds(&self, times: f64) -> bool {
        let both = self.usual.zip(self.fastest.seconds());
        both.is_some_and(|(usual, fastest)| usual.mean > times * fastest)
    }
}

#[cfg(test)]
mod tests;
