//! The life of a request: attempts, retries, a second request for a slow one, halves of one that the
//! server refuses; and in the end an answer for each of its rows.
//!
//! A request is one task that owns its rows from beginning to end; when the task is dropped, they are
//! unanswered, and the epoch has them.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::time::{sleep, sleep_until};

use super::answer::PredictionSource;
use super::dispatch::{Shared, now};
use super::endpoints::Grant;
use super::rows::{Request, Row};
use super::transport::{CallFailure, Transport};
use crate::inference::http::{ErrorClass, Reply, Verdict};
use crate::inference::resilience::Outcome;

/// How a request was answered, or not.
pub(super) struct Answered {
    pub reply: Reply,
    pub source: PredictionSource,
    pub attempts: u32,
    pub endpoint: usize,
}

struct Unanswered {
    failure: CallFailure,
    attempts: u32,
}

/// What came of an attempt, and of which endpoint.
struct Attempted {
    result: Result<Reply, CallFailure>,
    endpoint: usize,
    /// Whether it was the second call of a slow one.
    hedge: bool,
}

/// Cuts in halves that a request may cost, for each halving that finds one row: enough for four bad
/// rows wherever they are. What is bad beyond that takes its neighbours along.
const CUTS: u32 = 4;

impl<T: Transport + 'static> Shared<T> {
    /// A request from its first attempt to the answers of its rows.
    pub(super) async fn request(self: &Rc<Self>, rows: Vec<Row>, grant: Grant) {
        let deadline = now() + self.config.timeouts.record;
        let mut grant = Some(grant);
        let mut cuts = CUTS * (usize::BITS - rows.len().leading_zeros());
        let mut work = vec![rows];
        while let Some(mut rows) = work.pop() {
            let result = self.attempts(&mut rows, grant.take(), deadline).await;
            match result {
                Ok(answered) => self.succeed(rows, answered),
                Err(Unanswered { failure, attempts }) => {
                    let cut = failure.is_of_rows() && rows.len() > 1 && cuts > 0;
                    // Its two calls are sent because others failed, as retries are.
                    if cut && self.endpoints.borrow_mut().withdraw(2, now()) {
                        cuts -= 1;
                        self.stats.bisections.fetch_add(1, Relaxed);
                        let second = rows.split_off(rows.len() / 2);
                        work.extend([second, rows]);
                    } else {
                        self.fail(rows, &failure, attempts);
                    }
                }
            }
        }
    }

    /// Attempts until one is answered, none is worth another, or time is up. Rows that cannot be sent
    /// leave on the way. With a `grant` the request is new; without one it is half of another.
    async fn attempts(
        self: &Rc<Self>,
        rows: &mut Vec<Row>,
        mut grant: Option<Grant>,
        deadline: Instant,
    ) -> Result<Answered, Unanswered> {
        let mut request = Request::of(rows, self.seed);
        let mut hedge = if grant.is_some() { self.endpoints.borrow_mut().first(now()) } else { None };
        let mut attempts = 0;
        let mut once = false;
        let mut last: Option<(usize, CallFailure)> = None;
        loop {
            let tried = last.as_ref().map(|(endpoint, _)| *endpoint);
            let granted = match grant.take() {
                Some(grant) => grant,
                None => match self.slot(tried, deadline).await {
                    Ok(grant) => grant,
                    Err(class) => {
                        let none = || CallFailure::of(class, Verdict::Permanent, "no endpoint could be called in time");
                        let failure = last.map_or_else(none, |(_, failure)| failure);
                        return Err(Unanswered { failure, attempts });
                    }
                },
            };
            attempts += 1;
            let attempted = self.attempt(&request, granted, hedge.take(), deadline).await;
            let endpoint = attempted.endpoint;
            let failure = match attempted.result {
                Ok(reply) => {
                    let source = match (attempted.hedge, attempts) {
                        (true, _) => PredictionSource::Hedge,
                        (false, 1) => PredictionSource::Primary,
                        (false, _) => PredictionSource::Retry,
                    };
                    return Ok(Answered { reply, source, attempts, endpoint });
                }
                Err(failure) => failure,
            };
            if failure.class == ErrorClass::BadRow && !failure.bad_rows.is_empty() {
                attempts -= 1;
                self.drop_bad(rows, &failure);
                if rows.is_empty() {
                    return Err(Unanswered { failure, attempts });
                }
                request = Request::of(rows, self.seed);
                continue;
            }
            let again = match failure.verdict {
                Verdict::Permanent => None,
                Verdict::RetriableOnce if once => None,
                _ if attempts >= self.config.retry.attempts => None,
                verdict => {
                    once |= verdict == Verdict::RetriableOnce;
                    let after = if let Verdict::Overload { retry_after } = verdict { retry_after } else { None };
                    let (now, retry) = (now(), attempts - 1);
                    let remaining = deadline.saturating_duration_since(now);
                    self.endpoints.borrow_mut().retry(retry, after, remaining, now)
                }
            };
            let Some(wait) = again else { return Err(Unanswered { failure, attempts }) };
            self.stats.retries.fetch_add(1, Relaxed);
            sleep(wait).await;
            last = Some((endpoint, failure));
        }
    }

    /// Waits for an endpoint that takes a call, until the deadline.
    async fn slot(&self, not: Option<usize>, deadline: Instant) -> Result<Grant, ErrorClass> {
        self.waiting.set(self.waiting.get() + 1);
        let waiting = Waits(&self.waiting);
        loop {
            let now = now();
            if let Some(grant) = self.endpoints.borrow_mut().begin(not, now) {
                if waiting.0.get() > 1 {
                    // There may be room for the next, too.
                    self.freed.notify_one();
                }
                return Ok(grant);
            }
            let refused = self.endpoints.borrow().refuse(now);
            if refused && self.falls_back() {
                return Err(ErrorClass::CircuitOpen);
            }
            if now >= deadline {
                return Err(ErrorClass::Deadline);
            }
            let until = self.endpoints.borrow().look_again(now).map_or(deadline, |at| at.min(deadline));
            tokio::select! {
                () = self.freed.notified() => {}
                () = sleep_until(until.into()) => {}
            }
        }
    }

    /// One attempt.
    async fn attempt(&self, request: &Request, grant: Grant, hedge: Option<Duration>, deadline: Instant) -> Attempted {
        let endpoint = grant.endpoint;
        match hedge {
            None => Attempted { result: self.call(request, grant, deadline).await, endpoint, hedge: false },
            // Apart, so that a request that is not hedged has no room for two calls.
            Some(after) => Box::pin(self.hedged(request, grant, after, deadline)).await,
        }
    }

    /// One attempt, and a second call beside it when it is slow.
    async fn hedged(&self, request: &Request, grant: Grant, after: Duration, deadline: Instant) -> Attempted {
        let one = grant.endpoint;
        let mut first = pin!(self.call(request, grant, deadline));
        tokio::select! {
            result = &mut first => return Attempted { result, endpoint: one, hedge: false },
            () = sleep(after) => {}
        }
        let second = self.endpoints.borrow_mut().begin_hedge(one, now());
        let Some(second) = second else { return Attempted { result: first.await, endpoint: one, hedge: false } };
        self.stats.hedges.fetch_add(1, Relaxed);
        let other = second.endpoint;
        let mut second = pin!(self.call(request, second, deadline));
        // The one that is answered; when one fails, the other.
        tokio::select! {
            result = &mut first => match result {
                Ok(_) => Attempted { result, endpoint: one, hedge: false },
                Err(_) => Attempted { result: second.await, endpoint: other, hedge: true },
            },
            result = &mut second => match result {
                Ok(_) => Attempted { result, endpoint: other, hedge: true },
                Err(_) => Attempted { result: first.await, endpoint: one, hedge: false },
            },
        }
    }

    /// One call of one endpoint. What came of it is told to those who judge the endpoint, also when
    /// the call is dropped.
    async fn call(&self, request: &Request, grant: Grant, deadline: Instant) -> Result<Reply, CallFailure> {
        let within = self.config.timeouts.attempt.min(deadline.saturating_duration_since(now()));
        let endpoint = grant.endpoint;
        let (rows, outcome) = (request.rows, (Outcome::Cancelled, None));
        let mut ended = Ended { shared: self, grant: Some(grant), rows, outcome };
        let result = self.transport.call(endpoint, request, within).await;
        ended.outcome = match &result {
            Ok(_) => (Outcome::Answered, None),
            // Cut short by the row's own time: that the answer did not come is not the server's fault.
            Err(f) if f.class == ErrorClass::Timeout && within < self.config.timeouts.attempt / 2 => {
                (Outcome::Cancelled, None)
            }
            Err(failure) => (failure.outcome(), Some(failure.class)),
        };
        drop(ended);
        result
    }

    fn drop_bad(&self, rows: &mut Vec<Row>, failure: &CallFailure) {
        let mut bad = failure.bad_rows.iter().peekable();
        let (mut kept, mut dropped) = (Vec::with_capacity(rows.len()), Vec::new());
        for (place, row) in rows.drain(..).enumerate() {
            match bad.next_if(|b| b.row == place) {
                Some(bad) => dropped.push((row, bad.reason.clone())),
                None => kept.push(row),
            }
        }
        *rows = kept;
        if dropped.is_empty() {
            // A protocol that names rows that are not there would keep us here for ever.
            dropped.extend(rows.drain(..).map(|row| (row, failure.reason.clone())));
        }
        for (row, reason) in dropped {
            self.fail(vec![row], &CallFailure::of(ErrorClass::BadRow, Verdict::Permanent, reason), 0);
        }
    }
}

/// Counts those who wait, also when their request is dropped.
struct Waits<'a>(&'a Cell<usize>);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Settles a call when it ends or is dropped.
struct Ended<'a, T> {
    shared: &'a Shared<T>,
    grant: Option<Grant>,
    rows: usize,
    outcome: (Outcome, Option<ErrorClass>),
}

impl<T> Drop for Ended<'_, T> {
    fn drop(&mut self) {
        if let Some(grant) = self.grant.take() {
            let (outcome, class) = self.outcome;
            self.shared.endpoints.borrow_mut().end(grant, self.rows, outcome, class, now());
            self.shared.freed.notify_one();
            self.shared.look.notify_one();
        }
    }
}
