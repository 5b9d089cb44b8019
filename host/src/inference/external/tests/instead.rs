//! What answers rows when the model does not.

use super::*;

#[test]
fn the_chain_answers_while_the_model_is_gone_and_remembers_what_it_said() {
    stopped(async {
        let fallback = vec![
            Fallback::LastKnownGood { max_age: 60 * S, max_keys: 100 },
            Fallback::Constant { value: Constant::Number(0.5) },
        ];
        let up = Rc::new(Cell::new(true));
        let server = Rc::clone(&up);
        let config = ExternalConfig { fallback, key: Some("key".into()), ..config() };
        let mut bench = Bench::new(
            &config,
            script(move |_, r| match server.get() {
                true => (5 * MS, answers(r)),
                false => (5 * MS, fails(ErrorClass::Connect, Verdict::Retriable)),
            }),
        );
        bench.submit(&[10.0]);
        bench.answered(1).await;
        up.set(false);
        // 11 has the key of 10.
        bench.submit(&[11.0, 20.0]);
        let rows = bench.answered(2).await;
        assert_eq!((rows[0].prediction, rows[0].source.as_str()), (Some(20.0), "last_known_good"));
        assert_eq!((rows[1].prediction, rows[1].source.as_str()), (Some(0.5), "constant"));
        assert_eq!((rows[1].error.as_deref(), rows[1].version.as_deref()), (Some("connect"), None));
        // Breakers open, and rows are answered without a call.
        for _ in 0..20 {
            bench.submit(&[30.0]);
            bench.answered(1).await;
        }
        let calls = bench.seen.calls.get();
        bench.submit(&[40.0]);
        let rows = bench.answered(1).await;
        assert_eq!((rows[0].error.as_deref(), rows[0].attempts), (Some("circuit_open"), 0));
        assert_eq!(bench.seen.calls.get(), calls);
        // The model is back: after a while it is found.
        up.set(true);
        tokio::time::sleep(40 * S).await;
        for _ in 0..10 {
            bench.submit(&[50.0]);
            bench.answered(1).await;
        }
        bench.submit(&[60.0]);
        assert_eq!(bench.answered(1).await[0].source, "primary");
    });
}

#[test]
fn without_a_chain_rows_wait_for_the_model_and_take_no_more_room() {
    stopped(async {
        let up = Rc::new(Cell::new(false));
        let server = Rc::clone(&up);
        let mut bench = Bench::new(
            &config(),
            script(move |_, r| match server.get() {
                true => (5 * MS, answers(r)),
                false => (5 * MS, fails(ErrorClass::Connect, Verdict::Retriable)),
            }),
        );
        bench.submit(&[1.0; 40]);
        tokio::time::sleep(3 * S).await;
        let given_up = bench.fetch().len();
        assert!(given_up < 40, "{given_up} of 40 rows were given up");
        assert!(bench.operator.room() < 40);
        up.set(true);
        let rows = bench.answered(40 - given_up).await;
        assert!(rows.iter().filter(|r| r.prediction.is_some()).count() > 0);
    });
}

#[test]
fn under_overload_rows_are_answered_by_the_chain_when_their_wait_is_over() {
    stopped(async {
        let timeouts = Timeouts { queue: Some(100 * MS), ..config().timeouts };
        let config = ExternalConfig { timeouts, fallback: vec![Fallback::Skip], ..config() };
        let mut bench = Bench::new(&config, script(|_, r| (500 * MS, answers(r))));
        assert!(bench.operator.room() >= 32);
        bench.submit(&(0..40).map(|i| i as f32).collect::<Vec<_>>());
        let rows = bench.answered(30).await;
        assert!(bench.elapsed() < 150 * MS, "{:?}", bench.elapsed());
        assert!(rows.iter().all(|r| r.prediction.is_none() && r.source == "skipped"));
        assert!(rows.iter().all(|r| r.error.as_deref() == Some("queue_timeout")));
        assert_eq!(bench.answered(10).await.len(), 10);
    });
}

#[test]
fn an_endpoint_that_asks_to_be_left_alone_does_not_stop_the_chain() {
    stopped(async {
        let fallback = vec![Fallback::Constant { value: Constant::Number(0.5) }];
        let asks = || fails(ErrorClass::Overload, Verdict::Overload { retry_after: Some(60 * S) });
        let mut bench = Bench::new(&ExternalConfig { fallback, ..config() }, script(move |_, _| (MS, asks())));
        for _ in 0..50 {
            bench.submit(&[1.0]);
            assert_eq!(bench.answered(1).await[0].source, "constant");
        }
        assert!(bench.elapsed() < 30 * S && bench.seen.calls.get() < 20, "{:?}", bench.elapsed());
    });
}

#[test]
fn equal_features_are_asked_for_once() {
    stopped(async {
        let cache = Some(CacheConfig { max_entries: 100, ttl: 60 * S });
        let mut bench = Bench::new(&ExternalConfig { cache, ..config() }, script(|_, r| (50 * MS, answers(r))));
        bench.submit(&[1.0, 1.0, 2.0]);
        let rows = bench.answered(3).await;
        let sources: Vec<&str> = rows.iter().map(|r| r.source.as_str()).collect();
        assert_eq!((sources.iter().filter(|s| **s == "cache").count(), bench.seen.calls.get()), (1, 2));
        bench.submit(&[2.0]);
        assert_eq!(bench.answered(1).await[0].source, "cache");
        assert_eq!(bench.seen.calls.get(), 2);
    });
}

#[test]
fn rows_that_wait_for_anothers_answer_are_bounded() {
    stopped(async {
        let cache = Some(CacheConfig { max_entries: 100, ttl: 60 * S });
        let mut bench = Bench::new(&ExternalConfig { cache, ..config() }, script(|_, r| (S / 2, answers(r))));
        let mut taken = 0;
        while let room @ 1.. = bench.operator.room() {
            bench.submit(&vec![1.0; room]);
            taken += room;
            assert!(taken <= 200, "{taken} rows were taken");
        }
        assert!((100..=101).contains(&taken), "{taken} rows were taken, and 100 may wait");
        assert_eq!((bench.answered(taken).await.len(), bench.seen.calls.get()), (taken, 1));
        assert!(bench.operator.room() > 0);
    });
}

#[test]
fn a_key_that_is_null_is_nobodys() {
    stopped(async {
        let fallback = vec![Fallback::LastKnownGood { max_age: 60 * S, max_keys: 100 }];
        let up = Rc::new(Cell::new(true));
        let server = Rc::clone(&up);
        // Marked where it is even, and no key where it is not marked.
        let config = ExternalConfig { fallback, key: Some("nullable".into()), ..config() };
        let mut bench = Bench::new(
            &config,
            script(move |_, r| match server.get() {
                true => (MS, answers(r)),
                false => (MS, fails(ErrorClass::Connect, Verdict::Retriable)),
            }),
        );
        bench.submit(&[1.0, 2.0]);
        bench.answered(2).await;
        up.set(false);
        bench.submit(&[3.0, 4.0]);
        let rows = bench.answered(2).await;
        assert!(rows[0].source.starts_with("rejected"), "{rows:?}");
        assert_eq!((rows[1].prediction, rows[1].source.as_str()), (Some(4.0), "last_known_good"));
    });
}
