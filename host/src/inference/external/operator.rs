//! The operator as its hub sees it: rows in, and out again when they are answered.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use arrow::array::{Array, AsArray, RecordBatch};
use tokio::sync::Notify;

use super::ExternalConfig;
use super::answer::Answer;
use super::batcher::Batcher;
use super::binding::ExternalBinding;
use super::cache::Answers;
use super::dispatch::{Done, Shared, now};
use super::endpoints::Endpoints;
use super::fallback::Chain;
use super::log::RequestLog;
use super::rows::{NO_KEY, Row, Submitted};
use super::stats::ExternalStats;
use super::transport::Transport;
use crate::inference::resilience::Sample;
use crate::record::{Batch, hash_key, key_bytes};

/// Requests whose rows are held ready beyond those that can be sent: as many as may end before the hub
/// looks again.
const READY: usize = 64;
/// Such rows at most.
const MOST_READY: usize = 16_384;
/// Rows taken at once while the chain answers them.
const REFUSED: usize = 256;

/// What became of rows.
#[derive(Debug)]
pub struct Emitted {
    /// Those with a prediction, or that were not to have one.
    pub rows: Batch,
    /// The others: index and reason.
    pub rejected: Vec<(u32, String)>,
}

/// The operator, on its hub's thread.
pub struct ExternalOperator(Box<dyn Runs>);

trait Runs {
    fn room(&self) -> usize;
    fn submit(&mut self, rows: &Batch, first: u64, place: u64);
    fn emit(&mut self, ids: &[u64], rows: &Batch) -> Result<Emitted, String>;
}

impl ExternalOperator {
    /// Rows that it takes now.
    pub fn room(&self) -> usize {
        self.0.room()
    }

    /// Takes rows, of which the first has the number `first` and the others those behind it. `source`
    /// and `partition` are where they came from.
    pub fn submit(&mut self, rows: &Batch, first: u64, source: &str, partition: &str) {
        let place = xxhash_rust::xxh3::xxh3_64(format!("{source}\0{partition}").as_bytes());
        self.0.submit(rows, first, place);
    }

    /// What became of rows that are done; each is fetched once.
    ///
    /// # Errors
    /// When the rows are not those that were submitted.
    pub fn emit(&mut self, ids: &[u64], rows: &Batch) -> Result<Emitted, String> {
        self.0.emit(ids, rows)
    }

    /// Opens it on the thread that will use it, on which tokio runs local tasks.
    pub(super) fn open<T: Transport + 'static>(
        binding: &Arc<ExternalBinding>,
        transport: T,
        stats: Arc<ExternalStats>,
        done: Done,
        nudge: Box<dyn Fn()>,
    ) -> Result<Self, String> {
        let config = binding.config.clone();
        let chain = Chain::open(&config.fallback, binding.prediction, &binding.models)?;
        let cache = config.cache.map(|c| RefCell::new(Answers::new(c, &config.model, config.version.as_deref())));
        let seed = seed(&config);
        let log = RequestLog::new(config.log_sample, &config.name, &config.model, config.version.as_deref());
        let shared = Rc::new(Shared {
            endpoints: RefCell::new(Endpoints::new(&config, Arc::clone(&stats), fastrand::u64(..), now())),
            queue: RefCell::new(Batcher::new(config.batch)),
            chain: RefCell::new(chain),
            cache,
            answers: RefCell::default(),
            log,
            seed,
            stats,
            done,
            requests: Cell::new(0),
            waiting: Cell::new(0),
            freed: Notify::new(),
            look: Notify::new(),
            transport,
            config,
        });
        shared.stats.requests_in_flight.store(0, Relaxed);
        tokio::task::spawn_local(look_after(Rc::clone(&shared), nudge));
        let sample = Sample::new(shared.config.sample);
        Ok(Self(Box::new(Running { binding: Arc::clone(binding), shared, sample, answers: Vec::new() })))
    }
}

/// Stands for the operator in the names of its requests.
fn seed(config: &ExternalConfig) -> u64 {
    let version = config.version.as_deref().unwrap_or_default();
    let of = [&config.name, &config.model, version, &config.features.join("\0")];
    xxhash_rust::xxh3::xxh3_64(of.join("\0").as_bytes())
}

/// Sends rows when something has changed, or a time has come.
async fn look_after<T: Transport + 'static>(shared: Rc<Shared<T>>, nudge: Box<dyn Fn()>) {
    loop {
        let look_again = shared.pump();
        // There may be room now, though no row was completed.
        nudge();
        let look = shared.look.notified();
        match look_again {
            None => look.await,
            Some(at) => tokio::select! {
                () = look => {}
                () = tokio::time::sleep_until(at.into()) => shared.endpoints.borrow().refresh(now()),
            },
        }
    }
}

struct Running<T> {
    binding: Arc<ExternalBinding>,
    shared: Rc<Shared<T>>,
    sample: Sample,
    answers: Vec<Answer>,
}

impl<T: Transport + 'static> Running<T> {
    /// Whether each row is to be sent.
    fn wanted(&self, rows: &RecordBatch, place: u64, places: &[u64]) -> Option<Vec<bool>> {
        let when = self.binding.when.and_then(|index| rows.columns().get(index)?.as_boolean_opt());
        if when.is_none() && self.sample.is_all() {
            return None;
        }
        let mut wanted: Vec<bool> = match self.binding.key.filter(|_| !self.sample.is_all()) {
            Some(key) => {
                let mut sampled = Vec::with_capacity(rows.num_rows());
                key_bytes(rows.column(key), |key| sampled.push(self.sample.has(key.unwrap_or_default())));
                sampled
            }
            None => places.iter().map(|&at| self.sample.has_place(place, at)).collect(),
        };
        if let Some(when) = when {
            let marked = |row: usize| !when.is_null(row) && when.value(row);
            wanted.iter_mut().enumerate().for_each(|(row, wanted)| *wanted &= marked(row));
        }
        Some(wanted)
    }
}

impl<T: Transport + 'static> Runs for Running<T> {
    fn room(&self) -> usize {
        let now = now();
        let shared = &self.shared;
        if !shared.config.fallback.is_empty() && shared.endpoints.borrow().refuse(now) {
            return REFUSED;
        }
        let each = shared.config.batch.max_rows.max(1);
        let ready = match shared.config.timeouts.queue {
            None => each.saturating_mul(READY).min(MOST_READY),
            // Their time runs here, so they are taken: as many as all requests together hold.
            Some(_) => shared.config.capacity.saturating_mul(each).clamp(READY, MOST_READY),
        };
        // Rows that wait for another's answer are bounded as those that wait for their turn.
        let waits = shared.cache.as_ref().map_or(0, |cache| cache.borrow().waits());
        let most = if shared.cache.is_some() { shared.config.waiting.saturating_sub(waits) } else { usize::MAX };
        (shared.slots(now).saturating_mul(each) + ready).saturating_sub(shared.queue.borrow().len()).min(most)
    }

    fn submit(&mut self, rows: &Batch, first: u64, place: u64) {
        let now = now();
        let wanted = self.wanted(&rows.columns, place, &rows.offsets);
        let read = match self.binding.inputs.read(&rows.columns) {
            Ok(read) => read,
            Err(reason) => {
                let all = (0..rows.rows()).map(|row| (first + row as u64, Answer::rejected(&reason, None)));
                return self.shared.settle(all);
            }
        };
        let mut known: Vec<(u64, Answer)> = Vec::new();
        let skip = |row: u32| wanted.as_ref().is_some_and(|w| !w.get(row as usize).copied().unwrap_or(true));
        for (row, reason) in read.rejected {
            let answer = if skip(row) { Answer::skipped() } else { Answer::rejected(&reason, None) };
            known.push((first + u64::from(row), answer));
        }
        let mut keys = Vec::new();
        if let Some(key) = self.binding.key {
            key_bytes(rows.columns.column(key), |key| keys.push(key.map_or(NO_KEY, hash_key)));
        }
        let kept = |index: u32| read.kept.as_ref().map_or(index, |kept| kept[index as usize]);
        let count = read.kept.as_ref().map_or(rows.rows(), Vec::len) as u32;
        let submitted = Rc::new(Submitted {
            features: read.features,
            at: now,
            partition: place,
            places: (0..count).map(|index| rows.offsets.get(kept(index) as usize).copied().unwrap_or(0)).collect(),
            keys: match keys.is_empty() {
                true => keys,
                false => (0..count).map(|index| keys.get(kept(index) as usize).copied().unwrap_or(0)).collect(),
            },
        });
        let mut free = (self.shared.slots(now) * self.shared.config.batch.max_rows.max(1))
            .saturating_sub(self.shared.queue.borrow().len());
        for index in 0..count {
            let row = kept(index);
            if skip(row) {
                known.push((first + u64::from(row), Answer::skipped()));
                continue;
            }
            let row = Row { id: first + u64::from(row), of: Rc::clone(&submitted), index };
            self.shared.enqueue(row, free > 0, now);
            free = free.saturating_sub(1);
        }
        self.shared.settle(known.into_iter());
        if self.shared.pump().is_some() {
            // Its time is the business of the task that looks after it.
            self.shared.look.notify_one();
        }
    }

    fn emit(&mut self, ids: &[u64], rows: &Batch) -> Result<Emitted, String> {
        self.answers.clear();
        let mut answers = self.shared.answers.borrow_mut();
        for id in ids {
            let answer = answers.remove(id);
            self.answers.push(answer.ok_or_else(|| format!("row {id} has no answer; please report this as a bug"))?);
        }
        drop(answers);
        let (rows, rejected) = self.binding.columns.add(rows, &self.answers).map_err(|e| e.to_string())?;
        Ok(Emitted { rows, rejected })
    }
}
