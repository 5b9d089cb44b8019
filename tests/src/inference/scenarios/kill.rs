//! `kill -9` with 1,000 requests in flight: after a restart with the same command each row is in the output
//! once, with its own score.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::super::host::{check, report};
use super::super::pipeline::{Pipeline, Source};
use super::super::rows::read;
use super::Verdict;
use crate::faults::{ModelProcess, predict};
use crate::{PATIENCE, generate};

const ROWS: u64 = 50_000;

pub(super) fn run() -> Result<Verdict, String> {
    let mut server = ModelProcess::start("--delay-ms 200 --keys")?;
    let pipeline = Pipeline::new(Source::File, &[server.url()], 1_000);
    let job = pipeline.job();
    check(&job)?;
    generate(&job, "transactions.jsonl", ROWS, &["--seed", "1"]);
    let mut verdict = Verdict::new("kill");
    // Some seconds in, so that epochs are committed and rows are out.
    let running = job.start();
    let until = Instant::now() + PATIENCE;
    let in_flight = loop {
        let counters = server.counters()?;
        let in_flight = counters["in_flight"].as_u64().unwrap_or_default();
        if in_flight >= 990 && counters["requests"].as_u64().unwrap_or_default() >= ROWS / 5 {
            break in_flight;
        }
        if Instant::now() > until {
            return Err(format!("never 1,000 requests in flight: {counters}"));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    drop(running.stop("KILL"));
    verdict.note(format!("killed with {in_flight} requests in flight"));
    report(&job.run())?;
    let mut seen: HashMap<i64, u64> = HashMap::new();
    let mut wrong = 0;
    read(&job.path("out.jsonl"), 0, |row| {
        *seen.entry(row.transaction_id.unwrap_or(-1)).or_default() += 1;
        let expected = row.amount.map(|amount| predict(&[amount as f32]));
        let close = row.score.zip(expected).is_some_and(|(a, b)| (a as f32 - b).abs() <= b.abs() * 1e-6);
        wrong += u64::from(!close);
    })?;
    let doubled = seen.values().filter(|count| **count > 1).count();
    let missing = ROWS - (seen.len() as u64).min(ROWS);
    verdict.expect(doubled == 0 && missing == 0, format!("of {ROWS} rows {missing} missing, {doubled} more than once"));
    verdict.expect(wrong == 0, format!("{wrong} with another score"));
    let counters = server.counters()?;
    verdict.note(format!("{} requests in all, {} keys asked twice", counters["requests"], counters["repeated_keys"]));
    Ok(verdict)
}
