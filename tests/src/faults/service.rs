//! What happens to a request.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER};
use hyper::{Method, Request, Response};
use serde_json::json;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::body::Reply;
use super::clock::Clock;
use super::counters::{Counters, InFlight};
use super::protocol::{self, Asked, HEADER_LENGTH, Making, Shape};
use super::script::{Fault, Script};
use super::socket::Line;

/// Header that names a request across its attempts.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A script at work.
pub(super) struct Live {
    script: Script,
    workers: Option<Semaphore>,
    waiting: AtomicUsize,
}

impl Live {
    pub(super) fn new(script: Script) -> Self {
        let workers = script.overload.map(|overload| Semaphore::new(overload.workers.max(1)));
        Self { script, workers, waiting: AtomicUsize::new(0) }
    }

    /// A worker, at once or after the others; `None` when too many wait.
    async fn worker(&self) -> Option<Option<SemaphorePermit<'_>>> {
        let (Some(workers), Some(overload)) = (&self.workers, self.script.overload) else { return Some(None) };
        if let Ok(permit) = workers.try_acquire() {
            return Some(Some(permit));
        }
        let _place = Waiting::take(&self.waiting, overload.queue)?;
        workers.acquire().await.ok().map(Some)
    }
}

/// A place in the queue.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn take(waiting: &'a AtomicUsize, places: usize) -> Option<Self> {
        let before = waiting.fetch_add(1, Ordering::SeqCst);
        let place = Self(waiting);
        (before < places).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What all requests of a server share.
pub(super) struct Shared {
    live: std::sync::Mutex<Arc<Live>>,
    pub counters: Counters,
    pub clock: Arc<Clock>,
    random: AtomicU64,
}

impl Shared {
    pub(super) fn new(script: Script, counters: Counters, clock: Arc<Clock>, seed: u64) -> Self {
        Self { live: std::sync::Mutex::new(Arc::new(Live::new(script))), counters, clock, random: seed.into() }
    }

    pub(super) fn set(&self, script: Script) {
        *self.live.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(Live::new(script));
    }

    fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// A number of [0, 1), by SplitMix64 over a shared counter.
    fn random(&self) -> f64 {
        let mut z = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Answers a request, or does to the connection what the script says. Cancelled when the client
    /// goes.
    pub(super) async fn answer(
        &self,
        line: &Arc<Line>,
        request: Request<Incoming>,
    ) -> Result<Response<Reply>, Infallible> {
        if request.method() == Method::GET {
            return Ok(self.get(request.uri().path()));
        }
        let arrived = Instant::now();
        let in_flight = self.counters.arrived(arrived);
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await.map(|collected| collected.to_bytes()) else {
            line.break_off(false);
            return pending().await;
        };
        self.counters.key(head.headers.get(IDEMPOTENCY_KEY).and_then(|key| key.to_str().ok()));
        let path = head.uri.path();
        let asked = match protocol::read(path, &head.headers, &body) {
            Ok(asked) => asked,
            Err(refused) => {
                in_flight.answered(refused.status);
                return Ok(refusal(path, refused.status, &refused.reason));
            }
        };
        self.counters.rows(asked.rows());
        let work = Work { path, line, arrived, asked };
        Ok(self.work(&self.live(), &work, in_flight).await)
    }

    async fn work(&self, live: &Live, work: &Work<'_>, in_flight: InFlight<'_>) -> Response<Reply> {
        let script = &live.script;
        let rule = script.rules.iter().find(|rule| rule.strikes(work.arrived, self.random()));
        if let Some(rule) = rule {
            self.counters.fault(rule.fault.name());
        }
        if !rule.is_some_and(|rule| rule.at_once) {
            let Some(_worker) = live.worker().await else {
                in_flight.answered(503);
                return refusal(work.path, 503, "the queue is full");
            };
            self.take(script, work).await;
        }
        if script.poison.is_some_and(|poison| work.asked.has(poison)) {
            in_flight.answered(400);
            return refusal(work.path, 400, "a row cannot be scored");
        }
        match rule.map(|rule| &rule.fault) {
            None => {
                in_flight.answered(200);
                made(script, &work.asked, Shape::Right).map(Reply::whole)
            }
            Some(fault) => work.fail(script, fault, in_flight).await,
        }
    }

    /// Lets the time pass that the request takes.
    async fn take(&self, script: &Script, work: &Work<'_>) {
        // Behind others, the work begins when a worker is free.
        let began = if script.overload.is_some() { Instant::now() } else { work.arrived };
        let usual = script.latency.of([self.random(), self.random()]);
        let slow = script.slow_row.filter(|(first, _)| work.asked.has(*first)).map(|(_, time)| time);
        let rows = script.overload.map_or(Duration::ZERO, |o| o.row.saturating_mul(rows(&work.asked)));
        let due = began + slow.unwrap_or(usual) + rows;
        self.clock.until(due).await;
        self.counters.late(due.elapsed());
    }

    /// Metadata, readiness and, for whoever watches, the counters.
    fn get(&self, path: &str) -> Response<Reply> {
        let body = match path {
            "/counters" => self.counters.counts().json(),
            "/v2" => json!({"name": "model-server", "version": "1", "extensions": ["binary_tensor_data"]}),
            "/v2/health/live" | "/v2/health/ready" | "/health" | "/ping" => json!({"status": "Healthy"}),
            path if path.starts_with("/v2/models/") || path.starts_with("/v1/models") => {
                json!({"name": path.split('/').nth(3).unwrap_or("model"), "ready": true, "platform": "sum"})
            }
            _ => return refusal(path, 404, "there is nothing here"),
        };
        json_response(200, body.to_string())
    }
}

fn rows(asked: &Asked) -> u32 {
    u32::try_from(asked.rows()).unwrap_or(u32::MAX)
}

/// A request at work.
struct Work<'a> {
    path: &'a str,
    line: &'a Arc<Line>,
    arrived: Instant,
    asked: Asked,
}

impl Work<'_> {
    async fn fail(&self, script: &Script, fault: &Fault, in_flight: InFlight<'_>) -> Response<Reply> {
        let wrong = |shape, in_flight: InFlight<'_>| {
            in_flight.answered(200);
            made(script, &self.asked, shape)
        };
        match fault {
            Fault::Status(status, retry_after) => {
                in_flight.answered(*status);
                let mut response = refusal(self.path, *status, "so says the script");
                if let Some(value) = retry_after.as_deref().and_then(|text| HeaderValue::from_str(text).ok()) {
                    response.headers_mut().insert(RETRY_AFTER, value);
                }
                response
            }
            Fault::Redirect(to) => {
                in_flight.answered(307);
                let mut response = refusal(self.path, 307, "elsewhere");
                if let Ok(value) = HeaderValue::from_str(to) {
                    response.headers_mut().insert(LOCATION, value);
                }
                response
            }
            Fault::ResetBeforeHead | Fault::CloseBeforeHead => {
                in_flight.answered(0);
                self.line.break_off(*fault == Fault::ResetBeforeHead);
                pending().await
            }
            // In flight until the client has had enough.
            Fault::Stall => pending().await,
            Fault::ResetAfterHead => wrong(Shape::Right, in_flight).map(|bytes| Reply::broken(&bytes, self.line, true)),
            Fault::CloseAfterHead => {
                wrong(Shape::Right, in_flight).map(|bytes| Reply::broken(&bytes, self.line, false))
            }
            Fault::StallInBody => wrong(Shape::Right, in_flight).map(|bytes| Reply::stalled(&bytes)),
            Fault::Truncated => {
                wrong(Shape::Right, in_flight).map(|bytes| Reply::whole(bytes.slice(..bytes.len() / 2)))
            }
            Fault::Malformed => wrong(Shape::Right, in_flight).map(|_| Reply::whole("<html>not JSON</html>")),
            Fault::Huge(size, told) => wrong(Shape::Right, in_flight).map(|_| Reply::Huge { left: *size, told: *told }),
            Fault::Drip(gap) => {
                self.line.drip(*gap);
                wrong(Shape::Right, in_flight).map(Reply::whole)
            }
            Fault::GoAway => {
                self.line.say_goodbye();
                // The connection hears of it before the reply.
                tokio::time::sleep(Duration::from_millis(1)).await;
                wrong(Shape::Right, in_flight).map(Reply::whole)
            }
            Fault::FewerRows => wrong(Shape::FewerRows, in_flight).map(Reply::whole),
            Fault::Wider => wrong(Shape::Wider, in_flight).map(Reply::whole),
            Fault::OtherType => wrong(Shape::OtherType, in_flight).map(Reply::whole),
            Fault::ShapeMismatch => wrong(Shape::Mismatch, in_flight).map(Reply::whole),
            Fault::Unfinished => wrong(Shape::Unfinished, in_flight).map(Reply::whole),
        }
    }
}

/// A reply of predictions.
fn made(script: &Script, asked: &Asked, shape: Shape) -> Response<Bytes> {
    let made = protocol::write(asked, &Making { outputs: script.outputs, version: &script.version, shape });
    let mut response = Response::new(made.body);
    let headers = response.headers_mut();
    match made.header_length {
        None => drop(headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"))),
        Some(length) => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            headers.insert(HEADER_LENGTH, HeaderValue::from(length));
        }
    }
    response
}

fn refusal(path: &str, status: u16, reason: &str) -> Response<Reply> {
    json_response(status, protocol::error(path, status, reason))
}

fn json_response(status: u16, body: String) -> Response<Reply> {
    let mut response = Response::new(Reply::whole(body));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
