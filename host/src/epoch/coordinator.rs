//! The coordinator puts barriers into the stream, gathers what each part reports of an epoch, and
//! hands complete epochs to the thread that commits them. It also decides when the pipeline ends: at
//! the end of all sources, on request, or at the first failure.
//!
//! Rows flow on meanwhile. At most one gathered epoch waits behind the one that is being committed;
//! when both places are taken the next barrier waits, and the epoch in the stream grows longer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select, unbounded};

use super::commit::{Commit, Done, Gathered};
use super::stats::EpochStats;
use crate::dataflow::{Event, Failure, Network};

/// Epochs that are with the committing thread at most: one at work, one waiting.
const AHEAD: usize = 2;
/// How long a run that is asked to end waits for answers, where a restart asks for them again.
const DRAIN: Duration = Duration::from_secs(5);
/// How often to look whether the last answers are there, once sources have ended.
const LOOK: Duration = Duration::from_millis(2);
/// How long to wait for an event when nothing is due.
const LONG: Duration = Duration::from_secs(3600);

/// An epoch may grow to so many intervals, and at least so long, before sources are held.
const STRETCH: u32 = 10;
const LONGEST: Duration = Duration::from_secs(10);

/// Runs a pipeline to its end.
pub struct Coordinator<'a> {
    network: Network,
    commit: Box<dyn Commit>,
    stats: Arc<EpochStats>,
    interval: Duration,
    /// Called with the number of an epoch before it begins: the moment to settle which
    /// generations it runs under.
    before_epoch: Box<dyn FnMut(u64) + 'a>,
    /// The epoch that sources are in.
    epoch: u64,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All sources came to their end.
    Completed,
    /// It was asked to stop, and drained.
    Drained,
}

/// An epoch between its barrier and its last report.
struct Gathering {
    gathered: Gathered,
    missing: usize,
}

/// The run as it is steered.
struct Steering {
    /// Sources that have not come to their end.
    running: usize,
    gathering: Option<Gathering>,
    /// Epochs with the committing thread.
    ahead: usize,
    due: Instant,
    /// Whether a barrier that was due had to wait for epochs before it.
    held: bool,
    /// Whether a stage holds as much changed state as should wait for a barrier.
    urgent: bool,
    /// Whether sources are held.
    paused: bool,
    /// Whether the barrier that ends the run was put in.
    last: bool,
    /// From when on it does not wait for answers any more.
    leave: Option<Instant>,
    outcome: Outcome,
    /// Why a source ended early: what was read before is finished, then the run fails with it.
    failed: Option<Failure>,
}

impl<'a> Coordinator<'a> {
    /// `epoch` is the first epoch of the run; `commit` makes gathered epochs durable.
    pub fn new(
        network: Network,
        commit: Box<dyn Commit>,
        stats: Arc<EpochStats>,
        interval: Duration,
        epoch: u64,
        before_epoch: impl FnMut(u64) + 'a,
    ) -> Self {
        Self { network, commit, stats, interval, before_epoch: Box::new(before_epoch), epoch }
    }

    /// Runs until the pipeline ends.
    ///
    /// # Errors
    /// The first failure of a part. Epochs committed before it stay committed.
    pub fn run(self) -> Result<Outcome, Failure> {
        let Self { network, mut commit, stats, interval, before_epoch, epoch } = self;
        let (gathered_sender, gathered) = bounded::<Gathered>(AHEAD);
        let (done_sender, done) = unbounded();
        let interrupt = commit.interrupt();
        let remembers = commit.remembers();
        let mut steer = Steer { network, before_epoch, interval, epoch, stats, gathered: gathered_sender, remembers };
        std::thread::scope(|scope| {
            let committing = std::thread::Builder::new().name("epochs".into()).spawn_scoped(scope, move || {
                for gathered in gathered {
                    let result = commit.commit(gathered);
                    let failed = result.is_err();
                    if done_sender.send(result).is_err() || failed {
                        // What comes after a failure must not be committed.
                        return;
                    }
                }
                commit.close();
            });
            let committing = committing.map_err(|e| Failure::new("thread", e))?;
            let outcome = steer.run(&done);
            if outcome.is_err() {
                // Whoever waits for a commit that will not come is let go.
                interrupt();
            }
            let Steer { network, gathered, .. } = steer;
            drop(gathered);
            let closed = network.finish();
            // It reported what it had to say; a panic of it was the end of its channel.
            let _ = committing.join();
            outcome.and_then(|outcome| closed.map(|()| outcome))
        })
    }
}

struct Steer<'a> {
    network: Network,
    before_epoch: Box<dyn FnMut(u64) + 'a>,
    interval: Duration,
    epoch: u64,
    stats: Arc<EpochStats>,
    gathered: Sender<Gathered>,
    remembers: bool,
}

impl Steer<'_> {
    fn run(&mut self, done: &Receiver<Result<Done, Failure>>) -> Result<Outcome, Failure> {
        let mut s = Steering {
            running: self.network.sources(),
            gathering: None,
            ahead: 0,
            due: Instant::now() + self.interval,
            held: false,
            urgent: false,
            paused: false,
            last: false,
            leave: None,
            outcome: Outcome::Completed,
            failed: None,
        };
        loop {
            if s.last && s.gathering.is_none() && s.ahead == 0 {
                return s.failed.map_or(Ok(s.outcome), Err);
            }
            let now = Instant::now();
            // As long as answers are awaited, epochs go on: the last barrier waits for all of them.
            let leaves = s.leave.is_some_and(|leave| now >= leave);
            let ended = s.running == 0 && (leaves || !self.network.awaits_answers());
            let due = !s.last && (ended || now >= s.due);
            let free = s.gathering.is_none() && s.ahead < AHEAD;
            if due && free {
                self.begin_barrier(&mut s, ended, leaves);
                continue;
            }
            s.held |= due;
            // Commits that stall stretch the epoch, but state that changes and cannot be committed must
            // not grow without bound: the sources are held until the barrier.
            let patience = LONGEST.max(self.interval * STRETCH);
            if !s.paused && !s.last && due && (s.urgent || now >= s.due + patience) {
                s.paused = true;
                tracing::warn!("commits do not keep up: the sources are held until the next barrier");
                self.network.pause(true);
            }
            let wait = match free && !s.last {
                true if s.running == 0 => s.due.saturating_duration_since(now).min(LOOK),
                true => s.due.saturating_duration_since(now),
                false if s.paused || s.last => LONG,
                false => (s.due + patience).saturating_duration_since(now).max(Duration::from_millis(1)),
            };
            let event = select! {
                recv(done) -> result => match result {
                    Ok(result) => {
                        self.settle(&mut s, result?);
                        continue;
                    }
                    Err(_) => return Err(Failure::new("epoch", "the committing thread is gone; please report this as a bug")),
                },
                recv(self.network.events()) -> event => event.map_err(|_| RecvTimeoutError::Disconnected),
                default(wait) => Err(RecvTimeoutError::Timeout),
            };
            match event {
                Ok(event) => self.hear(&mut s, event)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Failure::new("pipeline", "all threads are gone")),
            }
        }
    }

    /// `last` says that it comes behind the last row of all sources and ends the run; it does not wait
    /// for answers when the run `leaves` them to the next.
    fn begin_barrier(&mut self, s: &mut Steering, last: bool, leaves: bool) {
        let began = Instant::now();
        s.last = last;
        let unanswered = self.network.unanswered();
        if last && leaves && !self.remembers && self.network.awaits_answers() {
            // Rows on their way to an operator are not among them.
            tracing::warn!(at_least = unanswered, "the run ends without the answers that it awaited for {DRAIN:?}");
        }
        s.due = began + self.interval;
        if std::mem::take(&mut s.held) {
            self.stats.stretched();
        }
        s.urgent = false;
        if std::mem::take(&mut s.paused) {
            self.network.pause(false);
        }
        let epoch = self.epoch;
        self.epoch += 1;
        // Settled before any row of the next epoch exists, so that every worker sees the same.
        (self.before_epoch)(self.epoch);
        let gathered = Gathered::new(epoch, self.network.barrier(s.last && !leaves), began);
        s.gathering = Some(Gathering { gathered, missing: self.network.reports() });
        // Without a keyed stage or a sink there is nothing to wait for.
        self.complete(s);
    }

    fn hear(&mut self, s: &mut Steering, event: Event) -> Result<(), Failure> {
        match event {
            Event::SourceDone(_, result) => {
                s.running = s.running.saturating_sub(1);
                if let Err(failure) = result {
                    if failure.kind != crate::dataflow::FailureKind::Stop {
                        return Err(failure);
                    }
                    tracing::error!(cause = %failure, "a source has failed; what was read before is finished");
                    self.network.stop_sources();
                    s.running = 0;
                    s.failed.get_or_insert(failure);
                    s.leave.get_or_insert_with(|| Instant::now() + DRAIN);
                }
            }
            Event::Failed(failure) => return Err(failure),
            Event::NeedsBarrier => {
                s.urgent = true;
                s.due = s.due.min(Instant::now());
            }
            Event::Drain => {
                self.network.stop_sources();
                if s.running > 0 || self.network.awaits_answers() {
                    s.outcome = Outcome::Drained;
                }
                s.leave.get_or_insert_with(|| Instant::now() + DRAIN);
                s.running = 0;
            }
            Event::HandedOver { epoch, dirty, watermark, newest } => {
                if let Some(g) = s.gathering.as_mut().filter(|g| g.gathered.epoch == epoch) {
                    g.gathered.hand_over(dirty, watermark, &newest);
                    g.missing -= 1;
                    self.complete(s);
                }
            }
            Event::InFlight { epoch, operator, rows, watermark, newest } => {
                if let Some(g) = s.gathering.as_mut().filter(|g| g.gathered.epoch == epoch) {
                    g.gathered.hand_over(Vec::new(), watermark, &newest);
                    g.gathered.in_flight.push((operator, rows));
                    g.missing -= 1;
                    self.complete(s);
                }
            }
            Event::Prepared { epoch, sink, prepared } => {
                if let Some(g) = s.gathering.as_mut().filter(|g| g.gathered.epoch == epoch) {
                    g.gathered.sinks.push((sink, prepared));
                    g.missing -= 1;
                    self.complete(s);
                }
            }
        }
        Ok(())
    }

    /// Passes the epoch on once every part has reported.
    fn complete(&self, s: &mut Steering) {
        if let Some(Gathering { mut gathered, .. }) = s.gathering.take_if(|g| g.missing == 0) {
            gathered.barrier = gathered.began.elapsed();
            s.ahead += 1;
            // The thread that is gone has left its reason in the other channel.
            let _ = self.gathered.send(gathered);
        }
    }

    fn settle(&self, s: &mut Steering, done: Done) {
        s.ahead -= 1;
        self.network.applied(done.applied);
        self.network.committed(done.epoch);
        if done.recorded {
            self.network.stats().epoch_committed();
        }
        self.stats.done(&done);
    }
}
