//! The server takes ten times as long for a while, and so can do less than is asked: the limit of requests
//! in flight falls and comes back, and there is no storm of timeouts.

use super::super::pipeline::{Pipeline, Source};
use super::{Verdict, expect_no_row_lost, watched};
use crate::faults::ModelProcess;

const RATE: u64 = 1_000;
/// It bears 2,500 requests a second at first, and 250 while it is slow.
const USUAL: &str = "--delay-ms 10 --workers 25 --queue 10000";
const SLOW: &str = "--delay-ms 100 --workers 25 --queue 10000";

pub(super) fn run(scale: f64) -> Result<Verdict, String> {
    let [before, slow, after] = [15.0, 20.0, 25.0].map(|seconds| seconds * scale);
    let mut servers = [ModelProcess::start(USUAL)?];
    let rows = (RATE as f64 * (before + slow + after)) as u64;
    let source = Source::Vectors { rate: Some(RATE), rows };
    let keys = "timeout = \"2s\"\nattempt_timeout = \"1s\"\nqueue_timeout = \"200ms\"";
    let tables = "[[operator.score.fallback]]\nkind = \"constant\"\nvalue = 0.5\n";
    let urls = [servers[0].url()];
    let pipeline = Pipeline { keys, tables, adaptive: true, ..Pipeline::new(source, &urls, 500) };
    let mut in_flight = [0_u64; 3];
    let mut moments = [0.0; 2];
    let (watch, report) = watched(&pipeline, &mut servers, |watch, servers| {
        // What is in flight at the server, averaged over the second half of each phase.
        let phase = |watch: &mut super::Watch, servers: &mut [ModelProcess], seconds: f64| {
            let began = watch.seconds();
            watch.until(began + seconds / 2.0, || false)?;
            let (mut sum, mut looks) = (0, 0);
            while watch.seconds() < began + seconds {
                sum += servers[0].counters()?["in_flight"].as_u64().unwrap_or_default();
                looks += 1;
                watch.until(watch.seconds() + 0.1, || false)?;
            }
            Ok::<u64, String>(sum / looks.max(1))
        };
        in_flight[0] = phase(watch, servers, before)?;
        servers[0].tell(&format!("set {SLOW}"))?;
        moments[0] = watch.seconds();
        in_flight[1] = phase(watch, servers, slow)?;
        servers[0].tell(&format!("set {USUAL}"))?;
        moments[1] = watch.seconds();
        in_flight[2] = phase(watch, servers, (after - 2.0).max(1.0))?;
        Ok(())
    })?;
    let mut verdict = Verdict::new("slow");
    expect_no_row_lost(&mut verdict, &report);
    verdict.expect(
        in_flight[1] <= 150 && in_flight[2] <= 100,
        format!(
            "in flight at the server: {} before, {} while slow, {} after",
            in_flight[0], in_flight[1], in_flight[2]
        ),
    );
    let timeouts: u64 = watch
        .samples
        .iter()
        .flat_map(|sample| sample.rows.errors.iter())
        .filter(|(class, _)| class.contains("timeout") && !class.contains("queue"))
        .map(|(_, rows)| rows)
        .sum();
    verdict.expect(timeouts as f64 <= 0.02 * rows as f64, format!("{timeouts} of {rows} rows timed out"));
    let good = watch.share_by_model(moments[0] + slow / 2.0, moments[1]) * 100.0;
    verdict.note(format!("{good:.0} % by the model while it bore a quarter of what came"));
    let again = watch.share_by_model(moments[1] + after / 2.0, f64::MAX) * 100.0;
    verdict.expect(again >= 99.0, format!("{again:.1} % by the model afterwards"));
    Ok(verdict)
}
