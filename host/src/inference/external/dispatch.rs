//! The life of a request: attempts, retries, a second request for a slow one, halves of one that the
//! server refuses; and in the end an answer for each of its rows.
//!
//! All of it runs on the operator's thread. A request is one task that owns its rows from beginning
//! to end; when the task is dropped, they are unanswered, and the epoch has them.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use tokio::sync::Notify;
use tokio::time::{sleep, sleep_until};

use super::ExternalConfig;
use super::answer::{Answer, Prediction, PredictionSource};
use super::batcher::{Batcher, Next};
use super::cache::{Answers, Looked};
use super::endpoints::{Endpoints, Grant};
use super::fallback::{Chain, Given};
use super::log::RequestLog;
use super::rows::{Request, Row};
use super::stats::ExternalStats;
use super::transport::{CallFailure, Fate, Transport};
use crate::inference::http::{ErrorClass, Reply};
use crate::inference::resilience::Outcome;

/// Tells the hub that rows are answered.
pub(super) type Done = Box<dyn Fn(&mut dyn Iterator<Item = u64>)>;

/// What the operator and its requests share.
pub(super) struct Shared<T> {
    pub config: ExternalConfig,
    pub transport: T,
    pub endpoints: RefCell<Endpoints>,
    pub queue: RefCell<Batcher<Row>>,
    pub chain: RefCell<Chain>,
    pub cache: Option<RefCell<Answers>>,
    /// Of rows that the hub has not fetched yet.
    pub answers: RefCell<HashMap<u64, Answer>>,
    pub log: RequestLog,
    pub stats: Arc<ExternalStats>,
    pub done: Done,
    /// Requests in flight.
    pub requests: Cell<usize>,
    /// Requests among them that wait for a slot at an endpoint.
    pub waiting: Cell<usize>,
    /// A call has ended: for requests that wait for a slot.
    pub freed: Notify,
    /// The same for rows that are not sent yet.
    pub look: Notify,
}

/// How a request was answered, or not.
struct Answered {
    reply: Reply,
    source: PredictionSource,
    attempts: u32,
    endpoint: usize,
}

struct Unanswered {
    failure: CallFailure,
    attempts: u32,
}

pub(super) fn now() -> Instant {
    // That of the runtime, which tests can stop.
    tokio::time::Instant::now().into_std()
}

impl<T: Transport + 'static> Shared<T> {
    /// Requests that can be sent at once.
    pub(super) fn slots(&self, now: Instant) -> usize {
        let own = self.config.capacity.saturating_sub(self.requests.get());
        // Those that were sent before come first.
        own.min(self.endpoints.borrow().free(now).saturating_sub(self.waiting.get()))
    }

    /// Whether rows are answered by the chain while no endpoint may be called. Without a chain they
    /// wait, and the sources with them.
    fn falls_back(&self) -> bool {
        !self.config.fallback.is_empty()
    }

    /// Sends what can be sent. Returns when it is worth another look, if nothing else happens.
    pub(super) fn pump(self: &Rc<Self>) -> Option<Instant> {
        loop {
            let now = now();
            self.expire(now);
            let refused = self.endpoints.borrow().refuse(now);
            if refused && self.falls_back() {
                self.refuse_queue();
            }
            let slots = self.slots(now);
            let next = {
                let queue = self.queue.borrow();
                let patience = self.endpoints.borrow().estimate(queue.len());
                let patience = patience.map(|needed| self.config.timeouts.record.saturating_sub(needed));
                queue.next(slots, patience, now)
            };
            let look_again = self.endpoints.borrow().look_again(now);
            match next {
                Next::Send(count) => {
                    let grant = self.endpoints.borrow_mut().begin(None, now);
                    let Some(grant) = grant else { return look_again };
                    self.send(count, grant, now);
                }
                Next::Wait(until) => return Some(look_again.map_or(until, |at| at.min(until))),
                Next::Nothing if self.queue.borrow().len() == 0 => return look_again,
                Next::Nothing => {
                    let expires = self.config.timeouts.queue.zip(self.queue.borrow().oldest()).map(|(t, o)| o + t);
                    return look_again.into_iter().chain(expires).min();
                }
            }
        }
    }

    fn send(self: &Rc<Self>, count: usize, grant: Grant, now: Instant) {
        let mut oldest = now;
        let rows: Vec<Row> = self
            .queue
            .borrow_mut()
            .take(count)
            .map(|(row, since)| {
                oldest = oldest.min(since);
                row
            })
            .collect();
        self.stats.began(rows.len(), now.saturating_duration_since(oldest));
        self.requests.set(self.requests.get() + 1);
        self.stats.requests_in_flight.store(self.requests.get() as u64, Relaxed);
        let shared = Rc::clone(self);
        tokio::task::spawn_local(async move {
            shared.request(rows, grant).await;
            shared.requests.set(shared.requests.get() - 1);
            shared.stats.requests_in_flight.store(shared.requests.get() as u64, Relaxed);
            shared.look.notify_one();
        });
    }

    /// Rows that have waited too long for a request.
    fn expire(&self, now: Instant) {
        let Some(limit) = self.config.timeouts.queue else { return };
        let Some(then) = now.checked_sub(limit) else { return };
        let count = self.queue.borrow().older(then);
        if count > 0 {
            let rows: Vec<Row> = self.queue.borrow_mut().take(count).map(|(row, _)| row).collect();
            let reason = format!("no request could be sent within {limit:?}");
            self.fail(rows, &failure(ErrorClass::QueueTimeout, &reason), 0);
        }
    }

    /// Rows that need not wait for endpoints that may not be called.
    fn refuse_queue(&self) {
        let count = self.queue.borrow().len();
        if count > 0 {
            let rows: Vec<Row> = self.queue.borrow_mut().take(count).map(|(row, _)| row).collect();
            self.fail(rows, &failure(ErrorClass::CircuitOpen, "the circuit breakers of all endpoints are open"), 0);
        }
    }

    /// A request from its first attempt to the answers of its rows.
    async fn request(self: &Rc<Self>, rows: Vec<Row>, grant: Grant) {
        let deadline = now() + self.config.timeouts.record;
        let mut grant = Some(grant);
        // Calls that finding a bad row may cost: two for each halving.
        let mut halvings = 2 * (usize::BITS - rows.len().leading_zeros()) as usize;
        let mut work = vec![rows];
        while let Some(mut rows) = work.pop() {
            let result = self.attempts(&mut rows, grant.take(), deadline).await;
            match result {
                Ok(answered) => self.succeed(rows, answered),
                Err(Unanswered { failure, attempts }) => {
                    let splits = failure.fate == Fate::Permanent && rows.len() > 1 && halvings >= 2;
                    if splits && failure.class != ErrorClass::BadRow {
                        halvings -= 2;
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
    /// leave on the way.
    async fn attempts(
        self: &Rc<Self>,
        rows: &mut Vec<Row>,
        mut grant: Option<Grant>,
        deadline: Instant,
    ) -> Result<Answered, Unanswered> {
        let mut request = Request::of(rows);
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
                        let failure =
                            last.map_or_else(|| failure(class, "no endpoint could be called in time"), |l| l.1);
                        return Err(Unanswered { failure, attempts });
                    }
                },
            };
            let endpoint = granted.endpoint;
            let hedge = if attempts == 0 { self.endpoints.borrow_mut().first(now()) } else { None };
            attempts += 1;
            let (result, hedged) = self.attempt(&request, granted, hedge, deadline).await;
            let failure = match result {
                Ok(reply) => {
                    let source = match (hedged, attempts) {
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
                request = Request::of(rows);
                continue;
            }
            let again = match failure.fate {
                Fate::Permanent => None,
                Fate::RetriableOnce if once => None,
                _ if attempts >= self.config.retry.attempts => None,
                fate => {
                    once |= fate == Fate::RetriableOnce;
                    let after = if let Fate::Overload(after) = fate { after } else { None };
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
    async fn attempt(
        &self,
        request: &Request,
        grant: Grant,
        hedge: Option<Duration>,
        deadline: Instant,
    ) -> (Result<Reply, CallFailure>, bool) {
        match hedge {
            None => (self.call(request, grant, deadline).await, false),
            // Apart, so that a request that is not hedged has no room for two calls.
            Some(after) => Box::pin(self.hedged(request, grant, after, deadline)).await,
        }
    }

    /// One attempt, and a second call beside it when it is slow.
    async fn hedged(
        &self,
        request: &Request,
        grant: Grant,
        after: Duration,
        deadline: Instant,
    ) -> (Result<Reply, CallFailure>, bool) {
        let endpoint = grant.endpoint;
        let mut first = pin!(self.call(request, grant, deadline));
        tokio::select! {
            result = &mut first => return (result, false),
            () = sleep(after) => {}
        }
        let second = self.endpoints.borrow_mut().begin_hedge(endpoint, now());
        let Some(second) = second else { return (first.await, false) };
        self.stats.hedges.fetch_add(1, Relaxed);
        let mut second = pin!(self.call(request, second, deadline));
        tokio::select! {
            result = &mut first => match result {
                Ok(reply) => (Ok(reply), false),
                Err(_) => (second.await, true),
            },
            result = &mut second => match result {
                Ok(reply) => (Ok(reply), true),
                Err(_) => (first.await, false),
            },
        }
    }

    /// One call of one endpoint. What came of it is told to those who judge the endpoint, also when
    /// the call is dropped.
    async fn call(&self, request: &Request, grant: Grant, deadline: Instant) -> Result<Reply, CallFailure> {
        let within = self.config.timeouts.attempt.min(deadline.saturating_duration_since(now()));
        let mut ended =
            Ended { shared: self, grant: Some(grant), rows: request.rows, outcome: (Outcome::Cancelled, None) };
        let endpoint = ended.grant.as_ref().map_or(0, |g| g.endpoint);
        let result = match tokio::time::timeout(within, self.transport.call(endpoint, request, within)).await {
            Ok(result) => result,
            Err(_) => Err(CallFailure {
                fate: Fate::Retriable,
                ..failure(ErrorClass::Timeout, &format!("no answer within {within:?}"))
            }),
        };
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
            self.fail(vec![row], &self::failure(ErrorClass::BadRow, &reason), 0);
        }
    }

    /// The model answered.
    fn succeed(&self, rows: Vec<Row>, answered: Answered) {
        let Answered { reply, source, attempts, endpoint } = answered;
        let (outputs, version) = (Rc::new(reply.outputs), reply.model_version.map(|v| Rc::from(&*v)));
        let now = now();
        let mut resolved = Vec::with_capacity(rows.len());
        for (place, row) in rows.into_iter().enumerate() {
            let prediction = Prediction::Of(Rc::clone(&outputs), place as u32);
            if let Some(value) = prediction.numbers().and_then(|n| n.iter().find(|v| !v.is_finite())) {
                let reason = format!("the model's prediction is {value}, not a finite number");
                self.fail(vec![row], &failure(ErrorClass::BadReply, &reason), attempts);
                continue;
            }
            let latency = now.saturating_duration_since(row.of.at);
            let answer = |prediction, source| {
                let (error, model) = (None, None);
                Answer { prediction, source: Ok(source), error, version: version.clone(), model, attempts, latency }
            };
            self.chain.borrow().remember(&row, &prediction, version.as_ref());
            self.log.request(&row, &prediction, version.as_deref(), source, latency, endpoint);
            let waited = self.cache.as_ref().map(|c| c.borrow_mut().answered(&row, &prediction, version.as_ref()));
            for waited in waited.into_iter().flatten() {
                resolved.push((waited, answer(prediction.clone(), PredictionSource::Cache)));
            }
            resolved.push((row, answer(prediction, source)));
        }
        self.resolve(resolved);
    }

    /// The model did not: the chain answers, or the row is rejected.
    pub(super) fn fail(&self, rows: Vec<Row>, failure: &CallFailure, attempts: u32) {
        let now = now();
        let mut resolved = Vec::with_capacity(rows.len());
        for row in rows {
            let waited = self.cache.as_ref().map(|c| c.borrow_mut().failed(&row));
            for row in waited.into_iter().flatten().chain([row]) {
                let answer = self.instead(&row, failure, attempts, now);
                resolved.push((row, answer));
            }
        }
        self.resolve(resolved);
    }

    fn instead(&self, row: &Row, failure: &CallFailure, attempts: u32, now: Instant) -> Answer {
        let latency = now.saturating_duration_since(row.of.at);
        let error = Some(failure.class);
        match self.chain.borrow_mut().answer(row) {
            Some(Given { prediction, source, version, model }) => {
                Answer { prediction, source: Ok(source), error, version, model, attempts, latency }
            }
            None => {
                let plural = if attempts == 1 { "" } else { "s" };
                let reason = format!(
                    "model `{}` gave no prediction: {} after {attempts} attempt{plural}: {}",
                    self.config.model, failure.class, failure.reason
                );
                Answer { attempts, latency, ..Answer::rejected(&reason, error) }
            }
        }
    }

    /// Rows are answered: the end of their way through the operator.
    pub(super) fn resolve(&self, rows: Vec<(Row, Answer)>) {
        if rows.is_empty() {
            return;
        }
        let mut answers = self.answers.borrow_mut();
        let mut ids = Vec::with_capacity(rows.len());
        self.count(rows.iter().map(|(_, answer)| answer));
        for (row, answer) in rows {
            ids.push(row.id);
            answers.insert(row.id, answer);
        }
        drop(answers);
        (self.done)(&mut ids.into_iter());
    }

    pub(super) fn count<'a>(&self, answers: impl Iterator<Item = &'a Answer>) {
        for answer in answers {
            match &answer.source {
                Ok(source) => self.stats.answered(*source, 1),
                Err(_) => drop(self.stats.rejected.fetch_add(1, Relaxed)),
            }
        }
    }

    /// A row to ask for, unless its answer is known.
    pub(super) fn enqueue(&self, row: Row, free: bool, now: Instant) {
        let row = match &self.cache {
            None => row,
            Some(cache) => match cache.borrow_mut().look(row) {
                Looked::Ask(row) => row,
                Looked::Waits => return,
                Looked::Known(row, prediction, version) => {
                    let (source, latency) = (Ok(PredictionSource::Cache), now.saturating_duration_since(row.of.at));
                    let answer = Answer { prediction, source, error: None, version, model: None, attempts: 0, latency };
                    return self.resolve(vec![(row, answer)]);
                }
            },
        };
        self.queue.borrow_mut().push(row, free, now);
    }
}

fn failure(class: ErrorClass, reason: &str) -> CallFailure {
    CallFailure { class, fate: Fate::Permanent, reason: reason.to_owned(), bad_rows: Vec::new() }
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
