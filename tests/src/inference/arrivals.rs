//! When rows come out, seen from outside by the growth of a file: the host's own latency counts rows that
//! leave together from the oldest of them, which for rows in order says nothing of the others.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

/// Between two looks; what is measured is tens of milliseconds.
const LOOK: Duration = Duration::from_micros(500);

/// A file of lines that is looked at as it grows.
#[derive(Default)]
pub(super) struct Arrivals {
    file: Option<File>,
    began: Option<Instant>,
    bytes: Vec<u8>,
    /// Milliseconds since the first look at which each line was there.
    seen: Vec<f64>,
}

impl Arrivals {
    /// Looks once, a moment later.
    pub(super) fn look(&mut self, path: &Path) {
        std::thread::sleep(LOOK);
        let began = *self.began.get_or_insert_with(Instant::now);
        // It is not there before the first rows.
        if self.file.is_none() {
            self.file = File::open(path).ok();
        }
        let Some(file) = &mut self.file else { return };
        self.bytes.clear();
        if file.read_to_end(&mut self.bytes).is_ok() {
            let lines = self.bytes.iter().filter(|byte| **byte == b'\n').count();
            let now = began.elapsed().as_secs_f64() * 1_000.0;
            self.seen.extend(std::iter::repeat_n(now, lines));
        }
    }

    /// Milliseconds from coming to leaving of each row behind the first 2,000, when rows come at a rate
    /// and leave in order, and the quickest takes `least`.
    pub(super) fn latencies(&self, per_second: f64, least: f64) -> Vec<f64> {
        let steady = self.seen.iter().enumerate().skip(2_000.min(self.seen.len() / 5));
        let mut after: Vec<f64> = steady.map(|(row, seen)| seen - row as f64 * 1_000.0 / per_second).collect();
        let first = after.iter().copied().fold(f64::INFINITY, f64::min);
        after.iter_mut().for_each(|time| *time += least - first);
        after
    }

    /// Rows a second between the first and the last.
    pub(super) fn rows_per_second(&self) -> f64 {
        let [first, last] = [self.seen.first(), self.seen.last()].map(|at| at.copied().unwrap_or(f64::NAN));
        self.seen.len() as f64 * 1_000.0 / (last - first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_comes_out_late_is_late() {
        let arrivals = Arrivals { seen: vec![150.0, 151.0, 200.0, 200.0, 154.0 + 50.0], ..Arrivals::default() };
        let latencies = arrivals.latencies(1_000.0, 50.0);
        // The first fifth is not looked at; row 1 is the quickest.
        assert_eq!(latencies, [50.0, 98.0, 97.0, 100.0]);
        assert!((arrivals.rows_per_second() - 5.0 / 0.054).abs() < 1e-6);
    }

    #[test]
    fn lines_are_counted_as_they_come() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let mut arrivals = Arrivals::default();
        arrivals.look(&path);
        std::fs::write(&path, "a\nb\nc").unwrap();
        arrivals.look(&path);
        assert_eq!(arrivals.seen.len(), 2);
    }
}
