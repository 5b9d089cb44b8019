//! What is done about calls that fail, or are slow.

use super::*;

#[test]
fn an_attempt_that_fails_is_repeated_elsewhere_under_the_same_name() {
    stopped(async {
        let first = Cell::new(true);
        let mut bench = Bench::new(
            &config(),
            script(move |_, r| match first.replace(false) {
                true => (5 * MS, fails(ErrorClass::Reset, Verdict::Retriable)),
                false => (5 * MS, answers(r)),
            }),
        );
        bench.submit(&[1.0]);
        let rows = bench.answered(1).await;
        assert_eq!((rows[0].source.as_str(), rows[0].attempts, rows[0].prediction), ("retry", 2, Some(2.0)));
        let requests = bench.seen.requests.borrow();
        assert_ne!(requests[0].0, requests[1].0);
        assert_eq!(requests[0].2, requests[1].2);
    });
}

#[test]
fn what_no_attempt_can_mend_is_not_repeated() {
    stopped(async {
        let permanent = || fails(ErrorClass::Status4xx, Verdict::Permanent);
        let mut bench = Bench::new(&config(), script(move |_, _| (5 * MS, permanent())));
        bench.submit(&[1.0]);
        let rows = bench.answered(1).await;
        let reason = "rejected: model `fraud` gave no prediction: status_4xx after 1 attempt: scripted";
        assert_eq!((rows[0].source.as_str(), bench.seen.calls.get()), (reason, 1));
    });
}

#[test]
fn a_failure_that_is_worth_one_more_attempt_gets_one() {
    stopped(async {
        let retry = RetryConfig { attempts: 5, ..config().retry };
        let once = || fails(ErrorClass::Status5xx, Verdict::RetriableOnce);
        let mut bench = Bench::new(&ExternalConfig { retry, ..config() }, script(move |_, _| (MS, once())));
        bench.submit(&[1.0]);
        bench.answered(1).await;
        assert_eq!(bench.seen.calls.get(), 2);
    });
}

#[test]
fn a_row_whose_time_is_spent_is_answered_then_and_not_later() {
    stopped(async {
        let mut bench = Bench::new(&config(), script(|_, r| (3600 * S, answers(r))));
        bench.submit(&[1.0]);
        let rows = bench.answered(1).await;
        assert!(rows[0].source.contains("timeout after 2 attempts"), "{}", rows[0].source);
        assert!(bench.elapsed() <= 2 * S + 5 * MS, "{:?}", bench.elapsed());
        assert_eq!(bench.seen.in_flight.get(), 0);
    });
}

#[test]
fn one_bad_row_does_not_take_its_neighbours_with_it() {
    stopped(async {
        let batch = BatchConfig { max_rows: 32, max_delay: Duration::ZERO };
        let refuses = |r: &Request| match r.values.contains(&13.0) {
            true => fails(ErrorClass::Status4xx, Verdict::Permanent),
            false => answers(r),
        };
        let mut bench = Bench::new(&ExternalConfig { batch, ..config() }, script(move |_, r| (5 * MS, refuses(r))));
        bench.submit(&(0..32).map(|i| i as f32).collect::<Vec<_>>());
        let rows = bench.answered(32).await;
        assert_eq!(rows.iter().filter(|r| r.prediction.is_some()).count(), 31);
        assert!(rows[13].source.contains("status_4xx"), "{}", rows[13].source);
        assert!(bench.seen.calls.get() <= 11, "{} calls", bench.seen.calls.get());
    });
}

#[test]
fn several_bad_rows_are_found_wherever_they_are() {
    stopped(async {
        let batch = BatchConfig { max_rows: 256, max_delay: Duration::ZERO };
        let bad = [3.0, 100.0, 101.0, 255.0];
        let refuses = move |r: &Request| match r.values.iter().any(|v| bad.contains(v)) {
            true => fails(ErrorClass::Status4xx, Verdict::Permanent),
            false => answers(r),
        };
        let mut bench = Bench::new(&ExternalConfig { batch, ..config() }, script(move |_, r| (MS, refuses(r))));
        bench.submit(&(0..256).map(|i| i as f32).collect::<Vec<_>>());
        let rows = bench.answered(256).await;
        let lost: Vec<f32> = rows.iter().filter(|r| r.prediction.is_none()).map(|r| r.value).collect();
        assert_eq!(lost, bad);
    });
}

#[test]
fn a_batch_that_is_refused_whole_costs_no_call_a_row() {
    stopped(async {
        let batch = BatchConfig { max_rows: 256, max_delay: Duration::ZERO };
        let refuses = || fails(ErrorClass::Status4xx, Verdict::Permanent);
        let mut bench = Bench::new(&ExternalConfig { batch, ..config() }, script(move |_, _| (5 * MS, refuses())));
        bench.submit(&(0..256).map(|i| i as f32).collect::<Vec<_>>());
        assert_eq!(bench.answered(256).await.len(), 256);
        let calls = bench.seen.calls.get();
        assert!(calls <= 80, "{calls} calls");
        // And all batches together no more than the budget of retries.
        for _ in 0..10 {
            bench.submit(&[1.0; 256]);
            bench.answered(256).await;
        }
        assert!(bench.seen.calls.get() <= 11 + 110, "{} calls", bench.seen.calls.get());
    });
}

#[test]
fn what_is_not_said_of_rows_is_no_reason_to_cut_a_batch() {
    stopped(async {
        let batch = BatchConfig { max_rows: 256, max_delay: Duration::ZERO };
        for class in [ErrorClass::Overload, ErrorClass::BadReply, ErrorClass::Unfinished] {
            let config = ExternalConfig { batch, ..config() };
            let mut bench = Bench::new(&config, script(move |_, _| (MS, fails(class, Verdict::Permanent))));
            bench.submit(&[1.0; 256]);
            bench.answered(256).await;
            assert_eq!(bench.seen.calls.get(), 1);
        }
    });
}

#[test]
fn an_endpoint_that_refuses_everybody_at_once_attracts_nobody() {
    stopped(async {
        // One of two is not set up: it says so faster than the other answers.
        let says = |endpoint, r: &Request| match endpoint {
            0 => (MS, fails(ErrorClass::Status4xx, Verdict::RetriableOnce)),
            _ => (20 * MS, answers(r)),
        };
        let mut bench = Bench::new(&config(), script(says));
        for _ in 0..200 {
            bench.submit(&[1.0]);
            assert!(bench.answered(1).await[0].prediction.is_some());
        }
        let refused = bench.seen.requests.borrow().iter().filter(|r| r.0 == 0).count();
        assert!(refused <= 20, "{refused} of 200 calls");
    });
}

#[test]
fn rows_that_cannot_be_sent_are_told_apart_before_they_are() {
    stopped(async {
        let batch = BatchConfig { max_rows: 4, max_delay: Duration::ZERO };
        let says = |r: &Request| match r.values.iter().position(|v| *v == 2.0) {
            Some(row) => Err(CallFailure {
                class: ErrorClass::BadRow,
                verdict: Verdict::Permanent,
                reason: "one row".into(),
                bad_rows: vec![BadRow { row, reason: "it is two".into() }],
            }),
            None => answers(r),
        };
        let mut bench =
            Bench::new(&ExternalConfig { batch, ..config() }, script(move |_, r| (Duration::ZERO, says(r))));
        bench.submit(&[1.0, 2.0, 3.0]);
        let rows = bench.answered(3).await;
        assert!(rows[1].source.contains("bad_row") && rows[1].source.ends_with("it is two"), "{}", rows[1].source);
        assert_eq!((rows[0].attempts, rows[2].prediction), (1, Some(6.0)));
    });
}

#[test]
fn an_endpoint_that_is_back_gets_its_share_within_seconds() {
    stopped(async {
        let up = Rc::new(Cell::new(false));
        let server = Rc::clone(&up);
        let mut bench = Bench::new(
            &config(),
            script(move |endpoint, r| match endpoint == 1 || server.get() {
                true => (5 * MS, answers(r)),
                false => (MS, fails(ErrorClass::Connect, Verdict::Retriable)),
            }),
        );
        let mut calls = [0, 0];
        for round in 0..400 {
            up.set(round >= 200);
            bench.submit(&[1.0]);
            assert!(bench.answered(1).await[0].prediction.is_some());
            tokio::time::sleep(50 * MS).await;
            if round >= 300 {
                bench.seen.requests.borrow().last().iter().for_each(|r| calls[r.0] += 1);
            }
        }
        assert!(calls[0] > 20 && calls[1] > 20, "{calls:?}");
        assert!(bench.stats.endpoints[0].requests.load(std::sync::atomic::Ordering::Relaxed) < 250);
    });
}

#[test]
fn a_slow_call_is_overtaken_by_a_second_one() {
    stopped(async {
        let hedge = Some(HedgeConfig { quantile: 0.9, budget: 1.0 });
        let slow = Rc::new(Cell::new(None));
        let which = Rc::clone(&slow);
        let mut bench = Bench::new(
            &ExternalConfig { hedge, ..config() },
            script(move |e, r| match which.get() == Some(e) {
                true => (900 * MS, answers(r)),
                false => (10 * MS, answers(r)),
            }),
        );
        for _ in 0..300 {
            bench.submit(&[1.0]);
            bench.answered(1).await;
        }
        slow.set(Some(0));
        let mut hedged = 0;
        for _ in 0..20 {
            bench.submit(&[2.0]);
            let rows = bench.answered(1).await;
            hedged += usize::from(rows[0].source == "hedge");
            assert!(rows[0].latency_ms < 500.0, "{rows:?}");
        }
        assert!(hedged > 0);
        assert_eq!(bench.seen.in_flight.get(), 0);
    });
}
