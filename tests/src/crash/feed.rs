//! The steady input of the crash loop: rows of random users, one in a hundred of them poison, written
//! by a thread beside the host that is killed. Each row has a number that no other has.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use super::random::Random;
use crate::kafka::{Broker, Input};

/// How often rows are written: often enough that the source always has news.
const PAUSE: Duration = Duration::from_millis(10);

/// Where the rows go.
pub enum Target<'a> {
    /// A file, appended to in pieces that do not end where rows do.
    File(PathBuf),
    /// A topic, keyed by user.
    Topic(&'a Broker, String),
}

/// Rows in their order.
#[derive(Clone, Debug)]
pub struct Rows {
    random: Random,
    users: u64,
    next: u64,
}

impl Rows {
    /// Rows of `users` users.
    pub fn new(seed: u64, users: u64) -> Self {
        Self { random: Random::new(seed), users, next: 0 }
    }
}

impl Iterator for Rows {
    /// The user and the line.
    type Item = (String, String);

    fn next(&mut self) -> Option<Self::Item> {
        let id = self.next;
        self.next += 1;
        let user = format!("u{}", self.random.below(self.users));
        // Cut in the middle of the user, as a producer's bug would.
        let poison = self.random.below(100) == 0;
        let line = if poison { format!("{{\"id\":{id},\"user\":\"{user}") } else { row(id, &user) };
        Some((user, line))
    }
}

/// The line of a good row.
pub fn row(id: u64, user: &str) -> String {
    format!("{{\"id\":{id},\"user\":\"{user}\"}}")
}

impl Target<'_> {
    /// Writes rows.
    pub fn write(&self, rows: impl Iterator<Item = (String, String)>) {
        match self {
            Self::File(path) => {
                let text: String = rows.map(|(_, line)| line + "\n").collect();
                let mut file = OpenOptions::new().append(true).create(true).open(path).expect("the input file");
                // A reader meets half a row at each of these writes.
                let (first, second) = text.as_bytes().split_at(text.len().saturating_sub(7));
                file.write_all(first).and_then(|()| file.write_all(second)).expect("a written input");
            }
            Self::Topic(broker, topic) => {
                let records: Vec<Input> = rows.map(|(user, line)| Input::keyed(user, line)).collect();
                broker.produce(topic, &records);
            }
        }
    }
}

/// A thread that writes rows until it is stopped, or dropped.
pub struct Feed<'scope> {
    thread: Option<ScopedJoinHandle<'scope, u64>>,
    stop: Arc<AtomicBool>,
}

impl<'scope> Feed<'scope> {
    /// Starts to write `rate` rows a second.
    pub fn start<'a: 'scope>(scope: &'scope Scope<'scope, '_>, target: Target<'a>, mut rows: Rows, rate: u64) -> Self {
        let stop: Arc<AtomicBool> = Arc::default();
        let stopped = Arc::clone(&stop);
        let batch = (rate * PAUSE.as_millis() as u64 / 1000).max(1);
        let thread = scope.spawn(move || {
            let mut written = 0;
            while !stopped.load(Ordering::SeqCst) {
                target.write(rows.by_ref().take(batch as usize));
                written += batch;
                std::thread::sleep(PAUSE);
            }
            written
        });
        Self { thread: Some(thread), stop }
    }

    /// Stops, after whole rows; how many there were.
    pub fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().map_or(0, |t| t.join().expect("a feed that ended well"))
    }
}

impl Drop for Feed<'_> {
    fn drop(&mut self) {
        // The scope waits for the thread, also when the test has failed.
        self.stop.store(true, Ordering::SeqCst);
    }
}
