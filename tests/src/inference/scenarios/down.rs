//! The server is gone for 30 s under 5,000 rows/s: nothing is lost, memory does not grow, the breaker opens,
//! the fallback serves, and the server is not trampled when it is back.

use super::super::pipeline::{Pipeline, Source};
use super::{Verdict, busiest_second, expect_no_row_lost, watched};
use crate::faults::ModelProcess;

const RATE: u64 = 5_000;

pub(super) fn run(scale: f64) -> Result<Verdict, String> {
    let [up, down, after] = [10.0, 30.0, 20.0].map(|seconds| seconds * scale);
    let mut servers = [ModelProcess::start("--delay-ms 5")?];
    let rows = (RATE as f64 * (up + down + after)) as u64;
    let source = Source::Vectors { rate: Some(RATE), rows };
    let keys = "timeout = \"1s\"\nattempt_timeout = \"250ms\"";
    // With the default of 30 s a trial just before the server's return would put the next one off by as much.
    let tables = "[operator.score.breaker]\nmax_open = \"5s\"\n\
                  [[operator.score.fallback]]\nkind = \"constant\"\nvalue = 0.5\n";
    let urls = [servers[0].url()];
    let pipeline = Pipeline { keys, tables, adaptive: true, ..Pipeline::new(source, &urls, 1_000) };
    let (mut died, mut back) = (0.0, 0.0);
    let (watch, report) = watched(&pipeline, &mut servers, |watch, servers| {
        watch.until(up, || false)?;
        servers[0].tell("die")?;
        died = watch.seconds();
        watch.until(died + down, || false)?;
        servers[0].tell("return")?;
        back = watch.seconds();
        Ok(())
    })?;
    let mut verdict = Verdict::new("down");
    expect_no_row_lost(&mut verdict, &report);
    let before = watch.most_memory(0.0, died);
    let during = watch.most_memory(died, back);
    // What a run keeps of its latencies and connections grows a little at all times.
    verdict.expect(during <= before + 32.0, format!("memory {before:.0} MB before, {during:.0} MB while it was gone"));
    let first = watch.between(died, back).find(|s| s.rows.rows > 0 && s.rows.by_model == 0).map(|s| s.at - died);
    let within = first.map_or("never".to_owned(), |s| format!("after {s:.1} s"));
    verdict.expect(first.is_some_and(|s| s <= 10.0), format!("fallback alone {within}"));
    let tenth = watch.between(died + 2.0 * scale, back).map(|sample| sample.rows.rows).collect::<Vec<_>>();
    let served = tenth.iter().sum::<u64>() as f64 / (back - died - 2.0 * scale).max(0.1);
    verdict.expect(served >= 0.9 * RATE as f64, format!("{served:.0} rows/s meanwhile"));
    let whole = watch.between(back, f64::MAX).find(|s| s.rows.rows > 0 && s.rows.by_model == s.rows.rows);
    let recovered = whole.map(|sample| sample.at - back);
    let within = recovered.map_or("never".to_owned(), |s| format!("{s:.1} s after the return"));
    verdict.expect(recovered.is_some(), format!("the model alone {within}"));
    let counters = servers[0].counters()?;
    let busiest = busiest_second(&counters, up + down);
    // What waits in the table may come at once, and no more.
    let bound = (RATE as f64 * 1.3) as u64 + 1_000;
    verdict.expect(busiest <= bound, format!("at most {busiest} requests/s after it (5,000 rows/s came)"));
    Ok(verdict)
}
