//! Three times as many rows as the server can bear, for a minute of rows: it goes on doing what it can and
//! is not pushed beyond, the rows wait in the source or are answered by the fallback, and memory does not
//! grow.

use super::super::pipeline::{Pipeline, Source};
use super::{Verdict, expect_no_row_lost, watched};
use crate::faults::ModelProcess;

/// 20 workers of 20 ms.
const BEARS: f64 = 1_000.0;
const RATE: u64 = 3_000;

pub(super) fn run(scale: f64) -> Result<Verdict, String> {
    let seconds = 60.0 * scale;
    let mut servers = [ModelProcess::start("--delay-ms 20 --workers 20 --queue 50")?];
    let rows = (RATE as f64 * seconds) as u64;
    let source = Source::Vectors { rate: Some(RATE), rows };
    let keys = "timeout = \"1s\"\nattempt_timeout = \"500ms\"\nqueue_timeout = \"100ms\"";
    let tables = "[[operator.score.fallback]]\nkind = \"constant\"\nvalue = 0.5\n";
    let urls = [servers[0].url()];
    let pipeline = Pipeline { keys, tables, adaptive: true, ..Pipeline::new(source, &urls, 500) };
    let (watch, report) = watched(&pipeline, &mut servers, |_, _| Ok(()))?;
    let mut verdict = Verdict::new("overload");
    expect_no_row_lost(&mut verdict, &report);
    let took = report["elapsed_seconds"].as_f64().unwrap_or(f64::NAN);
    verdict.note(format!("{took:.0} s for {seconds:.0} s of rows"));
    let by_model: u64 = watch.samples.iter().map(|sample| sample.rows.by_model).sum();
    let good = by_model as f64 / took;
    verdict.expect(good >= 0.8 * BEARS, format!("{good:.0} rows/s by the model (it bears {BEARS:.0})"));
    let counters = servers[0].counters()?;
    let refused = counters["statuses"]["503"].as_u64().unwrap_or_default();
    let asked = counters["requests"].as_u64().unwrap_or_default();
    verdict
        .expect(refused as f64 <= 0.2 * asked as f64, format!("{refused} of {asked} requests refused by the server"));
    let early = watch.most_memory(0.0, watch.samples.last().map_or(0.0, |s| s.at) / 3.0);
    let late = watch.most_memory(0.0, f64::MAX);
    verdict.expect(late <= early + 32.0, format!("memory {early:.0} MB in the first third, {late:.0} MB at most"));
    Ok(verdict)
}
