//! How many retries all requests of an operator may make together: a share of the requests, and a few
//! a second always. A server that fails half of its calls gets a fifth more of them, not three times
//! as many.

use std::time::{Duration, Instant};

use super::window::Window;

/// Time over which retries are weighed against requests: long enough for a floor of a few a second,
/// short enough that the calm of an hour ago pays for no storm.
const WINDOW: Duration = Duration::from_secs(10);

/// A budget of retries.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    share: f64,
    /// Retries that are allowed in a window whatever the number of requests.
    floor: f64,
    requests: Window<u64>,
    retries: Window<u64>,
}

impl RetryBudget {
    /// A budget of `share` retries for each request of the last 10 s and `floor` retries a second.
    pub fn new(share: f64, floor: f64, now: Instant) -> Self {
        Self {
            share,
            floor: floor * WINDOW.as_secs_f64(),
            requests: Window::new(WINDOW, now),
            retries: Window::new(WINDOW, now),
        }
    }

    /// A request was sent for the first time.
    pub fn deposit(&mut self, now: Instant) {
        self.requests.add(now, 1);
    }

    /// Whether so many calls may be sent because others failed; if so they are counted.
    pub fn withdraw(&mut self, calls: u64, now: Instant) -> bool {
        let allowed = self.balance(now) >= calls as f64;
        if allowed {
            self.retries.add(now, calls);
        }
        allowed
    }

    /// Retries that are left.
    pub fn balance(&mut self, now: Instant) -> f64 {
        // A hair above, so that five times a fifth is one.
        self.share * self.requests.sum(now) as f64 + self.floor - self.retries.sum(now) as f64 + 1e-9
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_fifth_of_the_requests_and_the_floor() {
        let start = Instant::now();
        let mut budget = RetryBudget::new(0.2, 1.0, start);
        let taken = |budget: &mut RetryBudget, now| (0..1_000).filter(|_| budget.withdraw(1, now)).count();
        assert_eq!(taken(&mut budget, start), 10, "ten seconds of the floor");
        for _ in 0..50 {
            budget.deposit(start);
        }
        assert_eq!(taken(&mut budget, start), 10);
        // What was deposited is forgotten with what was taken.
        assert_eq!(taken(&mut budget, start + WINDOW), 10);
    }

    #[test]
    fn without_share_and_floor_there_are_no_retries() {
        let now = Instant::now();
        let mut budget = RetryBudget::new(0.0, 0.0, now);
        budget.deposit(now);
        assert!(!budget.withdraw(1, now));
    }

    proptest! {
        #[test]
        fn no_retry_is_granted_beyond_the_share_of_what_was_sent(
            share in 0.0..2.0, floor in 0.0..5.0,
            steps in prop::collection::vec((0_u64..2_000, 0_usize..20, 0_usize..20), 1..100),
        ) {
            let start = Instant::now();
            let mut budget = RetryBudget::new(share, floor, start);
            let (mut clock, mut requests, mut retries) = (0_u64, Vec::new(), Vec::new());
            for (gap, sent, wanted) in steps {
                clock += gap;
                let now = start + Duration::from_millis(clock);
                requests.extend((0..sent).map(|_| clock));
                (0..sent).for_each(|_| budget.deposit(now));
                let granted = (0..wanted).filter(|_| budget.withdraw(1, now)).count();
                retries.extend((0..granted).map(|_| clock));
                // Retries are remembered for nine seconds at least, requests for ten at most.
                let since = |all: &[u64], ms| all.iter().filter(|at| **at + ms > clock).count() as f64;
                if granted > 0 {
                    let allowed = share * since(&requests, 10_001) + floor * 10.0 + 1e-6;
                    prop_assert!(since(&retries, 9_000) <= allowed);
                }
                prop_assert!(retries.len() as f64 <= share * requests.len() as f64 + floor * (10.0 + clock as f64 / 900.0) + 1e-6);
            }
        }
    }
}
