//! When to send a request a second time because the first is slow: later than nearly all others took,
//! and only for a small share of the requests, so that a server that is slow as a whole is spared.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::inference::external::HedgeConfig;

/// How long calls are remembered at least; twice that at most.
const WINDOW: Duration = Duration::from_secs(30);
/// Calls that must be known before the quantile means anything: 5 beyond the 95th.
const MIN_SAMPLES: u64 = 100;
/// Second requests that may come at once after a calm time.
const MAX_TOKENS: f64 = 10.0;
/// The quantile is worked out this often.
const REFRESH: Duration = Duration::from_secs(1);
/// Longest call that is told apart, in microseconds.
const MAX_MICROS: u64 = 600_000_000;

/// Decides on second requests.
#[derive(Clone, Debug)]
pub struct Hedge {
    config: HedgeConfig,
    tokens: f64,
    current: Histogram<u32>,
    previous: Histogram<u32>,
    /// Room for the sum of the two.
    both: Histogram<u32>,
    turned: Instant,
    refreshed: Option<Instant>,
    after: Option<Duration>,
}

impl Hedge {
    /// One that knows no calls yet; none when the machine cannot hold its histograms.
    pub fn new(config: HedgeConfig, now: Instant) -> Option<Self> {
        let empty = Histogram::new_with_bounds(1, MAX_MICROS, 2).ok()?;
        Some(Self {
            config,
            tokens: 0.0,
            current: empty.clone(),
            previous: empty.clone(),
            both: empty,
            turned: now,
            refreshed: None,
            after: None,
        })
    }

    /// A call was answered after `took`.
    pub fn record(&mut self, took: Duration, now: Instant) {
        self.turn(now);
        self.current.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// A request is sent for the first time: after how long to send it again, unless it was answered.
    /// None when too few calls are known or the budget is spent.
    pub fn begin(&mut self, now: Instant) -> Option<Duration> {
        self.tokens = (self.tokens + self.config.budget).min(MAX_TOKENS);
        self.turn(now);
        if self.refreshed.is_none_or(|at| now.saturating_duration_since(at) >= REFRESH) {
            self.refreshed = Some(now);
            self.after = self.quantile();
        }
        self.after.filter(|_| self.has_token())
    }

    /// Takes from the budget for a second request that is about to be sent; false when it is spent.
    pub fn take(&mut self) -> bool {
        let granted = self.has_token();
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }

    fn has_token(&self) -> bool {
        // Twenty times a twentieth is one.
        self.tokens >= 1.0 - 1e-9
    }

    fn quantile(&mut self) -> Option<Duration> {
        self.both.reset();
        self.both.add(&self.previous).ok()?;
        self.both.add(&self.current).ok()?;
        let enough = self.both.len() >= MIN_SAMPLES;
        enough.then(|| Duration::from_micros(self.both.value_at_quantile(self.config.quantile)))
    }

    fn turn(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.turned);
        if age < WINDOW {
            return;
        }
        std::mem::swap(&mut self.current, &mut self.previous);
        self.current.reset();
        if age >= 2 * WINDOW {
            self.previous.reset();
        }
        self.turned = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    fn hedge(budget: f64) -> (Hedge, Instant) {
        let now = Instant::now();
        (Hedge::new(HedgeConfig { quantile: 0.95, budget }, now).unwrap(), now)
    }

    #[test]
    fn a_second_request_is_sent_after_the_quantile() {
        let (mut hedge, now) = hedge(1.0);
        for ms in 1..=99 {
            hedge.record(ms * MS, now);
        }
        assert_eq!(hedge.begin(now), None, "99 calls are too few");
        hedge.record(100 * MS, now);
        assert_eq!(hedge.begin(now), None, "worked out once a second");
        let after = hedge.begin(now + REFRESH).unwrap();
        assert!((95 * MS..96 * MS).contains(&after), "{after:?}");
    }

    #[test]
    fn calls_are_forgotten_after_two_windows() {
        let (mut hedge, now) = hedge(1.0);
        (0..200).for_each(|_| hedge.record(500 * MS, now));
        assert!(hedge.begin(now).is_some());
        (0..200).for_each(|_| hedge.record(5 * MS, now + WINDOW));
        assert!(hedge.begin(now + WINDOW).unwrap() > 490 * MS, "both windows count");
        (0..200).for_each(|_| hedge.record(5 * MS, now + 2 * WINDOW));
        assert!(hedge.begin(now + 2 * WINDOW).unwrap() < 6 * MS);
        assert_eq!(hedge.begin(now + 10 * WINDOW), None, "after a long silence nothing is known");
    }

    #[test]
    fn the_budget_is_a_share_of_the_requests() {
        let (mut hedge, now) = hedge(0.05);
        (0..200).for_each(|_| hedge.record(MS, now));
        let sent = (1..=1_000).filter(|_| hedge.begin(now).is_some() && hedge.take()).count();
        assert_eq!(sent, 50);
        (0..1_000).for_each(|_| _ = hedge.begin(now));
        assert_eq!((0..100).filter(|_| hedge.take()).count(), 10, "what was saved is bounded");
        assert_eq!(hedge.begin(now), None);
    }

    proptest! {
        #[test]
        fn second_requests_never_exceed_the_budget(budget in 0.0..1.0, asks in prop::collection::vec(0_u8..4, 1..500)) {
            let (mut hedge, now) = hedge(budget);
            let (mut first, mut second) = (0, 0);
            for ask in asks {
                if ask == 0 {
                    second += u32::from(hedge.take());
                } else {
                    first += 1;
                    hedge.begin(now);
                }
                prop_assert!(f64::from(second) <= budget * f64::from(first) + 1e-6);
            }
        }
    }
}
