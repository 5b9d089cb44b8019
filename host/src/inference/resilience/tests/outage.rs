//! Breaker, limit, budget and backoff together, while the server is down, slow and well again.

use super::play::{Health, Script, Second, play};

fn sum(seconds: &[Second], what: impl Fn(&Second) -> u64) -> u64 {
    seconds.iter().map(what).sum()
}

/// Down from 20 to 50 s, ten times slower from 90 to 120 s.
fn health(at: f64) -> Health {
    match at {
        20.0..50.0 => Health::Down,
        90.0..120.0 => Health::Up(10.0),
        _ => Health::Up(1.0),
    }
}

#[test]
fn a_server_that_fails_and_comes_back_meets_no_storm() {
    let seconds = play(Script { workers: 1_000, rate: 500.0, seconds: 180, ..Script::new(health) });
    let requests = sum(&seconds, |s| s.arrived);
    assert_eq!(requests, 90_000);
    assert_eq!(sum(&seconds, |s| s.answered + s.fallbacks), requests, "each request ends once");
    assert!(sum(&seconds, |s| s.attempts) <= requests * 12 / 10 + 10 * 180);

    // Well: every request is answered, with one attempt.
    assert_eq!(sum(&seconds[..20], |s| s.fallbacks), 0);
    // Down: five failures are enough, then a few probes.
    assert!(seconds[20].attempts <= 40, "{:?}", seconds[20]);
    assert!(seconds[20..50].iter().all(|s| s.open), "{:?}", &seconds[20..50]);
    let while_down = sum(&seconds[21..50], |s| s.attempts);
    assert!((4..=20).contains(&while_down), "{while_down} attempts in 29 s");
    assert_eq!(sum(&seconds[21..50], |s| s.answered), 0);
    // Back: within the longest time open, and no faster than the limit allows.
    let back = seconds.iter().skip(50).position(|s| !s.open).unwrap();
    assert!(back <= 20, "closed {back} s after");
    let after = &seconds[50 + back..];
    assert!(after.iter().all(|s| s.in_flight <= s.limit.max(100)), "{after:?}");
    assert_eq!(sum(&seconds[75..90], |s| s.fallbacks), 0);
    assert!(sum(&seconds[75..90], |s| s.answered) >= 15 * 500 - 20);
    // Slow, then well again: the limit has come down and is back.
    assert!(seconds[95].limit < seconds[89].limit / 2 + 50);
    assert!(sum(&seconds[90..120], |s| s.timeouts) <= 150, "{:?}", &seconds[90..120]);
    assert_eq!(sum(&seconds[130..180], |s| s.fallbacks), 0, "{:?}", &seconds[125..180]);
}

#[test]
fn a_server_that_fails_half_the_time_gets_no_more_than_the_budget() {
    // Too short for the breaker: up and down, a twentieth of a second each.
    let flapping = |at: f64| if ((at * 20.0) as u64).is_multiple_of(2) { Health::Up(0.2) } else { Health::Down };
    let mut script = Script { workers: 1_000, rate: 500.0, seconds: 60, ..Script::new(flapping) };
    script.breaker.consecutive = 0;
    script.breaker.failure_rate = 0.9;
    let seconds = play(script);
    let (requests, attempts) = (sum(&seconds, |s| s.arrived), sum(&seconds, |s| s.attempts));
    assert!(attempts > requests * 11 / 10, "retries happen: {attempts}");
    assert!(attempts <= requests * 12 / 10 + 10 * 62, "{attempts} attempts of {requests} requests");
}
