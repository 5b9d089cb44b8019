//! `make crash-loop KILLS=1000`: crash loops from files and topics to files and topics, and one line of
//! verdict for each at the end.
//!
//!     crash-loop [--kills N] [--seed N] [--source file|kafka] [--sink file|kafka] [--outage SECONDS]
//!
//! Without `--source` and `--sink` all four combinations share the kills. `--outage` stops the broker
//! for so long after every tenth kill. Exit status 1 when anything is wrong.

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millstream_tests::crash::{Medium, Plan};
use millstream_tests::kafka;

fn media(name: &str, value: Option<String>) -> Vec<Medium> {
    match value.as_deref() {
        None => vec![Medium::File, Medium::Kafka],
        Some("file") => vec![Medium::File],
        Some("kafka") => vec![Medium::Kafka],
        Some(other) => usage(&format!("--{name} is `{other}`; it can be file or kafka")),
    }
}

fn usage(what: &str) -> ! {
    eprintln!("crash-loop: {what}");
    eprintln!("usage: crash-loop [--kills N] [--seed N] [--source file|kafka] [--sink file|kafka] [--outage SECONDS]");
    std::process::exit(2)
}

fn main() -> ExitCode {
    let (mut kills, mut seed, mut outage) = (1000, None, 0);
    let (mut source, mut sink) = (None, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().unwrap_or_else(|| usage(&format!("{name} needs a value")));
        let number = || value.parse::<u64>().unwrap_or_else(|e| usage(&format!("{name} is `{value}`: {e}")));
        match name.as_str() {
            "--kills" => kills = number(),
            "--seed" => seed = Some(number()),
            "--outage" => outage = number(),
            "--source" => source = Some(value),
            "--sink" => sink = Some(value),
            _ => usage(&format!("unknown option {name}")),
        }
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let seed = seed.unwrap_or(now);
    let sinks = media("sink", sink);
    let pairs = media("source", source).into_iter().flat_map(|source| sinks.iter().map(move |sink| (source, *sink)));
    let plans: Vec<Plan> = pairs.map(|(source, sink)| Plan::new(source, sink, 0, seed)).collect();
    let share = kills.div_ceil(plans.len() as u64);
    let plans: Vec<Plan> =
        plans.into_iter().map(|p| Plan { kills: share, outage: Duration::from_secs(outage), ..p }).collect();
    let broker = match plans.iter().any(Plan::needs_broker) {
        true => match kafka::shared("crash-loop") {
            Some(broker) => Some(broker),
            None => return ExitCode::FAILURE,
        },
        false => None,
    };
    eprintln!("crash-loop: {} kills each in {} loops, seed {seed}", share, plans.len());
    let verdicts: Vec<_> = plans
        .iter()
        .map(|plan| {
            let verdict = plan.run(broker);
            // Already now, for whoever watches: a loop takes a while.
            println!("{verdict}");
            verdict
        })
        .collect();
    let failed = verdicts.iter().filter(|v| !v.passed()).count();
    let deaths: u64 = verdicts.iter().map(|v| v.deaths()).sum();
    let outcome = if failed == 0 { "PASSED" } else { "FAILED" };
    println!(
        "crash-loop: {outcome}: {deaths} deaths in {} loops, {failed} loops with violations, seed {seed}",
        plans.len()
    );
    ExitCode::from(u8::from(failed > 0))
}
