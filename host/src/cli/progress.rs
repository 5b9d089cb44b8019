//! The live line of a run: a thread reads the counters ten times a second and draws them on the
//! terminal. Without a terminal nothing is drawn and events become log lines.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::logging::BARS;
use super::numbers;
use crate::progress::{Progress, Snapshot};

/// Time between two looks at the counters.
const TICK: Duration = Duration::from_millis(100);
/// Looks that a rate is taken over: two seconds ride out a pause, and still follow a change.
const WINDOW: usize = 20;

/// The line; it goes away when this is dropped.
pub(super) struct ProgressLine {
    progress: Arc<Progress>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ProgressLine {
    /// Starts to watch. `draw` says whether a line is wanted; it also takes a terminal.
    pub(super) fn start(draw: bool) -> Self {
        let progress = Arc::new(Progress::default());
        let (stop, stopped) = channel();
        let watched = Arc::clone(&progress);
        let draw = draw && !BARS.is_hidden();
        // Without a thread there is no line, which is no reason not to run.
        let thread =
            std::thread::Builder::new().name("progress".to_owned()).spawn(move || watch(&watched, &stopped, draw)).ok();
        Self { progress, stop: Some(stop), thread }
    }

    /// The counters that are shown.
    pub(super) fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It holds nothing that could be lost.
            let _ = thread.join();
        }
    }
}

fn watch(progress: &Progress, stopped: &Receiver<()>, draw: bool) {
    let bar = draw.then(|| BARS.add(ProgressBar::new(0)));
    let mut rate = Rate::default();
    let mut last = false;
    while !last {
        last = !matches!(stopped.recv_timeout(TICK), Err(RecvTimeoutError::Timeout));
        let now = progress.snapshot();
        let rows_per_second = rate.add(Instant::now(), now.rows_in);
        for event in progress.take_events() {
            match &bar {
                // A terminal that went away takes no line; the run goes on.
                Some(_) => drop(BARS.println(&event)),
                None => tracing::info!("{event}"),
            }
        }
        if let Some(bar) = &bar {
            show(bar, &now, rows_per_second);
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
        BARS.remove(&bar);
    }
}

fn show(bar: &ProgressBar, now: &Snapshot, rows_per_second: f64) {
    let known = now.total_bytes > 0;
    if bar.length() != Some(now.total_bytes) || bar.position() == 0 {
        bar.set_length(now.total_bytes);
        bar.set_style(style(known));
    }
    bar.set_position(now.bytes_in.min(now.total_bytes));
    bar.set_message(line(now, rows_per_second));
    bar.tick();
}

fn style(known: bool) -> ProgressStyle {
    // The template is fixed; should it not fit a later version, the default does.
    ProgressStyle::with_template(template(known)).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

fn template(known: bool) -> &'static str {
    if known { "[{bar:20}] {percent:>3} %  {wide_msg}" } else { "{elapsed_precise}  {wide_msg}" }
}

/// What the line says.
fn line(now: &Snapshot, rows_per_second: f64) -> String {
    let mut parts = vec![format!("{} rows", numbers::count(now.rows_in)), numbers::rate(rows_per_second)];
    if now.p99_us > 0 {
        parts.push(format!("p50 {}", numbers::microseconds(now.p50_us as f64)));
        parts.push(format!("p99 {}", numbers::microseconds(now.p99_us as f64)));
    }
    parts.push(format!("{} in flight", numbers::count(now.in_flight)));
    if now.dead_letters > 0 {
        parts.push(format!("{} dead letters", numbers::count(now.dead_letters)));
    }
    // Last, as a narrow terminal cuts the line: it follows from the others.
    parts.push(format!("{} out", numbers::count(now.rows_out)));
    parts.join("  ")
}

/// Rows a second over the last looks.
#[derive(Debug, Default)]
struct Rate {
    looks: VecDeque<(Instant, u64)>,
}

impl Rate {
    fn add(&mut self, now: Instant, rows: u64) -> f64 {
        if self.looks.len() > WINDOW {
            self.looks.pop_front();
        }
        self.looks.push_back((now, rows));
        let Some((since, before)) = self.looks.front() else { return 0.0 };
        let seconds = now.duration_since(*since).as_secs_f64();
        if seconds > 0.0 { rows.saturating_sub(*before) as f64 / seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_forgets_what_is_long_past() {
        let mut rate = Rate::default();
        let start = Instant::now();
        assert_eq!(rate.add(start, 0), 0.0);
        for i in 1..=100 {
            let rows = if i <= 50 { i * 1_000 } else { 50_000 };
            let now = rate.add(start + TICK * i as u32, rows);
            if i == 50 {
                assert!((now - 10_000.0).abs() < 1.0, "{now}");
            }
        }
        assert_eq!(rate.add(start + TICK * 101, 50_000), 0.0);
    }

    #[test]
    fn the_line_leaves_out_what_is_not_there() {
        let now = Snapshot { rows_in: 1_234_567, rows_out: 1_200_000, in_flight: 34_567, ..Snapshot::default() };
        assert_eq!(line(&now, 812_345.0), "1,234,567 rows  812k rows/s  34,567 in flight  1,200,000 out");
        let now = Snapshot { p50_us: 120, p99_us: 1_840, dead_letters: 3, ..now };
        assert_eq!(
            line(&now, 0.0),
            "1,234,567 rows  0 rows/s  p50 120 µs  p99 1.84 ms  34,567 in flight  3 dead letters  1,200,000 out"
        );
    }

    #[test]
    fn both_lines_have_a_valid_template() {
        for known in [true, false] {
            assert!(ProgressStyle::with_template(template(known)).is_ok());
        }
    }
}
