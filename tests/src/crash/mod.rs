//! The crash loop: a pipeline under steady input whose host is killed again and again, at random
//! moments and at named steps, and started each time with the same command. At its end the [`oracle`]
//! compares what came out with what went in.

mod feed;
mod host;
pub mod oracle;
pub mod pipeline;
mod random;
pub mod read;
mod verdict;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub use feed::{Feed, Rows, Target, row};
pub use host::{Died, Host};
pub use pipeline::{Medium, Names};
pub use random::Random;
pub use verdict::Verdict;

use crate::kafka::{Broker, Isolation, Tail};
use crate::{Job, PATIENCE};
use oracle::Violation;

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
    /// Pauses of the broker, for that long each, spread over the loop; none when zero.
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
    ///
    /// # Panics
    /// When it needs a broker and has none.
    pub fn run(&self, broker: Option<&Broker>) -> Verdict {
        let broker = broker.filter(|_| self.needs_broker());
        assert!(broker.is_some() || !self.needs_broker(), "the plan needs a broker");
        let names = Names::create(broker);
        let job = pipeline::job(self.source, self.sink, &names, broker.map_or("", Broker::bootstrap), "");
        let place = Stage { plan: self, broker, names, job };
        place.run()
    }
}

/// A plan at work.
struct Stage<'a> {
    plan: &'a Plan,
    broker: Option<&'a Broker>,
    names: Names,
    job: Job,
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

impl Stage<'_> {
    fn run(&self) -> Verdict {
        let plan = self.plan;
        let mut verdict =
            Verdict {
                pipeline: format!("{:?} → {:?}", plan.source, plan.sink), seed: plan.seed, ..Verdict::default()
            };
        let mut random = Random::new(plan.seed);
        let output = Output::of(self);
        std::thread::scope(|scope| {
            let target = match (plan.source, self.broker) {
                (Medium::Kafka, Some(broker)) => Target::Topic(broker, self.names.input.clone()),
                _ => Target::File(self.job.path(pipeline::INPUT)),
            };
            let feed = Feed::start(scope, target, Rows::new(plan.seed, plan.users), plan.rate);
            let mut outcome = Ok(());
            for number in 0..plan.kills {
                outcome = self.die(&Death::choose(number, &mut random), &output, &mut verdict);
                if outcome.is_err() {
                    break;
                }
                if !plan.outage.is_zero() && number % 10 == 9 {
                    outcome = self.outage(&mut verdict);
                }
            }
            let last = outcome.and_then(|()| self.last(&output, &mut verdict));
            let fed = feed.stop();
            match last.and_then(|host| self.finish(host, fed, &output, &mut verdict)) {
                Ok(()) => self.judge(&mut verdict),
                // Comparing an output that is known to be cut short would say nothing new.
                Err(what) => verdict.violations.push(Violation { rule: "host", what }),
            }
        });
        verdict
    }

    /// One start and one death.
    fn die(&self, death: &Death, output: &Output<'_>, verdict: &mut Verdict) -> Result<(), String> {
        let before = output.progress();
        let points = match death {
            Death::Step(step, passes) => format!("{step}={passes}*off->return"),
            _ => String::new(),
        };
        let started = Instant::now();
        let mut host = Host::start(&self.job, &points);
        verdict.starts += 1;
        if let Death::Early(after) = death {
            std::thread::sleep(*after);
        } else if host.wait(PATIENCE, || output.progress() > before).map_err(|e| self.told(&e))? {
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
            (_, Died::Before(status)) => return Err(self.told(&format!("it ended by itself with {status}"))),
        }
        Ok(())
    }

    /// What went wrong, with what the host said last.
    fn told(&self, what: &str) -> String {
        format!("{what}; its log ends with\n{}", host::last_lines(&self.job))
    }

    /// The broker is away while the host runs; afterwards the host goes on or has ended well enough to
    /// be started again.
    fn outage(&self, verdict: &mut Verdict) -> Result<(), String> {
        let Some(broker) = self.broker else { return Ok(()) };
        let mut host = Host::start(&self.job, "");
        verdict.starts += 1;
        std::thread::sleep(Duration::from_secs(1));
        broker.pause();
        std::thread::sleep(self.plan.outage);
        broker.resume();
        match host.kill9() {
            Died::Killed => verdict.kills += 1,
            // Giving up on a broker that is away is allowed; what counts is what comes out.
            Died::Before(_) => {}
        }
        Ok(())
    }

    /// The start after the last death, still under input.
    fn last(&self, output: &Output<'_>, verdict: &mut Verdict) -> Result<Host, String> {
        let before = output.progress();
        let mut host = Host::start(&self.job, "");
        verdict.starts += 1;
        match host.wait(PATIENCE, || output.progress() > before).map_err(|e| self.told(&e))? {
            true => Ok(host),
            false => Err(self.told("it ended by itself at the last start")),
        }
    }

    /// Everything comes out, and SIGTERM ends the host well.
    fn finish(&self, mut host: Host, fed: u64, output: &Output<'_>, verdict: &mut Verdict) -> Result<(), String> {
        let (mut rows, mut moved) = (0, Instant::now());
        // Too few rows come out when some were lost: it is over when nothing has moved for a while.
        let all = || {
            let now = output.rows();
            if now != rows {
                (rows, moved) = (now, Instant::now());
            }
            now >= fed || moved.elapsed() > Duration::from_secs(20)
        };
        if !host.wait(PATIENCE * 5, all).map_err(|e| self.told(&e))? {
            return Err(self.told("it ended by itself at the end"));
        }
        let status = host.terminate();
        if !status.success() {
            let what = self.told(&format!("SIGTERM ended it with {status}"));
            verdict.violations.push(Violation { rule: "host", what });
        }
        Ok(())
    }

    fn judge(&self, verdict: &mut Verdict) {
        let (names, job) = (&self.names, &self.job);
        let input = match (self.plan.source, self.broker) {
            (Medium::Kafka, Some(broker)) => read::topic_input(broker, &names.input),
            _ => read::file_input(job, pipeline::INPUT),
        };
        let (rows, letters) = match (self.plan.sink, self.broker) {
            (Medium::Kafka, Some(broker)) => {
                (read::topic_output(broker, &names.output), read::topic_letters(broker, &names.dead))
            }
            _ => (read::file_output(job, pipeline::OUTPUT), read::file_letters(job, pipeline::DEAD)),
        };
        (verdict.input, verdict.output, verdict.letters) =
            (input.len() as u64, rows.len() as u64, letters.len() as u64);
        let violations = &mut verdict.violations;
        violations.extend(oracle::check_rows(&input, &rows, &letters));
        let (Medium::Kafka, Some(broker)) = (self.plan.sink, self.broker) else { return };
        for topic in [&names.output, &names.dead] {
            violations.extend(oracle::check_stable(topic, &broker.offsets(topic)));
        }
        let aborted = broker.aborted_records(&names.output);
        violations.extend(oracle::check_aborted(aborted));
        verdict.aborted = Some(aborted);
        if self.plan.source == Medium::Kafka {
            let committed = broker.committed_offsets(&names.pipeline);
            violations.extend(oracle::check_committed(&committed, &names.input, &broker.offsets(&names.input)));
        }
    }
}

/// How far the output is, seen from outside.
enum Output<'a> {
    Files(&'a Job),
    Topics(Tail<'a>, Tail<'a>),
}

impl<'a> Output<'a> {
    fn of(stage: &'a Stage<'a>) -> Self {
        match (stage.plan.sink, stage.broker) {
            (Medium::Kafka, Some(broker)) => {
                let tail = |topic| broker.tail(topic, Isolation::ReadCommitted);
                Self::Topics(tail(&stage.names.output), tail(&stage.names.dead))
            }
            _ => Self::Files(&stage.job),
        }
    }

    /// A number that is greater once something new was written than it ever was before. A file is cut
    /// back after a crash and then holds the same bytes again, so its length will do.
    fn progress(&self) -> u64 {
        match self {
            Self::Files(job) => std::fs::metadata(job.path(pipeline::OUTPUT)).map_or(0, |m| m.len()),
            Self::Topics(out, _) => out.count(),
        }
    }

    /// Rows and dead letters so far.
    fn rows(&self) -> u64 {
        match self {
            Self::Files(job) => [pipeline::OUTPUT, pipeline::DEAD].map(|f| lines(job, f)).iter().sum(),
            Self::Topics(out, dead) => out.count() + dead.count(),
        }
    }
}

fn count(counts: &mut BTreeMap<String, u64>, step: &str) {
    *counts.entry(step.to_owned()).or_default() += 1;
}

fn lines(job: &Job, name: &str) -> u64 {
    let bytes = std::fs::read(job.path(name)).unwrap_or_default();
    bytes.iter().filter(|b| **b == b'\n').count() as u64
}
