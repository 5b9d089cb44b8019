//! The limit of calls in flight against a server with 64 workers of 50 ms.

use super::play::{Health, Script, Second, play};

fn limits(seconds: &[Second]) -> Vec<usize> {
    seconds.iter().map(|s| s.limit).collect()
}

#[test]
fn a_server_that_bears_more_gets_more_within_a_second() {
    let script = Script { workers: 100_000, rate: 100_000.0, seconds: 3, ..Script::new(|_| Health::Up(1.0)) };
    assert_eq!(limits(&play(script.limit_only()))[..3], [1_000; 3]);
}

#[test]
fn a_queue_at_the_server_stays_short_however_much_is_offered() {
    for noise in [0.0, 0.1, 0.3, 0.5] {
        let script = Script { noise, rate: 4_000.0, seconds: 120, ..Script::new(|_| Health::Up(1.0)) };
        let seconds = play(script.limit_only());
        for (at, second) in seconds.iter().enumerate().take(120).skip(5) {
            assert!((40..=160).contains(&second.limit), "{at} s, noise {noise}: {second:?}");
        }
        // 1,280 requests a second are what it can do.
        let answered: u64 = seconds.iter().take(120).skip(10).map(|s| s.answered).sum();
        assert!(answered >= 1_230 * 110, "noise {noise}: {answered}");
    }
}

#[test]
fn a_server_that_becomes_ten_times_slower_gets_less_and_then_more_again() {
    for workers in [64, 100_000] {
        let health = |at: f64| Health::Up(if (10.0..30.0).contains(&at) { 10.0 } else { 1.0 });
        let script = Script { workers, ..Script::new(health) };
        let seconds = play(script.limit_only());
        let limits = limits(&seconds);
        assert!(limits[9] >= 50, "enough for 1,000 requests a second: {limits:?}");
        assert!(limits[13] * 2 <= limits[9], "comes down within 4 s: {limits:?}");
        assert!(limits[34] >= 50, "is back 5 s after: {limits:?}");
        let timeouts: u64 = seconds.iter().take(30).map(|s| s.timeouts).sum();
        assert!(timeouts <= 400, "{timeouts} of 20,000 requests");
        assert_eq!(seconds[45..60].iter().map(|s| s.fallbacks).sum::<u64>(), 0);
    }
}

#[test]
fn what_is_not_needed_is_not_taken() {
    let script = Script { workers: 100_000, rate: 100.0, ..Script::new(|_| Health::Up(1.0)) };
    let seconds = play(script.limit_only());
    assert!(limits(&seconds).iter().all(|l| *l <= 20), "5 in flight on average: {seconds:?}");
}
