//! Snapshots beside the pipeline: when one is due, and the thread that takes it. Epochs are applied
//! meanwhile; who applies them never waits, and asks now and then what has become of the last one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

use super::{Config, Error, Recorded, SnapshotInfo, Snapshotter};
use crate::state::Store;

/// Records that are remembered: a flush of ten seconds at an epoch each ten milliseconds.
const RECENT: usize = 1_000;
/// Bytes of them at most, as rows in flight make records long; but so many are kept whatever their length.
const RECENT_BYTES: usize = 32 << 20;
const RECENT_LEAST: usize = 16;

/// The records of the last epochs, for whichever of them a snapshot turns out to hold.
#[derive(Debug, Default)]
pub struct RecentRecords(Mutex<Recent>);

#[derive(Debug, Default)]
struct Recent {
    /// With the epoch and the length of each.
    records: VecDeque<(u64, usize, Recorded)>,
    bytes: usize,
}

impl RecentRecords {
    /// Remembers the record of an epoch: before the epoch is applied, and at first that of the
    /// epoch that the store holds already.
    pub fn push(&self, epoch: u64, record: Recorded) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let length = weight(&record.header);
        recent.bytes += length;
        recent.records.push_back((epoch, length, record));
        while recent.records.len() > RECENT || (recent.bytes > RECENT_BYTES && recent.records.len() > RECENT_LEAST) {
            let gone = recent.records.pop_front().map_or(0, |(_, length, _)| length);
            recent.bytes -= gone;
        }
    }

    /// The record of an epoch.
    pub fn get(&self, epoch: u64) -> Option<Recorded> {
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.records.iter().rev().find(|(known, ..)| *known == epoch).map(|(_, _, record)| record.clone())
    }
}

/// Length of the only long texts of a record: its rows in flight.
fn weight(header: &serde_json::Value) -> usize {
    let operators = header["in_flight"].as_object().into_iter().flatten();
    operators.map(|(_, rows)| rows["data"].as_str().map_or(0, str::len)).sum()
}

/// When a snapshot is due.
#[derive(Debug)]
pub(super) struct Schedule {
    interval: Duration,
    max_log_bytes: u64,
    /// When the last one began, and what the log had then.
    began: Instant,
    log_bytes: u64,
    /// The epoch that the last successful one holds.
    newest: u64,
}

impl Schedule {
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        let (interval, max_log_bytes) = (config.snapshot_interval, config.max_log_bytes);
        Self { interval, max_log_bytes, began: now, log_bytes: 0, newest: 0 }
    }

    /// Whether it is time: something was applied since the last one, and the interval is over or the
    /// log has grown by its limit. After a failure the next try waits as long as after a success.
    pub(super) fn due(&self, now: Instant, applied: u64, log_bytes: u64) -> bool {
        let grown = log_bytes.saturating_sub(self.log_bytes) >= self.max_log_bytes;
        let over = now.saturating_duration_since(self.began) >= self.interval;
        (over || grown) && applied > self.newest
    }

    pub(super) fn begins(&mut self, now: Instant, log_bytes: u64) {
        (self.began, self.log_bytes) = (now, log_bytes);
    }

    pub(super) fn holds(&mut self, epoch: u64) {
        self.newest = epoch;
    }
}

/// Takes snapshots on a thread of its own, one at a time. It ends, after the one that is under way,
/// when this is dropped.
#[derive(Debug)]
pub struct Background {
    schedule: Schedule,
    /// Dropped first: its end ends the thread.
    requests: Option<Sender<()>>,
    results: Receiver<Result<SnapshotInfo, Error>>,
    busy: bool,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn start(
        mut snapshotter: Snapshotter,
        store: Arc<Store>,
        records: Arc<RecentRecords>,
    ) -> Result<Self, std::io::Error> {
        let schedule = Schedule::new(snapshotter.config(), Instant::now());
        let (requests, requested) = bounded(1);
        let (done, results) = bounded(1);
        let body = move || {
            for () in requested {
                if done.send(snapshotter.take(&store, |epoch| records.get(epoch))).is_err() {
                    break;
                }
            }
        };
        let thread = Some(std::thread::Builder::new().name("snapshots".into()).spawn(body)?);
        Ok(Self { schedule, requests: Some(requests), results, busy: false, thread })
    }

    /// Begins one when it is due and none is under way. `applied` is the newest epoch that the store
    /// holds; `log_bytes` counts all that this run has appended to the log.
    pub fn tick(&mut self, now: Instant, applied: u64, log_bytes: u64) {
        if self.busy || !self.schedule.due(now, applied, log_bytes) {
            return;
        }
        self.busy = self.requests.as_ref().is_some_and(|requests| requests.try_send(()).is_ok());
        self.schedule.begins(now, log_bytes);
    }

    /// What has become of one, once: its epoch is safe in storage, or why not. A
    /// [`Superseded`](Error::Superseded) run must end; any other failure is tried again when the next
    /// one is due.
    pub fn finished(&mut self) -> Option<Result<SnapshotInfo, Error>> {
        match self.results.try_recv() {
            Ok(result) => {
                self.busy = false;
                if let Ok(info) = &result {
                    self.schedule.holds(info.id.epoch);
                }
                Some(result)
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) if self.busy => {
                self.busy = false;
                Some(Err(Error::Refused("no more snapshots are taken: their thread has panicked, see above".into())))
            }
            Err(TryRecvError::Disconnected) => None,
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by its hook.
            let _ = thread.join();
        }
    }
}
