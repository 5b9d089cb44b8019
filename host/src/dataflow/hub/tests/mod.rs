//! Pipelines with an asynchronous operator, on real threads.

mod pipeline;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use self::pipeline::*;
use super::*;
use crate::dataflow::{
    Config, Events, Failure, Graph, Network, OperatorNode, OperatorPart, Origin, Parts, SourceNode, SourcePart, Stats,
};
use crate::epoch::{Coordinator, EpochStats, Outcome};

#[test]
fn every_row_comes_out_once_in_each_order() {
    for order in [Order::Ordered, Order::Unordered, Order::Key] {
        for workers in [1, 3] {
            let ran = run(Setup { order, workers, ..Setup::default() }, Events::default());
            assert_eq!(ran.result, Ok(Outcome::Completed));
            assert_eq!(seen(&ran.out, &ran.rejected), (0..3000).collect::<Vec<_>>(), "{order:?}, {workers} workers");
            assert_eq!(ran.rejected.len(), 30);
            assert_eq!(ran.rejected[0]["operator"], "later");
            assert_eq!(ran.late, 0, "{order:?}: the watermark overtook a row");
            assert!(ran.most <= 50 && ran.most > 25, "{} rows were in flight", ran.most);
            assert_eq!(ran.calls, 3000);
            if order != Order::Unordered {
                // Behind the operator a key sees its rows as before it: without those rejected.
                let mut by_key: HashMap<String, i64> = HashMap::new();
                let mut rows: Vec<&serde_json::Value> = ran.out.iter().collect();
                rows.sort_by_key(|r| n(r));
                for row in rows {
                    let count = by_key.entry(row["key"].to_string()).or_default();
                    *count += 1;
                    assert_eq!(row["again"], *count, "{order:?}: {row}");
                }
            }
            if order == Order::Ordered && workers == 1 {
                assert!(ran.out.iter().map(n).is_sorted());
            }
        }
    }
}

#[test]
fn an_epoch_holds_what_is_out_or_in_flight_and_nothing_else() {
    for order in [Order::Ordered, Order::Unordered, Order::Key] {
        let ran = run(Setup { order, workers: 2, ..Setup::default() }, Events::default());
        assert!(ran.epochs.len() > 5);
        let with_rows = ran.epochs.iter().filter(|e| !e.in_flight.is_empty()).count();
        assert!(with_rows > 3, "{with_rows} of {} epochs had rows in flight", ran.epochs.len());
        for kept in &ran.epochs {
            let (lines, letters) = (ran.lines_at[&kept.epoch], ran.rejected_at[&kept.epoch]);
            let mut rows = seen(&ran.out[..lines], &ran.rejected[..letters]);
            for part in &kept.in_flight {
                rows.extend(numbers(&part.rows));
                let oldest = part.rows.event_times.iter().copied().min();
                assert!(oldest.is_none_or(|o| o >= part.watermark));
                // No operator behind it may forget what these rows are about to read.
                assert!(kept.watermark.is_some_and(|w| w <= part.watermark));
            }
            rows.sort_unstable();
            assert_eq!(rows, (0..kept.position.next as i64).collect::<Vec<_>>(), "{order:?}, epoch {}", kept.epoch);
        }
        assert!(ran.epochs.last().unwrap().in_flight.is_empty(), "the last epoch answers all");
    }
}

#[test]
fn a_restart_asks_again_for_what_was_in_flight_and_each_row_has_its_effect_once() {
    for order in [Order::Ordered, Order::Unordered, Order::Key] {
        let first = run(Setup { order, ..Setup::default() }, Events::default());
        let kept = first.epochs.iter().filter(|e| !e.in_flight.is_empty()).nth(3).unwrap().clone();
        let (lines, letters) = (first.lines_at[&kept.epoch], first.rejected_at[&kept.epoch]);
        let in_flight: usize = kept.in_flight.iter().map(|p| p.rows.rows()).sum();
        let position = kept.position.next as usize;
        let second = run(Setup { order, start: Some(kept), ..Setup::default() }, Events::default());
        assert_eq!(second.result, Ok(Outcome::Completed));
        assert_eq!(second.restored, in_flight as u64);
        assert_eq!(second.calls, 3000 - position + in_flight);
        let out: Vec<_> = first.out[..lines].iter().chain(&second.out).cloned().collect();
        let rejected: Vec<_> = first.rejected[..letters].iter().chain(&second.rejected).cloned().collect();
        assert_eq!(seen(&out, &rejected), (0..3000).collect::<Vec<_>>());
        assert_eq!(second.late, 0);
    }
}

#[test]
fn one_slow_row_does_not_stall_the_calls_behind_it() {
    let slow = Some((500, Duration::from_millis(150)));
    for (order, waiting) in [(Order::Ordered, 100_000), (Order::Key, 100_000), (Order::Unordered, 1)] {
        let pause = Duration::ZERO;
        let setup = Setup { order, slow, capacity: 10, waiting, pause, rows: 900, ..Setup::default() };
        let ran = run(setup, Events::default());
        assert_eq!(seen(&ran.out, &ran.rejected), (0..900).collect::<Vec<_>>());
        // Ten were in flight with it; that more were asked for is what this is about.
        assert!(ran.meanwhile > 540, "{} calls were made before the slow one was answered", ran.meanwhile);
        let at = ran.out.iter().position(|r| n(r) == 500).unwrap();
        match order {
            // It comes in its turn, though those behind it were answered before.
            Order::Ordered => assert!(ran.out[..at].iter().all(|r| n(r) < 500)),
            _ => assert!(ran.out[..at].iter().any(|r| n(r) > 500)),
        }
    }
}

#[test]
fn rows_that_wait_for_their_turn_are_bounded() {
    // Row 0 answers last: of the others no more than may wait are asked for.
    let slow = Some((0, Duration::from_millis(300)));
    let events = Events::default();
    let handle = events.handle();
    let setup =
        Setup { order: Order::Ordered, slow, capacity: 10, waiting: 20, pause: Duration::ZERO, ..Setup::default() };
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(150));
        handle.drain();
    });
    let ran = run(Setup { max_rows: 64, ..setup }, events);
    stopper.join().unwrap();
    assert_eq!(ran.result, Ok(Outcome::Drained));
    // In flight, waiting, and as many as the sources may have on the way.
    let rows = seen(&ran.out, &ran.rejected);
    assert_eq!(rows, (0..rows.len() as i64).collect::<Vec<_>>());
    assert!(rows.len() <= 20 + 10 + 64 + 5, "{} rows were taken", rows.len());
}

#[test]
fn what_cannot_be_made_stops_the_pipeline_with_its_name() {
    let make: AsyncFactory = Box::new(|_| Err("no such model".into()));
    let graph = Graph {
        sources: vec![SourceNode { name: "numbers".into(), out_of_orderness: None }],
        operators: vec![OperatorNode {
            name: "later".into(),
            inputs: vec![Origin::Source(0)],
            key: None,
            asynchronous: true,
        }],
        sinks: Vec::new(),
        dead_letters: None,
    };
    let (order, stats) = (Order::Unordered, Arc::default());
    let part = AsyncPart { make, order, key: None, waiting: 1, start: Vec::new(), stats };
    let source = Box::new(Numbers { rows: u64::MAX, block: 5, pause: Duration::from_millis(1) });
    let config = Config {
        workers: 1,
        max_in_flight_rows: 100,
        max_in_flight_bytes: 1 << 20,
        batch_rows: 10,
        batch_bytes: 1 << 10,
        checkpoint_interval: Duration::from_millis(10),
    };
    let parts = Parts {
        config,
        graph,
        sources: vec![SourcePart { source, start: Vec::new(), decoder: Box::new(|| Ok(None)) }],
        operators: vec![OperatorPart::Beside(part)],
        sinks: Vec::new(),
        epoch: 1,
        stats: Arc::new(Stats::new(0).unwrap()),
    };
    let network = Network::start(parts, Events::default()).unwrap();
    let epochs = Arc::new(EpochStats::new().unwrap());
    let keep = Box::new(Keep::default());
    let result = Coordinator::new(network, keep, epochs, Duration::from_millis(10), 1, |_| {}).run();
    assert_eq!(result, Err(Failure::new("operator `later`", "no such model")));
}
