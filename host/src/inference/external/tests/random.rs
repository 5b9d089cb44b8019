//! Whatever happens.

use super::*;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever calls come to, in whatever order, with whatever settings: each row is answered once and
    /// in time, no more calls are in flight than may be, and nothing is left behind.
    #[test]
    fn each_row_is_answered_once_whatever_happens(
        seed: u64,
        sizes in prop::collection::vec(1usize..20, 1..12),
        pauses in prop::collection::vec(0u64..400, 12),
        max_rows in 1usize..9,
        attempts in 1u32..5,
        capacity in 1usize..12,
        adaptive: bool,
        hedged: bool,
        cached: bool,
        queue: bool,
        chain in 0usize..3,
        drop_at in prop::option::of(0u64..3_000),
    ) {
        stopped(async move {
            let mut links = vec![
                Fallback::Constant { value: Constant::Number(0.5) },
                Fallback::LastKnownGood { max_age: S, max_keys: 10 },
            ];
            links.truncate(chain);
            let config = ExternalConfig {
                capacity,
                batch: BatchConfig { max_rows, max_delay: Duration::from_millis(seed % 20) },
                retry: RetryConfig { attempts, ..config().retry },
                concurrency: ConcurrencyConfig { adaptive, initial: 2, min: 1, max: capacity },
                hedge: hedged.then_some(HedgeConfig { quantile: 0.5, budget: 1.0 }),
                cache: cached.then_some(CacheConfig { max_entries: 4, ttl: S }),
                timeouts: Timeouts { queue: queue.then_some(300 * MS), ..config().timeouts },
                key: Some("key".into()),
                fallback: links,
                ..config()
            };
            let rng = RefCell::new(fastrand::Rng::with_seed(seed));
            let mut bench = Bench::new(&config, script(move |_, r| {
                let mut rng = rng.borrow_mut();
                let wait = Duration::from_micros(rng.u64(0..200_000));
                match rng.u8(0..20) {
                    0 => (3600 * S, answers(r)),
                    1 | 2 => (wait, fails(ErrorClass::Reset, Verdict::Retriable)),
                    3 => (wait, fails(ErrorClass::Status5xx, Verdict::RetriableOnce)),
                    4 => {
                        let retry_after = rng.bool().then_some(100 * MS);
                        (wait, fails(ErrorClass::Overload, Verdict::Overload { retry_after }))
                    }
                    5 => (wait, fails(ErrorClass::Status4xx, Verdict::Permanent)),
                    6 => (Duration::ZERO, Err(CallFailure {
                        class: ErrorClass::BadRow,
                        verdict: Verdict::Permanent,
                        reason: "bad".into(),
                        bad_rows: vec![BadRow { row: rng.usize(0..r.rows + 1), reason: "bad".into() }],
                    })),
                    7 => (wait, Ok(vec![f32::NAN; r.rows])),
                    _ => (wait, answers(r)),
                }
            }));
            let mut seen: HashSet<u64> = HashSet::new();
            let mut all = 0;
            for (size, pause) in sizes.iter().zip(&pauses) {
                bench.submit(&(0..*size).map(|i| (i % 7) as f32).collect::<Vec<_>>());
                all += size;
                tokio::time::sleep(Duration::from_millis(*pause)).await;
                for id in bench.done.borrow().iter() {
                    assert!(seen.insert(*id), "row {id} was answered twice");
                }
                bench.fetch();
            }
            if let Some(at) = drop_at {
                // Shutdown: what is not answered then is never.
                tokio::time::sleep(Duration::from_millis(at)).await;
                for id in bench.done.borrow().iter() {
                    assert!(seen.insert(*id), "row {id} was answered twice");
                }
                return;
            }
            while seen.len() < all {
                tokio::time::sleep(10 * MS).await;
                for id in bench.done.borrow().iter() {
                    assert!(seen.insert(*id), "row {id} was answered twice");
                }
                bench.fetch();
                assert!(bench.elapsed() < 600 * S, "{} of {all} rows were answered", seen.len());
            }
            assert!(bench.seen.most.get() <= capacity * 2, "{} calls in flight", bench.seen.most.get());
            tokio::time::sleep(5 * S).await;
            assert!(bench.done.borrow().is_empty());
            assert_eq!(bench.seen.in_flight.get(), 0);
            use std::sync::atomic::Ordering::Relaxed;
            assert_eq!(bench.stats.requests_in_flight.load(Relaxed), 0);
            assert!(bench.stats.endpoints.iter().all(|e| e.in_flight.load(Relaxed) == 0));
        });
    }
}
