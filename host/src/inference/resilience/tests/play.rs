//! A client made of the parts, and a server with so many workers whose speed and health follow a
//! script. Everything happens in one queue of events; nothing waits.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use super::super::*;
use crate::inference::external::{BreakerConfig, ConcurrencyConfig, RetryConfig};

pub const MS: Duration = Duration::from_millis(1);
pub const SECOND: Duration = Duration::from_secs(1);

/// How the server is at a time.
#[derive(Clone, Copy)]
pub enum Health {
    /// It needs 50 ms times this for a request.
    Up(f64),
    /// It refuses connections.
    Down,
}

/// What is played.
pub struct Script {
    pub workers: usize,
    /// Share by which answers vary.
    pub noise: f64,
    /// Requests a second.
    pub rate: f64,
    /// By the second.
    pub health: fn(f64) -> Health,
    pub seconds: u64,
    pub breaker: BreakerConfig,
    pub concurrency: ConcurrencyConfig,
    pub retry: RetryConfig,
}

impl Script {
    pub fn new(health: fn(f64) -> Health) -> Self {
        Self {
            workers: 64,
            noise: 0.3,
            rate: 1_000.0,
            health,
            seconds: 60,
            breaker: breaker(),
            concurrency: ConcurrencyConfig { adaptive: true, initial: 10, min: 1, max: 1_000 },
            retry: RetryConfig { attempts: 3, base: 25 * MS, max: SECOND, budget: 0.2, budget_floor: 10.0 },
        }
    }

    /// Without a breaker and retries.
    pub fn limit_only(mut self) -> Self {
        (self.breaker.consecutive, self.breaker.min_calls, self.retry.attempts) = (0, u32::MAX, 1);
        self
    }
}

/// A breaker as it is when the file says nothing, for attempts of 2 s.
pub fn breaker() -> BreakerConfig {
    BreakerConfig {
        window: 10 * SECOND,
        min_calls: 20,
        failure_rate: 0.5,
        slow_rate: 0.8,
        slow_after: 1_600 * MS,
        consecutive: 5,
        open_for: SECOND,
        max_open: 30 * SECOND,
        probes: 3,
    }
}

/// What happened within a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Second {
    pub arrived: u64,
    pub attempts: u64,
    pub answered: u64,
    pub timeouts: u64,
    /// Requests that were not answered by the server.
    pub fallbacks: u64,
    /// At its end.
    pub limit: usize,
    pub in_flight: usize,
    pub open: bool,
}

const TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Request {
    deadline: Instant,
    attempts: u32,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    Retry(Request),
    /// Index of the call.
    End(usize),
}

struct Call {
    request: Request,
    permit: Permit,
    begun: Instant,
    outcome: Outcome,
}

struct Play {
    script: Script,
    start: Instant,
    rng: fastrand::Rng,
    events: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    numbers: u64,
    /// When each worker of the server is free.
    workers: BinaryHeap<Reverse<Instant>>,
    calls: Vec<Option<Call>>,
    waiting: VecDeque<Request>,
    breaker: Breaker,
    limiter: Limiter,
    service: ServiceTime,
    budget: RetryBudget,
    backoff: Backoff,
    seconds: Vec<Second>,
}

/// Plays a script; what happened, second by second.
pub fn play(script: Script) -> Vec<Second> {
    let start = Instant::now();
    let mut play = Play {
        start,
        rng: fastrand::Rng::with_seed(7),
        events: BinaryHeap::new(),
        numbers: 0,
        workers: (0..script.workers).map(|_| Reverse(start)).collect(),
        calls: Vec::new(),
        waiting: VecDeque::new(),
        breaker: Breaker::new(script.breaker, start),
        limiter: Limiter::new(script.concurrency, start),
        service: ServiceTime::default(),
        budget: RetryBudget::new(script.retry.budget, script.retry.budget_floor, start),
        backoff: Backoff::new(script.retry.base, script.retry.max),
        seconds: Vec::new(),
        script,
    };
    play.run();
    play.seconds
}

impl Play {
    fn run(&mut self) {
        let arrivals = (self.script.rate * self.script.seconds as f64) as u64;
        for i in 0..arrivals {
            self.push(self.start + SECOND.mul_f64(i as f64 / self.script.rate), Event::Arrival);
        }
        let mut second = Second::default();
        while let Some(Reverse((now, _, event))) = self.events.pop() {
            while now >= self.start + SECOND * (self.seconds.len() as u32 + 1) {
                second.limit = self.limiter.limit();
                second.in_flight = self.limiter.in_flight();
                second.open = self.breaker.state(now) != BreakerState::Closed;
                self.seconds.push(std::mem::take(&mut second));
            }
            match event {
                Event::Arrival => {
                    second.arrived += 1;
                    self.budget.deposit(now);
                    self.waiting.push_back(Request { deadline: now + TIMEOUT, attempts: 0 });
                }
                Event::Retry(request) => self.waiting.push_back(request),
                Event::End(call) => self.end(call, now, &mut second),
            }
            self.send(now, &mut second);
        }
        self.seconds.push(second);
    }

    fn push(&mut self, at: Instant, event: Event) {
        self.numbers += 1;
        self.events.push(Reverse((at, self.numbers, event)));
    }

    fn send(&mut self, now: Instant, second: &mut Second) {
        while let Some(request) = self.waiting.front().copied() {
            // An attempt makes sense only while it can be answered; some are made whatever the estimate
            // says, or it would never be corrected.
            let needs = (2 * self.service.estimate(1).unwrap_or_default()).min(TIMEOUT / 2);
            let late = now + needs >= request.deadline;
            if !late && self.breaker.allows(now) && !self.limiter.has_room() {
                return;
            }
            self.waiting.pop_front();
            let permit = if late { None } else { self.breaker.acquire(now) };
            let Some(permit) = permit else {
                second.fallbacks += 1;
                continue;
            };
            second.attempts += 1;
            self.limiter.begin();
            let (end, outcome) = self.serve(now, request);
            let request = Request { attempts: request.attempts + 1, ..request };
            self.push(end, Event::End(self.calls.len()));
            self.calls.push(Some(Call { request, permit, begun: now, outcome }));
        }
    }

    fn serve(&mut self, now: Instant, request: Request) -> (Instant, Outcome) {
        let time = match (self.script.health)((now - self.start).as_secs_f64()) {
            Health::Down => return (now + MS, Outcome::Failed),
            Health::Up(times) => 50.0 * times,
        };
        let noise = self.script.noise * (0..4).map(|_| self.rng.f64() - 0.5).sum::<f64>() * 3_f64.sqrt();
        let free = self.workers.pop().map_or(now, |Reverse(free)| free.max(now));
        let end = free + MS.mul_f64(time * (1.0 + noise).max(0.1));
        self.workers.push(Reverse(end));
        if end <= request.deadline { (end, Outcome::Answered) } else { (request.deadline, Outcome::TimedOut) }
    }

    fn end(&mut self, call: usize, now: Instant, second: &mut Second) {
        let Some(Call { request, permit, begun, outcome }) = self.calls[call].take() else { return };
        let took = now - begun;
        self.breaker.settle(permit, outcome, took, now, &mut self.rng);
        self.limiter.end(outcome, took, self.service.normalise(1, took), now);
        match outcome {
            Outcome::Answered => {
                self.service.record(1, took);
                second.answered += 1;
            }
            _ => {
                second.timeouts += u64::from(outcome == Outcome::TimedOut);
                let again = request.attempts < self.script.retry.attempts && self.budget.withdraw(1, now);
                let remaining = request.deadline.saturating_duration_since(now);
                let wait = self.backoff.wait(request.attempts - 1, None, remaining, &mut self.rng);
                match wait.filter(|_| again) {
                    Some(wait) => self.push(now + wait, Event::Retry(request)),
                    None => second.fallbacks += 1,
                }
            }
        }
    }
}
