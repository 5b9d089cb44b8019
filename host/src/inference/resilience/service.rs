//! How long a server takes for a request of n rows, learned from what it did: `duration = a·n + b` by
//! least squares in which old calls fade.

use std::time::Duration;

/// Weight that a call keeps with each one after it: some 64 calls are remembered, enough for a line
/// and few enough to follow a server that changes.
const KEEP: f64 = 1.0 - 1.0 / 64.0;
/// Sizes must differ by this share of their mean before a slope is learned from them.
const LEAST_SPREAD: f64 = 0.1;

/// Service time by the number of rows.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServiceTime {
    weight: f64,
    rows: f64,
    seconds: f64,
    rows_rows: f64,
    rows_seconds: f64,
    /// Seconds a row, once sizes differed.
    slope: Option<f64>,
}

impl ServiceTime {
    /// A request of `rows` was answered after `took`.
    pub fn record(&mut self, rows: usize, took: Duration) {
        let (n, t) = (rows as f64, took.as_secs_f64());
        self.weight = self.weight * KEEP + 1.0;
        self.rows = self.rows * KEEP + n;
        self.seconds = self.seconds * KEEP + t;
        self.rows_rows = self.rows_rows * KEEP + n * n;
        self.rows_seconds = self.rows_seconds * KEEP + n * t;
        let (mean, _) = self.means();
        let spread = self.rows_rows / self.weight - mean * mean;
        if spread >= (LEAST_SPREAD * mean).powi(2) && spread > 0.0 {
            let together = self.rows_seconds / self.weight - mean * self.seconds / self.weight;
            self.slope = Some((together / spread).max(0.0));
        }
    }

    /// What a request of `rows` would take; none before the first answer. It must not stop all requests,
    /// or it would never be corrected.
    pub fn estimate(&self, rows: usize) -> Option<Duration> {
        let seconds = (self.weight > 0.0).then(|| self.seconds_for(rows as f64))?;
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }

    /// What a request of `rows` that took `took` would have taken, had it been of the usual size: so
    /// that large requests do not look like a slow server.
    pub fn normalise(&self, rows: usize, took: Duration) -> Duration {
        let (mean, _) = self.means();
        let (usual, this) = (self.seconds_for(mean), self.seconds_for(rows as f64));
        if usual > 0.0 && this > 0.0 { took.mul_f64((usual / this).min(1e6)) } else { took }
    }

    fn means(&self) -> (f64, f64) {
        if self.weight > 0.0 { (self.rows / self.weight, self.seconds / self.weight) } else { (0.0, 0.0) }
    }

    fn seconds_for(&self, rows: f64) -> f64 {
        let (mean_rows, mean_seconds) = self.means();
        if mean_rows <= 0.0 {
            return mean_seconds;
        }
        match self.slope {
            // The line runs through the means; neither a request nor a row takes less than nothing.
            Some(slope) => {
                let slope = slope.min(mean_seconds / mean_rows);
                (mean_seconds + slope * (rows - mean_rows)).max(0.0)
            }
            // All requests were of one size: larger ones take more in proportion, smaller ones as much.
            None => mean_seconds * (rows / mean_rows).max(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn learned(sizes: &[usize], micros: impl Fn(usize) -> u64) -> ServiceTime {
        let mut service = ServiceTime::default();
        for rows in sizes {
            service.record(*rows, Duration::from_micros(micros(*rows)));
        }
        service
    }

    fn micros(service: &ServiceTime, rows: usize) -> u128 {
        (service.estimate(rows).unwrap() + Duration::from_nanos(500)).as_micros()
    }

    #[test]
    fn a_line_is_found_exactly() {
        let service = learned(&[1, 32, 8, 64, 3], |n| 2_000 + 20 * n as u64);
        assert_eq!([1, 10, 64, 1_000].map(|n| micros(&service, n)), [2_020, 2_200, 3_280, 22_000]);
    }

    #[test]
    fn a_server_that_changes_is_followed() {
        let mut service = learned(&[1, 32, 8, 64].repeat(50), |n| 2_000 + 20 * n as u64);
        for rows in [1, 32, 8, 64].repeat(150) {
            service.record(rows, Duration::from_micros(20_000 + 200 * rows as u64));
        }
        let estimate = micros(&service, 64);
        assert!((32_700..=32_800).contains(&estimate), "{estimate}");
    }

    #[test]
    fn one_size_is_taken_with_caution() {
        assert_eq!(ServiceTime::default().estimate(8), None);
        let service = learned(&[32; 10], |_| 3_000);
        assert_eq!([1, 32, 64].map(|n| micros(&service, n)), [3_000, 3_000, 6_000]);
        // A slope that was learned is kept while sizes do not differ.
        let mut service = learned(&[1, 32, 8, 64], |n| 2_000 + 20 * n as u64);
        (0..1_000).for_each(|_| service.record(32, Duration::from_micros(2_640)));
        assert_eq!([32, 64].map(|n| micros(&service, n)), [2_640, 3_280]);
    }

    #[test]
    fn larger_requests_do_not_look_slower() {
        let service = learned(&[1, 32, 8, 64].repeat(10), |n| 2_000 + 20 * n as u64);
        let small = service.normalise(1, Duration::from_micros(2_020));
        let large = service.normalise(64, Duration::from_micros(3_280));
        assert!(small.abs_diff(large) < Duration::from_micros(1), "{small:?} {large:?}");
        let slow = service.normalise(64, Duration::from_micros(32_800));
        assert!(slow.abs_diff(large * 10) < Duration::from_micros(10));
        assert_eq!(ServiceTime::default().normalise(3, Duration::from_secs(1)), Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn an_estimate_is_never_negative_and_grows_with_the_rows(
            calls in prop::collection::vec((0_usize..2_000, 0_u64..10_000_000), 1..200), rows in 0_usize..5_000,
        ) {
            let mut service = ServiceTime::default();
            for (n, t) in calls {
                service.record(n, Duration::from_micros(t));
                let (less, more) = (service.estimate(rows).unwrap(), service.estimate(rows + 1).unwrap());
                prop_assert!(less <= more, "{less:?} {more:?}");
                service.normalise(n, Duration::from_micros(t));
            }
        }
    }
}
