//! Ours against independent implementations, on the same random histories.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use tower::retry::budget::{Budget, TpsBudget};

use super::super::*;
use super::play::{MS, SECOND, breaker};

#[derive(Clone, Copy, Debug)]
enum Step {
    Request,
    Retry,
    Second,
    Silence,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        20 => Just(Step::Request),
        20 => Just(Step::Retry),
        1 => Just(Step::Second),
        1 => Just(Step::Silence),
    ];
    prop::collection::vec(step, 0..400)
}

proptest! {
    /// Tower forgets after eleven slots, we after ten; both keep nine seconds and neither keeps twelve.
    #[test]
    fn the_retry_budget_grants_what_that_of_tower_grants(steps in steps(), share in 1_u32..6, floor in 0_u32..3) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            // Shares whose inverse is whole, as tower counts in whole tokens.
            let theirs = TpsBudget::new(10 * SECOND, floor, 1.0 / share as f32);
            let start = Instant::now();
            let mut now = start;
            let mut ours = RetryBudget::new(1.0 / f64::from(share), f64::from(floor), now);
            let mut seconds = 0;
            for (at, step) in steps.into_iter().enumerate() {
                let wait = match step {
                    Step::Request => {
                        theirs.deposit();
                        ours.deposit(now);
                        continue;
                    }
                    Step::Retry => {
                        prop_assert_eq!(ours.withdraw(1, now), theirs.withdraw(), "step {} after {:?}", at, now - start);
                        continue;
                    }
                    Step::Second if seconds < 8 => 1,
                    Step::Second | Step::Silence => 12,
                };
                seconds = if wait == 1 { seconds + 1 } else { 0 };
                tokio::time::advance(wait * SECOND).await;
                now += wait * SECOND;
            }
            Ok(())
        })?;
    }

    /// One call in each tenth of the window, so that ours holds the last ten, as theirs always does.
    #[test]
    fn the_breaker_opens_when_recloser_opens(failures in prop::collection::vec(any::<bool>(), 0..200), rate in 1_u32..10) {
        let rate = f64::from(rate) / 10.0;
        let theirs = recloser::Recloser::custom().error_rate(rate as f32).closed_len(10).open_wait(3_600 * SECOND).build();
        let mut now = Instant::now();
        let config = crate::inference::external::BreakerConfig {
            consecutive: 0, min_calls: 10, failure_rate: rate, slow_rate: 2.0, ..breaker()
        };
        let mut ours = Breaker::new(config, now);
        let mut rng = fastrand::Rng::with_seed(1);
        // Theirs judges from the eleventh call, ours from the tenth.
        for failed in std::iter::repeat_n(false, 10).chain(failures) {
            let begun = theirs.call(|| if failed { Err(()) } else { Ok(()) });
            let permit = ours.acquire(now);
            prop_assert_eq!(permit.is_some(), !matches!(begun, Err(recloser::Error::Rejected)));
            let Some(permit) = permit else { break };
            let outcome = if failed { Outcome::Failed } else { Outcome::Answered };
            ours.settle(permit, outcome, MS, now, &mut rng);
            now += Duration::from_secs(1);
        }
    }
}
