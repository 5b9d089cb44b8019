//! One of two endpoints dies and comes back: no row is lost, and none needs a fallback.

use super::super::pipeline::{Pipeline, Source};
use super::{Verdict, expect_no_row_lost, watched};
use crate::faults::ModelProcess;

const RATE: u64 = 2_000;

pub(super) fn run(scale: f64) -> Result<Verdict, String> {
    let [both, one, again] = [10.0, 10.0, 15.0].map(|seconds| seconds * scale);
    let mut servers = [ModelProcess::start("--delay-ms 10")?, ModelProcess::start("--delay-ms 10")?];
    let rows = (RATE as f64 * (both + one + again)) as u64;
    let source = Source::Vectors { rate: Some(RATE), rows };
    let tables = "[[operator.score.fallback]]\nkind = \"constant\"\nvalue = 0.5\n";
    let urls = [servers[0].url(), servers[1].url()];
    let keys = "timeout = \"2s\"\nattempt_timeout = \"500ms\"";
    let pipeline = Pipeline { keys, tables, adaptive: true, ..Pipeline::new(source, &urls, 200) };
    let (watch, report) = watched(&pipeline, &mut servers, |watch, servers| {
        watch.until(both, || false)?;
        servers[0].tell("die")?;
        watch.until(watch.seconds() + one, || false)?;
        servers[0].tell("return")?;
        Ok(())
    })?;
    let mut verdict = Verdict::new("endpoints");
    expect_no_row_lost(&mut verdict, &report);
    let fallen: u64 = watch.samples.iter().map(|sample| sample.rows.rows - sample.rows.by_model).sum();
    let retried: u64 = watch.samples.iter().map(|sample| sample.rows.retried).sum();
    verdict.expect(fallen == 0, format!("{fallen} rows by a fallback"));
    verdict.note(format!("{retried} rows at the second try"));
    let asked =
        [0, 1].map(|at| servers[at].counters().map(|counters| counters["requests"].as_u64().unwrap_or_default()));
    let [first, second] = [asked[0].clone()?, asked[1].clone()?];
    verdict.expect(first > 0 && second > first, format!("{first} and {second} requests"));
    let counters = servers[0].counters()?;
    let by_second = counters["seconds"].as_array().map_or(&[][..], Vec::as_slice);
    let since: Vec<u64> = by_second.iter().skip((both + one) as usize).filter_map(serde_json::Value::as_u64).collect();
    let most = since.iter().copied().max().unwrap_or_default();
    verdict.expect(most > RATE / 4, format!("requests/s at it after its return: {since:?}"));
    Ok(verdict)
}
