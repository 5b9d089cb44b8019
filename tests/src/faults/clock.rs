//! Waiting to the microsecond. Tokio's timers round up to the next millisecond, which would be most of
//! what a benchmark of half a millisecond measures; one timerfd and a heap of deadlines do not.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

/// Deadlines of one server.
pub(super) struct Clock {
    fd: AsyncFd<OwnedFd>,
    heap: Mutex<Heap>,
}

#[derive(Default)]
struct Heap {
    due: BinaryHeap<Reverse<Deadline>>,
    number: u64,
}

struct Deadline {
    at: Instant,
    number: u64,
    wake: oneshot::Sender<()>,
}

impl Deadline {
    /// Those of one moment as they came.
    fn order(&self) -> (Instant, u64) {
        (self.at, self.number)
    }
}

impl PartialEq for Deadline {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}
impl Eq for Deadline {}
impl PartialOrd for Deadline {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Deadline {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

impl Clock {
    /// A clock whose waking runs on the current runtime.
    pub(super) fn start() -> io::Result<Arc<Self>> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe for what may give its descriptor away; an OwnedFd does not"
        )]
        let fd = AsyncFd::new(fd)?;
        let clock = Arc::new(Self { fd, heap: Mutex::default() });
        let ticking = Arc::clone(&clock);
        tokio::spawn(async move {
            while let Ok(mut ready) = ticking.fd.readable().await {
                let mut fired = [0; 8];
                // What it read does not matter: all that is due is woken.
                let _ = rustix::io::read(ticking.fd.get_ref(), &mut fired);
                ready.clear_ready();
                ticking.wake();
            }
        });
        Ok(clock)
    }

    /// Waits until then.
    pub(super) async fn until(&self, at: Instant) {
        if at <= Instant::now() {
            return;
        }
        let (wake, woken) = oneshot::channel();
        {
            let mut heap = self.lock();
            heap.number += 1;
            let number = heap.number;
            let first = heap.due.peek().is_none_or(|first| at < first.0.at);
            heap.due.push(Reverse(Deadline { at, number, wake }));
            if first {
                self.arm(at);
            }
        }
        // An error is a runtime that ends.
        let _ = woken.await;
    }

    fn wake(&self) {
        let mut heap = self.lock();
        let now = Instant::now();
        while heap.due.peek().is_some_and(|first| first.0.at <= now) {
            if let Some(Reverse(due)) = heap.due.pop() {
                // An error is a client that did not wait.
                let _ = due.wake.send(());
            }
        }
        if let Some(first) = heap.due.peek() {
            self.arm(first.0.at);
        }
    }

    fn arm(&self, at: Instant) {
        // Nothing would turn the timer off.
        let rest = at.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value =
            Timespec { tv_sec: rest.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: rest.subsec_nanos().into() };
        let _ = timerfd_settime(
            self.fd.get_ref(),
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval: zero, it_value: value },
        );
    }

    fn lock(&self) -> MutexGuard<'_, Heap> {
        self.heap.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
