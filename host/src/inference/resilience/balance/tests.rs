//! Which endpoint is chosen, with exact numbers, and what no history may break.

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

struct Bench {
    balancer: Balancer,
    now: Instant,
    rng: fastrand::Rng,
}

impl Bench {
    fn new(endpoints: usize) -> Self {
        let now = Instant::now();
        Self { balancer: Balancer::new(endpoints, now), now, rng: fastrand::Rng::with_seed(1) }
    }

    fn call(&mut self, endpoint: usize, outcome: Outcome, took: Duration) {
        self.balancer.begin(endpoint);
        self.balancer.end(endpoint, outcome, took, self.now);
    }

    fn fail(&mut self, endpoint: usize, times: usize) {
        (0..times).for_each(|_| self.call(endpoint, Outcome::Failed, MS));
    }

    fn pick(&mut self, not: Option<usize>) -> Option<usize> {
        self.balancer.pick(self.now, |_| true, not, &mut self.rng)
    }

    /// How often each of the endpoints is chosen, of a thousand.
    fn share(&mut self, endpoints: usize) -> Vec<usize> {
        let picks: Vec<usize> = (0..1_000).filter_map(|_| self.pick(None)).collect();
        (0..endpoints).map(|e| picks.iter().filter(|p| **p == e).count()).collect()
    }

    fn state(&self, endpoint: usize) -> EndpointState {
        self.balancer.state(endpoint, self.now).unwrap()
    }
}

#[test]
fn of_two_the_faster_one_is_chosen_until_it_has_more_to_do() {
    let mut bench = Bench::new(2);
    bench.call(0, Outcome::Answered, 10 * MS);
    bench.call(1, Outcome::Answered, 35 * MS);
    let picks: Vec<usize> = (0..7)
        .map(|_| {
            let pick = bench.pick(None).unwrap();
            bench.balancer.begin(pick);
            pick
        })
        .collect();
    // 10, 20 and 30 against 35; 40 against 35; 40, 50 and 60 against 70.
    assert_eq!(picks, [0, 0, 0, 1, 0, 0, 0]);
    assert_eq!((bench.state(0).pending, bench.state(1).pending), (6, 1));
}

#[test]
fn one_that_was_never_measured_is_tried() {
    let mut bench = Bench::new(2);
    bench.call(0, Outcome::Answered, 10 * MS);
    bench.balancer.begin(0);
    assert_eq!(bench.pick(None), Some(1));
    // Unless all that is known of it is a failure.
    bench.fail(1, 1);
    assert_eq!(bench.pick(None), Some(0));
}

#[test]
fn a_slower_answer_is_believed_at_once_and_a_faster_one_bit_by_bit() {
    let mut bench = Bench::new(1);
    let rtt = |bench: &Bench| bench.state(0).rtt.unwrap().as_millis();
    bench.call(0, Outcome::Answered, 100 * MS);
    bench.call(0, Outcome::Answered, 20 * MS);
    assert_eq!(rtt(&bench), 100);
    bench.call(0, Outcome::Answered, 200 * MS);
    assert_eq!(rtt(&bench), 200);
    bench.now += DECAY;
    assert_eq!(rtt(&bench), 73, "200 / e: what is not measured fades");
    bench.call(0, Outcome::Answered, 20 * MS);
    assert_eq!(rtt(&bench), 86, "20 + 180 / e");
    bench.call(0, Outcome::Cancelled, 50 * MS);
    assert_eq!(rtt(&bench), 86);
    bench.call(0, Outcome::Cancelled, 150 * MS);
    assert_eq!(rtt(&bench), 150, "it would have taken at least that");
}

#[test]
fn failing_fast_does_not_attract_calls() {
    let mut bench = Bench::new(2);
    bench.call(0, Outcome::Answered, 50 * MS);
    bench.call(1, Outcome::Answered, 50 * MS);
    bench.fail(1, 1);
    assert_eq!(bench.share(2), [1_000, 0]);
    assert_eq!(bench.state(1).rtt, Some(PENALTY));
    (0..20).for_each(|_| bench.call(1, Outcome::Rejected, MS));
    assert_eq!(bench.state(1).rtt, Some(PENALTY), "nor does refusing");
    bench.now += SECOND;
    bench.call(0, Outcome::Answered, 50 * MS);
    assert_eq!(bench.share(2), [0, 1_000], "the penalty is over, and 50 ms have faded to 45");
}

#[test]
fn failures_in_a_row_eject_and_each_time_for_longer() {
    let mut bench = Bench::new(2);
    bench.fail(1, 4);
    bench.call(1, Outcome::Answered, MS);
    bench.fail(1, 4);
    assert!(!bench.state(1).ejected);
    bench.fail(1, 1);
    for seconds in [30, 60, 90] {
        assert!(bench.state(1).ejected);
        bench.now += seconds * SECOND - MS;
        assert!(bench.state(1).ejected, "{seconds} s");
        bench.now += MS;
        assert!(!bench.state(1).ejected, "{seconds} s");
        bench.fail(1, 5);
    }
    // Well for two minutes: four ejections are taken back.
    bench.now += 120 * SECOND + 120 * SECOND;
    bench.fail(1, 5);
    bench.now += 30 * SECOND;
    assert!(!bench.state(1).ejected);
}

#[test]
fn at_most_half_are_ejected_and_one_alone_never() {
    for (endpoints, most) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)] {
        let mut bench = Bench::new(endpoints);
        (0..endpoints).for_each(|e| bench.fail(e, 10));
        assert_eq!((0..endpoints).filter(|e| bench.state(*e).ejected).count(), most);
        assert!(bench.pick(None).is_some());
    }
}

#[test]
fn overload_does_not_eject_and_retry_after_pauses() {
    let mut bench = Bench::new(2);
    let overloaded = |after| Outcome::Overloaded { retry_after: after };
    (0..20).for_each(|_| bench.call(1, overloaded(None), MS));
    assert!(!bench.state(1).ejected && !bench.state(1).paused);
    assert_eq!(bench.share(2), [1_000, 0], "but it looks slow");
    bench.call(1, overloaded(Some(7 * SECOND)), MS);
    bench.call(1, overloaded(Some(SECOND)), MS);
    assert_eq!(bench.balancer.paused_until(bench.now), Some(bench.now + 7 * SECOND), "the longer one");
    bench.call(0, overloaded(Some(Duration::MAX)), MS);
    assert_eq!(bench.pick(None), None, "all asked to be left alone");
    bench.now += 7 * SECOND;
    assert_eq!(bench.pick(None), Some(1));
    assert_eq!(bench.balancer.paused_until(bench.now), Some(bench.now + MAX_RETRY_AFTER - 7 * SECOND));
}

#[test]
fn another_endpoint_is_tried_before_the_same_and_an_ejected_one_last() {
    let mut bench = Bench::new(2);
    bench.call(0, Outcome::Answered, MS);
    bench.call(1, Outcome::Answered, SECOND);
    assert_eq!(bench.pick(Some(0)), Some(1));
    bench.fail(1, 5);
    assert_eq!(bench.pick(Some(0)), Some(0));
    let only = |bench: &mut Bench, only| bench.balancer.pick(bench.now, |e| e == only, Some(0), &mut bench.rng);
    assert_eq!(only(&mut bench, 1), Some(1), "the last resort");
    assert_eq!(only(&mut bench, 2), None);
}

#[test]
fn two_choices_reach_all_and_avoid_the_worst() {
    let mut bench = Bench::new(4);
    (0..4).for_each(|e| bench.call(e, Outcome::Answered, (e as u32 + 1) * 10 * MS));
    let share = bench.share(4);
    // The better of two distinct ones: 3, 2, 1 and 0 of 6 pairs.
    for (found, expected) in share.iter().zip([500, 333, 167, 0]) {
        assert!(found.abs_diff(expected) < 50, "{share:?}");
    }
}

#[test]
fn one_that_has_passed_its_trial_gets_its_share_again() {
    let mut bench = Bench::new(2);
    for _ in 0..EJECT_AFTER {
        bench.call(0, Outcome::Failed, Duration::from_millis(1));
    }
    assert!(bench.state(0).ejected);
    bench.balancer.recovered(0);
    bench.call(0, Outcome::Answered, Duration::from_millis(5));
    bench.call(1, Outcome::Answered, Duration::from_millis(5));
    let now = bench.now;
    let picked = (0..100).filter(|_| bench.balancer.pick(now, |_| true, None, &mut bench.rng) == Some(0)).count();
    assert!(!bench.state(0).ejected && picked > 20, "{picked}");
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Answered),
        Just(Outcome::Failed),
        Just(Outcome::TimedOut),
        Just(Outcome::Rejected),
        Just(Outcome::Cancelled),
        prop::option::of(0_u64..1_000).prop_map(|s| Outcome::Overloaded { retry_after: s.map(Duration::from_secs) }),
    ]
}

proptest! {
    #[test]
    fn it_picks_only_what_is_available_and_something_while_anything_is(
        endpoints in 0_usize..6, seed: u64,
        steps in prop::collection::vec((0_u64..20_000, outcome(), 0_u64..5_000, any::<u8>(), prop::option::of(0_usize..6)), 1..200),
    ) {
        let mut bench = Bench::new(endpoints);
        bench.rng = fastrand::Rng::with_seed(seed);
        for (gap, outcome, took, available, not) in steps {
            bench.now += Duration::from_millis(gap);
            let now = bench.now;
            let may = |e: usize| available & (1 << e) != 0;
            let picked = bench.balancer.pick(now, may, not, &mut bench.rng);
            let open: Vec<usize> = (0..endpoints).filter(|e| may(*e) && !bench.state(*e).paused).collect();
            prop_assert_eq!(picked.is_some(), !open.is_empty());
            let ejected = (0..endpoints).filter(|e| bench.state(*e).ejected).count();
            prop_assert!(ejected * 2 <= endpoints);
            if let Some(picked) = picked {
                prop_assert!(open.contains(&picked));
                let well: Vec<usize> = open.iter().copied().filter(|e| !bench.state(*e).ejected).collect();
                prop_assert!(well.is_empty() || well.contains(&picked), "an ejected one is the last resort");
                prop_assert!(Some(picked) != not || !well.iter().any(|e| Some(*e) != not));
                bench.call(picked, outcome, Duration::from_millis(took));
                prop_assert_eq!(bench.state(picked).pending, 0);
            }
        }
    }
}
