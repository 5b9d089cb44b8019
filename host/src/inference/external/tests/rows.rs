//! Which rows are sent, when, and with what they come back.

use super::*;

#[test]
fn a_row_is_answered_with_where_its_prediction_came_from() {
    stopped(async {
        let mut bench = Bench::new(&config(), script(|_, r| (50 * MS, answers(r))));
        bench.submit(&[1.0, 2.0]);
        let rows = bench.answered(2).await;
        assert_eq!((rows[1].prediction, rows[1].source.as_str(), rows[1].attempts), (Some(4.0), "primary", 1));
        assert_eq!((rows[1].version.as_deref(), rows[1].error.as_deref()), (Some("7"), None));
        assert!((50.0..53.0).contains(&rows[1].latency_ms), "{}", rows[1].latency_ms);
        assert_eq!(bench.stats.rows(PredictionSource::Primary), 2);
    });
}

#[test]
fn no_more_requests_are_in_flight_than_the_capacity_and_room_is_theirs() {
    stopped(async {
        let mut bench = Bench::new(&config(), script(|_, r| (50 * MS, answers(r))));
        assert_eq!(bench.operator.room(), 10 + 64);
        bench.submit(&(0..74).map(|i| i as f32).collect::<Vec<_>>());
        assert_eq!(bench.operator.room(), 0);
        assert_eq!(bench.answered(74).await.len(), 74);
        assert_eq!((bench.seen.most.get(), bench.seen.calls.get()), (10, 74));
        assert!(bench.elapsed() >= 250 * MS);
    });
}

#[test]
fn rows_travel_together_and_each_gets_its_own_answer() {
    stopped(async {
        let batch = BatchConfig { max_rows: 4, max_delay: Duration::ZERO };
        let mut bench = Bench::new(&ExternalConfig { batch, ..config() }, script(|_, r| (50 * MS, answers(r))));
        bench.submit(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        let rows = bench.answered(5).await;
        assert!(rows.iter().all(|r| r.prediction == Some(r.value * 2.0)));
        let sizes: Vec<usize> = bench.seen.requests.borrow().iter().map(|r| r.1.len()).collect();
        assert_eq!(sizes, [4, 1]);
    });
}

#[test]
fn a_row_may_wait_so_long_for_a_request_and_no_longer() {
    stopped(async {
        let timeouts = Timeouts { queue: Some(100 * MS), ..config().timeouts };
        let concurrency = ConcurrencyConfig { max: 1, ..config().concurrency };
        let config = ExternalConfig { timeouts, capacity: 1, concurrency, ..config() };
        let mut bench = Bench::new(&config, script(|_, r| (900 * MS, answers(r))));
        bench.submit(&[1.0, 2.0, 3.0]);
        let rows = bench.answered(2).await;
        assert!(rows.iter().all(|r| r.source.contains("queue_timeout")), "{rows:?}");
        assert!(bench.elapsed() < 110 * MS);
        assert_eq!(bench.answered(1).await[0].prediction, Some(2.0));
    });
}

#[test]
fn only_marked_rows_and_a_stable_share_are_sent() {
    stopped(async {
        let all: Vec<f32> = (0..1000).map(|i| i as f32).collect();
        let mut bench =
            Bench::new(&ExternalConfig { when: Some("when".into()), ..config() }, script(|_, r| (MS, answers(r))));
        bench.submit(&all);
        let rows = bench.answered(1000).await;
        assert!(rows.iter().all(|r| r.prediction.is_some() == (r.value as i64 % 2 == 0)));
        assert!(rows.iter().filter(|r| r.prediction.is_none()).all(|r| r.source == "skipped" && r.version.is_none()));

        let mut chosen = Vec::new();
        for _ in 0..2 {
            let config = ExternalConfig { sample: 0.1, key: Some("key".into()), ..config() };
            let mut bench = Bench::new(&config, script(|_, r| (MS, answers(r))));
            bench.submit(&all);
            let rows = bench.answered(1000).await;
            let keys: HashSet<i64> =
                rows.iter().filter(|r| r.prediction.is_some()).map(|r| r.value as i64 / 10).collect();
            assert!((2..25).contains(&keys.len()), "{} of 100 keys", keys.len());
            // All rows of a key fare alike.
            assert!(rows.iter().all(|r| r.prediction.is_some() == keys.contains(&(r.value as i64 / 10))));
            chosen.push(keys);
        }
        assert_eq!(chosen[0], chosen[1]);
    });
}

#[test]
fn a_prediction_that_is_no_number_is_none() {
    stopped(async {
        let mut bench = Bench::new(&config(), script(|_, _| (MS, Ok(vec![f32::NAN]))));
        bench.submit(&[1.0]);
        assert!(bench.answered(1).await[0].source.contains("NaN, not a finite number"));
    });
}

#[test]
fn rows_with_lists_of_different_lengths_travel_apart() {
    stopped(async {
        let batch = BatchConfig { max_rows: 32, max_delay: Duration::ZERO };
        let concurrency = ConcurrencyConfig { max: 1, ..config().concurrency };
        let config = ExternalConfig { batch, concurrency, features: vec!["list".into()], ..config() };
        let first = |r: &Request| Ok(r.values.chunks(r.width).map(|row| row[0] * 2.0).collect());
        let mut bench = Bench::new(&config, script(move |_, r| (5 * MS, first(r))));
        // The first goes at once; the others wait for it, side by side.
        [[1.0, 2.0], [3.0, 4.0], [100.0, 101.0], [5.0, 6.0]].iter().for_each(|rows| bench.submit(rows));
        let rows = bench.answered(8).await;
        assert!(rows.iter().all(|r| r.prediction == Some(r.value * 2.0)), "{rows:?}");
        let values: Vec<usize> = bench.seen.requests.borrow().iter().map(|r| r.1.len()).collect();
        assert_eq!(values, [2, 2, 4, 2]);
    });
}

#[test]
fn an_address_that_cannot_be_called_is_found_before_a_row_is_read() {
    let mut config = config();
    let Place::Endpoint(endpoint) = &mut config.place else { panic!() };
    endpoint.urls = vec!["http://a".into(), "http://b/ c".into()];
    let error = ExternalBinding::bind(&config, &schema(), |_| None).unwrap_err().to_string();
    assert!(error.contains("address 2 of `urls`"), "{error}");
}
