//! The crash loop: a pipeline under steady input whose host is killed again and again, at random
//! moments and at named steps, and started each time with the same command. At its end the [`oracle`]
//! compares what came out with what went in.

mod feed;
mod host;
pub mod oracle;
mod pipeline;
mod random;
mod read;
mod trial;
mod verdict;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub use host::{Died, Host};
pub use pipeline::{Medium, OUTPUT, Options};
pub use random::Random;
pub use trial::{Output, Trial};
pub use verdict::Verdict;

use crate::PATIENCE;
use crate::kafka::Broker;

/// Steps of an epoch at which the host can be made to die.
pub const STEPS: [&str; 7] = [
    "epoch-before-prepare",
    "epoch-after-prepare",
    "epoch-before-commit",
    "epoch-after-commit",
    "epoch-before-apply",
    "epoch-after-apply",
    "log-torn-write",
];

/// How long a host may go on before a step that it was to die at counts as not reached: dozens of
/// epochs.
const STEP_PATIENCE: Duration = Duration::from_secs(4);

/// Bytes of an output file that are the work of many epochs: ten seconds of the default rate.
const MANY_EPOCHS: u64 = 500_000;

/// After how many deaths the broker is away once, in a loop with outages.
const OUTAGE_EVERY: u64 = 10;

/// What a crash loop does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where rows come from.
    pub source: Medium,
    /// Where they go.
    pub sink: Medium,
    /// How often the host is to die.
    pub kills: u64,
    /// Chooses moments, steps and rows.
    pub seed: u64,
    /// Rows a second.
    pub rate: u64,
    /// Keys.
    pub users: u64,
    /// How long the broker is away now and then; never when zero.
    pub outage: Duration,
}

impl Plan {
    /// The loop of `make test`.
    pub fn new(source: Medium, sink: Medium, kills: u64, seed: u64) -> Self {
        Self { source, sink, kills, seed, rate: 1000, users: 40, outage: Duration::ZERO }
    }

    /// Whether it needs a broker.
    pub fn needs_broker(&self) -> bool {
        self.source == Medium::Kafka || self.sink == Medium::Kafka
    }

    /// Runs it, on a broker if it needs one.
    pub fn run(&self, broker: Option<&Broker>) -> Verdict {
        let trial = Trial::new(self, broker, &Options::default());
        let mut random = Random::new(self.seed);
        let mut verdict = trial.run(|output, verdict| {
            for number in 0..self.kills {
                die(&trial, &Death::choose(number, &mut random), output, verdict)?;
                if !self.outage.is_zero() && number % OUTAGE_EVERY == OUTAGE_EVERY - 1 {
                    outage(&trial, self.outage, output, verdict)?;
                }
            }
            Ok(None)
        });
        // Fewer deaths may all have missed the transactions.
        if let Some(aborted) = verdict.aborted.filter(|_| self.kills >= 4) {
            verdict.violations.extend(oracle::check_aborted(aborted));
        }
        verdict
    }
}

/// How the next death comes about.
enum Death {
    /// `kill -9` so long after the start, whatever the host is doing.
    Early(Duration),
    /// `kill -9` so long after it wrote something new.
    Later(Duration),
    /// At a step, after it was passed so often.
    Step(&'static str, u64),
}

impl Death {
    /// Every other one is at a step, the steps in turn, so that few deaths suffice to see each.
    fn choose(number: u64, random: &mut Random) -> Self {
        if number.is_multiple_of(2) {
            return Self::Step(STEPS[(number / 2) as usize % STEPS.len()], random.below(4));
        }
        match random.below(4) {
            0 => Self::Early(Duration::from_millis(random.below(1000))),
            _ => Self::Later(Duration::from_millis(random.below(700))),
        }
    }
}

/// One start and one death.
fn die(trial: &Trial<'_>, death: &Death, output: &Output<'_>, verdict: &mut Verdict) -> Result<(), String> {
    let before = output.progress();
    let points = match death {
        Death::Step(step, passes) => format!("{step}={passes}*off->return"),
        _ => String::new(),
    };
    let started = Instant::now();
    let mut host = trial.start(&points, verdict);
    if let Death::Early(after) = death {
        std::thread::sleep(*after);
    } else if first_news(&mut host, output, before).map_err(|e| trial.told(&e))? {
        if verdict.starts > 1 {
            verdict.recovery.push(started.elapsed());
        }
        match death {
            Death::Later(after) => std::thread::sleep(*after),
            // No news after that long is the answer that the step was not reached.
            _ => drop(host.wait(STEP_PATIENCE, || false)),
        }
    }
    match (death, host.kill9()) {
        (Death::Step(step, _), Died::Before(_)) => count(&mut verdict.steps, step),
        (Death::Step(step, _), Died::Killed) => {
            count(&mut verdict.missed, step);
            verdict.kills += 1;
        }
        (Death::Early(_), Died::Killed) => verdict.early_kills += 1,
        (Death::Later(_), Died::Killed) => verdict.kills += 1,
        (_, Died::Before(status)) => return Err(trial.told(&format!("it ended by itself with {status}"))),
    }
    Ok(())
}

/// Waits until there is more output than `before`; false when the host ended first. A host that begins
/// again at the first row would write the right output too, so that is looked for as well.
fn first_news(host: &mut Host, output: &Output<'_>, before: u64) -> Result<bool, String> {
    let mut lowest = before;
    let alive = host.wait(PATIENCE, || {
        let now = output.progress();
        lowest = lowest.min(now);
        now > before
    })?;
    if before > MANY_EPOCHS && lowest < before / 2 {
        return Err(format!("it started over: of {before} bytes of output it kept {lowest}"));
    }
    Ok(alive)
}

/// The broker is away while the host runs, and the host is killed once it goes on.
fn outage(trial: &Trial<'_>, time: Duration, output: &Output<'_>, verdict: &mut Verdict) -> Result<(), String> {
    let Some(broker) = trial.broker() else { return Ok(()) };
    let mut host = trial.start("", verdict);
    trial.news(&mut host, output)?;
    broker.pause();
    std::thread::sleep(time);
    broker.resume();
    trial.news(&mut host, output)?;
    if host.kill9() == Died::Killed {
        verdict.kills += 1;
    }
    Ok(())
}

fn count(counts: &mut BTreeMap<String, u64>, step: &str) {
    *counts.entry(step.to_owned()).or_default() += 1;
}
