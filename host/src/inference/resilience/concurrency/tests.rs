//! The limit's rules with exact numbers. How it does against a server is in `resilience/tests/limits.rs`.

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);
const OVERLOADED: Outcome = Outcome::Overloaded { retry_after: None };

struct Bench {
    limiter: Limiter,
    now: Instant,
}

impl Bench {
    fn new(initial: usize, max: usize) -> Self {
        let now = Instant::now();
        Self { limiter: Limiter::new(ConcurrencyConfig { adaptive: true, initial, min: 1, max }, now), now }
    }

    /// As many calls as may be in flight, all of which end after `took`, with `outcome`.
    fn round(&mut self, outcome: Outcome, took: Duration) -> usize {
        self.calls(self.limiter.limit(), outcome, took)
    }

    fn calls(&mut self, count: usize, outcome: Outcome, took: Duration) -> usize {
        (0..count).for_each(|_| self.limiter.begin());
        self.now += took;
        self.end(count, outcome, took);
        self.compared()
    }

    fn end(&mut self, count: usize, outcome: Outcome, took: Duration) {
        (0..count).for_each(|_| self.limiter.end(outcome, took, took, self.now));
    }

    /// The limit once what was seen is compared: when it is time, with the next call that ends.
    fn compared(&mut self) -> usize {
        self.now = self.limiter.next.map_or(self.now, |next| next.max(self.now));
        self.limiter.begin();
        self.end(1, Outcome::Cancelled, Duration::ZERO);
        self.limiter.limit()
    }
}

#[test]
fn ten_become_a_thousand_in_seven_answers() {
    let mut bench = Bench::new(10, 1_000);
    let limits: Vec<usize> = (0..8).map(|_| bench.round(Outcome::Answered, 50 * MS)).collect();
    assert_eq!(limits, [20, 40, 80, 160, 320, 640, 1_000, 1_000]);
}

#[test]
fn a_limit_that_is_not_reached_is_not_raised() {
    let mut bench = Bench::new(10, 1_000);
    (0..100).for_each(|_| assert_eq!(bench.calls(9, Outcome::Answered, 50 * MS), 10));
}

#[test]
fn overload_takes_a_tenth_and_then_it_climbs_by_steps() {
    let mut bench = Bench::new(100, 1_000);
    bench.round(Outcome::Answered, 50 * MS);
    assert_eq!(bench.round(OVERLOADED, 50 * MS), 180);
    assert_eq!(bench.round(OVERLOADED, 50 * MS), 162);
    let limits: Vec<usize> = (0..7).map(|_| bench.round(Outcome::Answered, 50 * MS)).collect();
    assert_eq!(limits, [163, 165, 169, 177, 193, 217, 244], "steps of 1, 2, 4, 8, 16, and then an eighth");
}

#[test]
fn timeouts_count_from_a_tenth_of_the_calls() {
    let mut bench = Bench::new(100, 100);
    bench.round(Outcome::Answered, 50 * MS);
    let mut mixed = |timeouts: usize, took| {
        (0..100).for_each(|_| bench.limiter.begin());
        bench.now += 49 * MS;
        bench.end(timeouts, Outcome::TimedOut, took);
        bench.end(100 - timeouts, Outcome::Answered, 50 * MS);
        bench.compared()
    };
    assert_eq!(mixed(0, MS), 100);
    assert_eq!(mixed(10, 60 * MS), 100);
    assert_eq!(mixed(50, 40 * MS), 100, "none of them was given the time of an answer");
    assert_eq!(mixed(11, 60 * MS), 90);
}

#[test]
fn slow_answers_take_up_to_half() {
    let mut bench = Bench::new(100, 100);
    (0..20).for_each(|_| _ = bench.round(Outcome::Answered, 50 * MS));
    assert_eq!(bench.round(Outcome::Answered, 500 * MS), 50);
    assert_eq!(bench.round(Outcome::Answered, 500 * MS), 43);
    (0..30).for_each(|_| _ = bench.round(Outcome::Answered, 500 * MS));
    assert!(bench.limiter.limit() > 43, "it has become usual");
}

#[test]
fn answers_that_are_slower_within_the_noise_change_nothing() {
    let mut bench = Bench::new(100, 100);
    (0..20).for_each(|_| _ = bench.round(Outcome::Answered, 50 * MS));
    (0..20).for_each(|_| assert_eq!(bench.round(Outcome::Answered, 54 * MS), 100));
}

#[test]
fn faults_and_refusals_say_nothing() {
    let mut bench = Bench::new(100, 100);
    bench.round(Outcome::Answered, 50 * MS);
    for outcome in [Outcome::Failed, Outcome::Rejected, Outcome::Cancelled].repeat(20) {
        assert_eq!(bench.round(outcome, MS), 100);
    }
}

#[test]
fn a_fixed_limit_is_the_maximum() {
    let now = Instant::now();
    let config = ConcurrencyConfig { adaptive: false, initial: 10, min: 1, max: 64 };
    let mut bench = Bench { limiter: Limiter::new(config, now), now };
    (0..64).for_each(|_| {
        assert!(bench.limiter.has_room());
        bench.limiter.begin();
    });
    assert!(!bench.limiter.has_room());
    (0..64).for_each(|_| bench.limiter.end(OVERLOADED, MS, MS, now));
    assert_eq!((bench.limiter.limit(), bench.limiter.in_flight()), (64, 0));
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        10 => Just(Outcome::Answered),
        1 => Just(Outcome::TimedOut),
        1 => Just(OVERLOADED),
        1 => Just(Outcome::Failed),
        1 => Just(Outcome::Cancelled),
    ]
}

proptest! {
    #[test]
    fn the_limit_stays_within_its_bounds(
        initial in 0_usize..200, min in 0_usize..50, max in 0_usize..300,
        steps in prop::collection::vec((any::<bool>(), outcome(), 0_u64..3_000_000, 0_u64..500_000), 1..500),
    ) {
        let start = Instant::now();
        let mut now = start;
        let mut limiter = Limiter::new(ConcurrencyConfig { adaptive: true, initial, min, max }, now);
        let (low, high) = (min.max(1), max.max(min).max(1));
        for (begin, outcome, took, gap) in steps {
            now += Duration::from_micros(gap);
            if begin && limiter.has_room() {
                limiter.begin();
            } else {
                let took = Duration::from_micros(took);
                limiter.end(outcome, took, took, now);
            }
            prop_assert!((low..=high).contains(&limiter.limit()));
            prop_assert!(limiter.in_flight() <= high);
        }
    }
}
