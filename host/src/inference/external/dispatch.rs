//! What the operator and its requests share: the queue, when rows of it are sent, and how rows are
//! answered. All of it runs on the operator's thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use hashbrown::HashMap;
use tokio::sync::Notify;

use super::ExternalConfig;
use super::answer::{Answer, Prediction, PredictionSource};
use super::batcher::{Batcher, Next};
use super::cache::{Answers, Looked};
use super::endpoints::{Endpoints, Grant};
use super::fallback::{Chain, Given};
use super::log::RequestLog;
use super::request::Answered;
use super::rows::Row;
use super::stats::ExternalStats;
use super::transport::{CallFailure, Transport};
use crate::inference::http::{ErrorClass, Verdict};

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
    /// Tells requests of this operator from those of others that send the same rows.
    pub seed: u64,
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
    pub(super) fn falls_back(&self) -> bool {
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
                    let count = self.queue.borrow().alike(count, Row::width);
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
            self.fail(rows, &CallFailure::of(ErrorClass::QueueTimeout, Verdict::Permanent, reason), 0);
        }
    }

    /// Rows that need not wait for endpoints that may not be called.
    fn refuse_queue(&self) {
        let count = self.queue.borrow().len();
        if count > 0 {
            let rows: Vec<Row> = self.queue.borrow_mut().take(count).map(|(row, _)| row).collect();
            let reason = "the circuit breakers of all endpoints are open";
            self.fail(rows, &CallFailure::of(ErrorClass::CircuitOpen, Verdict::Permanent, reason), 0);
        }
    }

    /// The model answered.
    pub(super) fn succeed(&self, rows: Vec<Row>, answered: Answered) {
        let Answered { reply, source, attempts, endpoint } = answered;
        let (outputs, version) = (Arc::new(reply.outputs), reply.model_version.map(Arc::from));
        let now = now();
        let mut resolved = Vec::with_capacity(rows.len());
        for (place, row) in rows.into_iter().enumerate() {
            let prediction = Prediction::Of(Arc::clone(&outputs), place as u32);
            if let Some(value) = prediction.numbers().and_then(|n| n.iter().find(|v| !v.is_finite())) {
                let reason = format!("the model's prediction is {value}, not a finite number");
                self.fail(vec![row], &CallFailure::of(ErrorClass::BadReply, Verdict::Permanent, reason), attempts);
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
        self.settle(rows.into_iter().map(|(row, answer)| (row.id, answer)));
    }

    /// The same for rows by number, that never became a [`Row`].
    pub(super) fn settle(&self, rows: impl ExactSizeIterator<Item = (u64, Answer)>) {
        if rows.len() == 0 {
            return;
        }
        let mut answers = self.answers.borrow_mut();
        let mut ids = Vec::with_capacity(rows.len());
        for (id, answer) in rows {
            match &answer.source {
                Ok(source) => self.stats.answered(*source, 1),
                Err(_) => drop(self.stats.rejected.fetch_add(1, Relaxed)),
            }
            ids.push(id);
            answers.insert(id, answer);
        }
        drop(answers);
        (self.done)(&mut ids.into_iter());
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
