//! The breaker's rules with exact numbers, and what no history of calls may break.

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn config() -> BreakerConfig {
    BreakerConfig {
        window: 10 * SECOND,
        min_calls: 20,
        failure_rate: 0.5,
        slow_rate: 0.8,
        slow_after: 200 * MS,
        consecutive: 5,
        open_for: SECOND,
        max_open: 30 * SECOND,
        probes: 3,
    }
}

struct Bench {
    breaker: Breaker,
    now: Instant,
    rng: fastrand::Rng,
}

impl Bench {
    fn new(config: BreakerConfig) -> Self {
        let now = Instant::now();
        Self { breaker: Breaker::new(config, now), now, rng: fastrand::Rng::with_seed(1) }
    }

    fn call_of(&mut self, outcome: Outcome, took: Duration) -> BreakerState {
        let permit = self.breaker.acquire(self.now).expect("a permit");
        self.settle(permit, outcome, took)
    }

    fn call(&mut self, outcome: Outcome) -> BreakerState {
        self.call_of(outcome, MS)
    }

    fn settle(&mut self, permit: Permit, outcome: Outcome, took: Duration) -> BreakerState {
        self.breaker.settle(permit, outcome, took, self.now, &mut self.rng);
        self.breaker.state(self.now)
    }

    /// Waits until it may be tried; how long that was.
    fn wait(&mut self) -> Duration {
        let until = self.breaker.opens_until().expect("an open breaker");
        until - std::mem::replace(&mut self.now, until)
    }
}

const OVERLOADED: Outcome = Outcome::Overloaded { retry_after: None };

#[test]
fn failures_in_a_row_open_it() {
    let mut bench = Bench::new(config());
    (0..4).for_each(|_| assert_eq!(bench.call(Outcome::Failed), BreakerState::Closed));
    assert_eq!(bench.call(Outcome::Answered), BreakerState::Closed);
    (0..4).for_each(|_| assert_eq!(bench.call(Outcome::TimedOut), BreakerState::Closed));
    assert_eq!(bench.call(OVERLOADED), BreakerState::Closed, "neither counts nor breaks the row");
    assert_eq!(bench.call(Outcome::Failed), BreakerState::Open);
    assert!(!bench.breaker.allows(bench.now) && bench.breaker.acquire(bench.now).is_none());
    assert_eq!(bench.breaker.opened(), 1);
}

#[test]
fn a_share_of_failures_opens_it_once_there_are_enough_calls() {
    let mut bench = Bench::new(BreakerConfig { consecutive: 0, ..config() });
    (0..10).for_each(|_| _ = bench.call(Outcome::Answered));
    (0..9).for_each(|_| assert_eq!(bench.call(OVERLOADED), BreakerState::Closed));
    assert_eq!(bench.breaker.counts(bench.now), BreakerCounts { calls: 19, failed: 9, slow: 0 });
    assert_eq!(bench.call(Outcome::Failed), BreakerState::Open, "10 of 20");
}

#[test]
fn what_left_the_window_does_not_count() {
    let mut bench = Bench::new(BreakerConfig { consecutive: 0, ..config() });
    (0..19).for_each(|_| _ = bench.call(Outcome::Failed));
    bench.now += 10 * SECOND;
    assert_eq!(bench.call(Outcome::Failed), BreakerState::Closed);
    assert_eq!(bench.breaker.counts(bench.now).calls, 1);
}

#[test]
fn requests_that_are_wrong_say_nothing_against_the_server() {
    let mut bench = Bench::new(config());
    (0..100).for_each(|_| assert_eq!(bench.call(Outcome::Rejected), BreakerState::Closed));
    (0..100).for_each(|_| assert_eq!(bench.call(Outcome::Cancelled), BreakerState::Closed));
    assert_eq!(bench.breaker.counts(bench.now), BreakerCounts { calls: 100, failed: 0, slow: 0 });
}

#[test]
fn slow_answers_open_it() {
    let mut bench = Bench::new(config());
    (0..4).for_each(|_| _ = bench.call_of(Outcome::Answered, 200 * MS));
    (0..15).for_each(|_| assert_eq!(bench.call_of(Outcome::Answered, 201 * MS), BreakerState::Closed));
    assert_eq!(bench.call_of(Outcome::Answered, 201 * MS), BreakerState::Open, "16 of 20");
}

#[test]
fn all_probes_must_succeed() {
    let mut bench = Bench::new(config());
    (0..5).for_each(|_| _ = bench.call(Outcome::Failed));
    bench.wait();
    assert_eq!(bench.breaker.state(bench.now), BreakerState::HalfOpen);
    assert_eq!(bench.call(Outcome::Answered), BreakerState::HalfOpen);
    assert_eq!(bench.call(Outcome::Rejected), BreakerState::HalfOpen);
    assert_eq!(bench.call(OVERLOADED), BreakerState::Open, "overload fails a probe");
    bench.wait();
    (0..2).for_each(|_| assert_eq!(bench.call(Outcome::Answered), BreakerState::HalfOpen));
    assert_eq!(bench.call(Outcome::Answered), BreakerState::Closed);
    assert_eq!(bench.breaker.counts(bench.now), BreakerCounts::default(), "a new life");
}

#[test]
fn probes_that_are_all_slow_fail_and_one_of_three_does_not() {
    let mut bench = Bench::new(config());
    (0..5).for_each(|_| _ = bench.call(Outcome::Failed));
    bench.wait();
    (0..2).for_each(|_| assert_eq!(bench.call_of(Outcome::Answered, SECOND), BreakerState::HalfOpen));
    assert_eq!(bench.call_of(Outcome::Answered, SECOND), BreakerState::Open);
    bench.wait();
    assert_eq!(bench.call_of(Outcome::Answered, SECOND), BreakerState::HalfOpen);
    assert_eq!(bench.call(Outcome::Answered), BreakerState::HalfOpen);
    assert_eq!(bench.call(Outcome::Answered), BreakerState::Closed);
}

#[test]
fn the_time_open_doubles_up_to_the_longest_and_begins_anew_when_it_was_closed() {
    let mut bench = Bench::new(config());
    let mut waits = Vec::new();
    (0..5).for_each(|_| _ = bench.call(Outcome::Failed));
    for _ in 0..8 {
        waits.push(bench.wait());
        bench.call(Outcome::Failed);
    }
    for (wait, expected) in waits.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]) {
        let share = wait.as_secs_f64() / expected;
        assert!((0.8..=1.2).contains(&share) && *wait <= 30 * SECOND, "{waits:?}");
    }
    assert!(waits.windows(2).all(|w| w[1] != 2 * w[0]), "each is spread: {waits:?}");
    bench.wait();
    (0..3).for_each(|_| _ = bench.call(Outcome::Answered));
    (0..5).for_each(|_| _ = bench.call(Outcome::Failed));
    assert!(bench.wait() <= 1_200 * MS);
}

#[test]
fn a_call_from_before_says_nothing_now() {
    let mut bench = Bench::new(config());
    let mut old: Vec<Permit> = (0..20).filter_map(|_| bench.breaker.acquire(bench.now)).collect();
    (0..5).for_each(|_| _ = bench.call(Outcome::Failed));
    let mut late = |bench: &mut Bench, outcome| bench.settle(old.pop().unwrap(), outcome, MS);
    assert_eq!(late(&mut bench, Outcome::Answered), BreakerState::Open);
    bench.wait();
    let probe = bench.breaker.acquire(bench.now).unwrap();
    assert_eq!(late(&mut bench, Outcome::Failed), BreakerState::HalfOpen, "no probe of this trial");
    (0..5).for_each(|_| _ = late(&mut bench, Outcome::Answered));
    (0..5).for_each(|_| _ = late(&mut bench, Outcome::Cancelled));
    assert_eq!(bench.settle(probe, Outcome::Answered, MS), BreakerState::HalfOpen);
    (0..2).for_each(|_| _ = bench.call(Outcome::Answered));
    (0..5).for_each(|_| assert_eq!(late(&mut bench, Outcome::Failed), BreakerState::Closed));
}

#[test]
fn a_cancelled_probe_is_given_back() {
    let mut bench = Bench::new(BreakerConfig { probes: 1, ..config() });
    (0..5).for_each(|_| _ = bench.call(Outcome::Failed));
    bench.wait();
    for _ in 0..10 {
        let probe = bench.breaker.acquire(bench.now).unwrap();
        assert!(!bench.breaker.allows(bench.now));
        assert_eq!(bench.settle(probe, Outcome::Cancelled, MS), BreakerState::HalfOpen);
    }
    assert_eq!(bench.call(Outcome::Answered), BreakerState::Closed);
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        4 => Just(Outcome::Answered),
        4 => Just(Outcome::Failed),
        1 => Just(Outcome::TimedOut),
        1 => Just(Outcome::Rejected),
        1 => Just(Outcome::Cancelled),
        1 => Just(OVERLOADED),
    ]
}

proptest! {
    #[test]
    fn a_trial_never_has_more_probes_in_flight_than_it_may(
        probes in 1_u32..5, consecutive in 0_u32..4,
        steps in prop::collection::vec((0_u64..3_000, 0_usize..4, any::<prop::sample::Index>(), outcome(), 0_u64..400), 1..300),
    ) {
        let mut bench = Bench::new(BreakerConfig { probes, consecutive, min_calls: 5, ..config() });
        let mut calls: Vec<(Permit, BreakerState)> = Vec::new();
        for (gap, begins, which, outcome, took) in steps {
            bench.now += Duration::from_millis(gap);
            for _ in 0..begins {
                let (before, allowed) = (bench.breaker.state(bench.now), bench.breaker.allows(bench.now));
                let permit = bench.breaker.acquire(bench.now);
                prop_assert_eq!(permit.is_some(), allowed);
                prop_assert!(before != BreakerState::Open || permit.is_none());
                prop_assert!(before != BreakerState::Closed || permit.is_some());
                calls.extend(permit.map(|permit| (permit, before)));
            }
            if !calls.is_empty() {
                let (permit, begun) = calls.swap_remove(which.index(calls.len()));
                let before = bench.breaker.state(bench.now);
                let current = permit.generation == bench.breaker.generation;
                let after = bench.settle(permit, outcome, Duration::from_millis(took));
                // Only calls of this state change it, and only a trial closes.
                prop_assert!(before == after || current && before == begun);
                prop_assert!(after != BreakerState::Closed || before != BreakerState::Open);
            }
            let generation = bench.breaker.generation;
            let on_trial = calls.iter().filter(|(p, begun)| p.generation == generation && *begun == BreakerState::HalfOpen);
            prop_assert!(on_trial.count() <= probes as usize);
        }
    }
}
