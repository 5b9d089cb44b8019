//! The endpoints of an operator and what is thought of each: one breaker, one limit and one place in
//! the balance an endpoint, for all rows of the process.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::ExternalConfig;
use super::stats::ExternalStats;
use crate::inference::http::ErrorClass;
use crate::inference::resilience::{
    Backoff, Balancer, Breaker, BreakerState, Hedge, Limiter, Outcome, Permit, RetryBudget, ServiceTime,
};

pub(super) struct Endpoints {
    operator: String,
    breakers: Vec<Breaker>,
    limiters: Vec<Limiter>,
    balancer: Balancer,
    budget: RetryBudget,
    backoff: Backoff,
    hedge: Option<Hedge>,
    service: ServiceTime,
    rng: fastrand::Rng,
    stats: Arc<ExternalStats>,
}

/// Permission for one call of an endpoint. It is settled by [`Endpoints::end`].
#[derive(Debug)]
pub(super) struct Grant {
    pub endpoint: usize,
    pub began: Instant,
    permit: Permit,
}

impl Endpoints {
    pub(super) fn new(config: &ExternalConfig, stats: Arc<ExternalStats>, seed: u64, now: Instant) -> Self {
        let endpoints = stats.endpoints.len();
        let mut concurrency = config.concurrency;
        concurrency.max = concurrency.max.min(config.capacity).max(1);
        let this = Self {
            operator: config.name.clone(),
            breakers: (0..endpoints).map(|_| Breaker::new(config.breaker, now)).collect(),
            limiters: (0..endpoints).map(|_| Limiter::new(concurrency, now)).collect(),
            balancer: Balancer::new(endpoints, now),
            budget: RetryBudget::new(config.retry.budget, config.retry.budget_floor, now),
            backoff: Backoff::new(config.retry.base, config.retry.max),
            hedge: config.hedge.and_then(|hedge| Hedge::new(hedge, now)),
            service: ServiceTime::default(),
            rng: fastrand::Rng::with_seed(seed),
            stats,
        };
        (0..endpoints).for_each(|endpoint| this.show(endpoint, now));
        this
    }

    /// Calls that could begin at once.
    pub(super) fn free(&self, now: Instant) -> usize {
        let room = |(endpoint, (breaker, limiter)): (usize, (&Breaker, &Limiter))| {
            match breaker.allows(now) && !self.balancer.is_paused(endpoint, now) {
                false => 0,
                // Probes are few; another look is taken when one is back.
                true if breaker.state(now) != BreakerState::Closed => usize::from(limiter.has_room()),
                true => limiter.limit().saturating_sub(limiter.in_flight()),
            }
        };
        self.breakers.iter().zip(&self.limiters).enumerate().map(room).sum()
    }

    /// Whether no endpoint may be called: its breaker lets nothing through, or it asked to be left alone.
    pub(super) fn refuse(&self, now: Instant) -> bool {
        !self.breakers.iter().enumerate().any(|(e, b)| b.allows(now) && !self.balancer.is_paused(e, now))
    }

    /// When it is worth another look, if nothing else happens: a breaker or a pause ends.
    pub(super) fn look_again(&self, now: Instant) -> Option<Instant> {
        let opens = self.breakers.iter().filter_map(Breaker::opens_until).filter(|&at| at > now);
        opens.chain(self.balancer.paused_until(now)).min()
    }

    /// Begins a call of an endpoint that takes one, of another than `not` if there is any.
    pub(super) fn begin(&mut self, not: Option<usize>, now: Instant) -> Option<Grant> {
        let (breakers, limiters) = (&self.breakers, &self.limiters);
        let available = |e: usize| breakers[e].allows(now) && limiters[e].has_room();
        // One that may be well again is tried before those that are: no choice would fall on it. The
        // few calls of a trial are tried again elsewhere when it is not.
        let on_trial = |e: usize| breakers[e].state(now) == BreakerState::HalfOpen && !self.balancer.is_paused(e, now);
        let trial = |e: &usize| on_trial(*e) && available(*e);
        let trial = (0..breakers.len()).filter(|e| Some(*e) != not).find(trial);
        let endpoint = match trial {
            Some(endpoint) => endpoint,
            None => self.balancer.pick(now, available, not, &mut self.rng)?,
        };
        self.grant(endpoint, now)
    }

    fn grant(&mut self, endpoint: usize, now: Instant) -> Option<Grant> {
        let permit = self.breakers[endpoint].acquire(now)?;
        self.limiters[endpoint].begin();
        self.balancer.begin(endpoint);
        self.stats.endpoints[endpoint].requests.fetch_add(1, Relaxed);
        self.show(endpoint, now);
        Some(Grant { endpoint, began: now, permit })
    }

    /// A call of `rows` rows has ended.
    pub(super) fn end(&mut self, grant: Grant, rows: usize, outcome: Outcome, class: Option<ErrorClass>, now: Instant) {
        let Grant { endpoint, began, permit } = grant;
        let took = now.saturating_duration_since(began);
        let before = self.breakers[endpoint].state(now);
        self.breakers[endpoint].settle(permit, outcome, took, now, &mut self.rng);
        let after = self.breakers[endpoint].state(now);
        let normal = self.service.normalise(rows, took);
        self.limiters[endpoint].end(outcome, took, normal, now);
        self.balancer.end(endpoint, outcome, normal, now);
        if (before, after) == (BreakerState::HalfOpen, BreakerState::Closed) {
            self.balancer.recovered(endpoint);
        }
        if before != after {
            self.tell(endpoint, after, class, now);
        }
        if outcome == Outcome::Answered {
            self.service.record(rows, took);
            if let Some(hedge) = &mut self.hedge {
                hedge.record(took, now);
            }
        }
        match (outcome, class) {
            (Outcome::Cancelled, _) => {}
            (_, Some(class)) => self.stats.endpoints[endpoint].ended(Err(class), took),
            (_, None) => self.stats.endpoints[endpoint].ended(Ok(()), took),
        }
        self.show(endpoint, now);
    }

    /// A request is sent for the first time: after how long to send it once more elsewhere.
    pub(super) fn first(&mut self, now: Instant) -> Option<Duration> {
        self.budget.deposit(now);
        self.hedge.as_mut().and_then(|hedge| hedge.begin(now))
    }

    /// A second call for a slow one at `slow`, of another endpoint that is well.
    pub(super) fn begin_hedge(&mut self, slow: usize, now: Instant) -> Option<Grant> {
        let (breakers, limiters) = (&self.breakers, &self.limiters);
        let available =
            |e: usize| e != slow && breakers[e].state(now) == BreakerState::Closed && limiters[e].has_room();
        let endpoint = self.balancer.pick(now, available, Some(slow), &mut self.rng)?;
        if !self.hedge.as_mut().is_some_and(Hedge::take) {
            return None;
        }
        self.grant(endpoint, now)
    }

    /// How long to wait before retry number `retry` (the first is 0); none when it is not to be made.
    pub(super) fn retry(
        &mut self,
        retry: u32,
        after: Option<Duration>,
        remaining: Duration,
        now: Instant,
    ) -> Option<Duration> {
        // Another endpoint need not be spared for the one that asked to be.
        let after = after.filter(|_| self.breakers.len() == 1);
        let wait = self.backoff.wait(retry, after, remaining, &mut self.rng)?;
        self.withdraw(1, now).then_some(wait)
    }

    /// Whether `calls` may be sent because others failed; if so they are counted among the retries.
    pub(super) fn withdraw(&mut self, calls: u64, now: Instant) -> bool {
        let allowed = self.budget.withdraw(calls, now);
        if !allowed {
            self.stats.retries_refused.fetch_add(calls, Relaxed);
        }
        allowed
    }

    /// How long a request of `rows` rows will take.
    pub(super) fn estimate(&self, rows: usize) -> Option<Duration> {
        self.service.estimate(rows)
    }

    /// A breaker has changed, which is seldom: it stays open for a while.
    fn tell(&self, endpoint: usize, state: BreakerState, class: Option<ErrorClass>, now: Instant) {
        let (operator, name) = (self.operator.as_str(), self.stats.endpoints[endpoint].name());
        match state {
            BreakerState::Open => {
                let until = self.breakers[endpoint].opens_until();
                let open_for = until.map(|until| until.saturating_duration_since(now)).unwrap_or_default();
                let class = class.map_or("slow", ErrorClass::as_str);
                tracing::warn!(operator, endpoint = name, class, ?open_for, "circuit breaker opened");
            }
            BreakerState::Closed => tracing::info!(operator, endpoint = name, "circuit breaker closed"),
            BreakerState::HalfOpen => {}
        }
    }

    fn show(&self, endpoint: usize, now: Instant) {
        let (breaker, limiter) = (&self.breakers[endpoint], &self.limiters[endpoint]);
        let (in_flight, limit) = (limiter.in_flight(), limiter.limit());
        self.stats.endpoints[endpoint].shows(in_flight, limit, breaker.state(now), breaker.opened());
    }

    /// What is shown of breakers whose time has passed.
    pub(super) fn refresh(&self, now: Instant) {
        (0..self.breakers.len()).for_each(|endpoint| self.show(endpoint, now));
    }
}
