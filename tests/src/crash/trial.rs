//! A trial: the pipeline under steady input, whatever a test does to it meanwhile, a last start if
//! none is running, everything out, SIGTERM, and the oracle.

use std::time::{Duration, Instant};

use super::feed::{Feed, Rows, Target};
use super::host::{Host, last_lines};
use super::oracle::{self, Violation};
use super::pipeline::{self, Medium, Names, Options};
use super::{Plan, Verdict, read};
use crate::kafka::{Broker, Isolation, Tail};
use crate::{Job, PATIENCE};

/// Longest stillness at the end after which nothing more is expected to come out.
const STILL: Duration = Duration::from_secs(20);

/// A pipeline with its broker and folder.
pub struct Trial<'a> {
    plan: &'a Plan,
    broker: Option<&'a Broker>,
    names: Names,
    /// The folder that the host runs in.
    pub job: Job,
}

impl<'a> Trial<'a> {
    /// Names, topics and a folder for a plan.
    ///
    /// # Panics
    /// When the plan needs a broker and there is none.
    pub fn new(plan: &'a Plan, broker: Option<&'a Broker>, options: &Options) -> Self {
        let broker = broker.filter(|_| plan.needs_broker());
        assert!(broker.is_some() || !plan.needs_broker(), "the plan needs a broker");
        let names = Names::create(broker);
        let job = pipeline::job(plan.source, plan.sink, &names, broker.map_or("", Broker::bootstrap), options);
        Self { plan, broker, names, job }
    }

    /// The broker, if the plan needs one.
    pub fn broker(&self) -> Option<&'a Broker> {
        self.broker
    }

    /// Runs it: `body` starts hosts and ends them, and may leave one running. `Err` ends the trial.
    pub fn run(&self, body: impl FnOnce(&Output<'_>, &mut Verdict) -> Result<Option<Host>, String>) -> Verdict {
        let plan = self.plan;
        let pipeline = format!("{:?} → {:?}", plan.source, plan.sink);
        let mut verdict = Verdict { pipeline, seed: plan.seed, ..Verdict::default() };
        let output = Output::of(self);
        std::thread::scope(|scope| {
            let target = match (plan.source, self.broker) {
                (Medium::Kafka, Some(broker)) => Target::Topic(broker, self.names.input.clone()),
                _ => Target::File(self.job.path(pipeline::INPUT)),
            };
            let feed = Feed::start(scope, target, Rows::new(plan.seed, plan.users), plan.rate);
            let last = body(&output, &mut verdict).and_then(|running| {
                let mut host = running.unwrap_or_else(|| self.start("", &mut verdict));
                self.news(&mut host, &output).map(|_| host)
            });
            let fed = feed.stop();
            match last.and_then(|host| self.finish(host, fed, &output, &mut verdict)) {
                Ok(()) => self.judge(&mut verdict),
                // Comparing an output that is known to be cut short would say nothing new.
                Err(what) => verdict.violations.push(Violation { rule: "host", what }),
            }
        });
        verdict
    }

    /// Starts the host.
    pub fn start(&self, fail_points: &str, verdict: &mut Verdict) -> Host {
        verdict.starts += 1;
        Host::start(&self.job, fail_points)
    }

    /// Waits until something new came out, and says how long that took.
    ///
    /// # Errors
    /// When the host ends before, or nothing comes out.
    pub fn news(&self, host: &mut Host, output: &Output<'_>) -> Result<Duration, String> {
        let (before, started) = (output.progress(), Instant::now());
        match host.wait(PATIENCE, || output.progress() > before).map_err(|e| self.told(&e))? {
            true => Ok(started.elapsed()),
            false => Err(self.told(&format!("it ended by itself ({:?})", host.ended()))),
        }
    }

    /// What went wrong, with what the host said last.
    pub fn told(&self, what: &str) -> String {
        format!("{what}; its log ends with\n{}", last_lines(&self.job))
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
            now >= fed || moved.elapsed() > STILL
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
        let violations = &mut verdict.violations;
        let (rows, letters) = match (self.plan.sink, self.broker) {
            (Medium::Kafka, Some(broker)) => (
                read::topic_output(broker, &names.output, violations),
                read::topic_letters(broker, &names.dead, violations),
            ),
            _ => (
                read::file_output(job, pipeline::OUTPUT, violations),
                read::file_letters(job, pipeline::DEAD, violations),
            ),
        };
        (verdict.input, verdict.output, verdict.letters) =
            (input.len() as u64, rows.len() as u64, letters.len() as u64);
        violations.extend(oracle::check_rows(&input, &rows, &letters));
        let (Medium::Kafka, Some(broker)) = (self.plan.sink, self.broker) else { return };
        for topic in [&names.output, &names.dead] {
            violations.extend(oracle::check_stable(topic, &broker.offsets(topic)));
        }
        verdict.aborted = Some(broker.aborted_records(&names.output));
        if self.plan.source == Medium::Kafka {
            let committed = broker.committed_offsets(&names.pipeline);
            violations.extend(oracle::check_committed(&committed, &names.input, &broker.offsets(&names.input)));
        }
    }
}

/// How far the output is, seen from outside.
pub enum Output<'a> {
    /// The files of a job.
    Files(&'a Job),
    /// The topics of rows and of dead letters, as `read_committed` sees them.
    Topics(Tail<'a>, Tail<'a>),
}

impl<'a> Output<'a> {
    fn of(trial: &'a Trial<'a>) -> Self {
        match (trial.plan.sink, trial.broker) {
            (Medium::Kafka, Some(broker)) => {
                let tail = |topic| broker.tail(topic, Isolation::ReadCommitted);
                Self::Topics(tail(&trial.names.output), tail(&trial.names.dead))
            }
            _ => Self::Files(&trial.job),
        }
    }

    /// A number that is greater once something new was written than it ever was before. A file is cut
    /// back after a crash and then holds the same bytes again, so its length will do.
    pub fn progress(&self) -> u64 {
        match self {
            Self::Files(job) => std::fs::metadata(job.path(pipeline::OUTPUT)).map_or(0, |m| m.len()),
            Self::Topics(out, _) => out.count(),
        }
    }

    /// Rows and dead letters so far.
    pub fn rows(&self) -> u64 {
        match self {
            Self::Files(job) => [pipeline::OUTPUT, pipeline::DEAD].map(|f| lines(job, f)).iter().sum(),
            Self::Topics(out, dead) => out.count() + dead.count(),
        }
    }
}

fn lines(job: &Job, name: &str) -> u64 {
    let bytes = std::fs::read(job.path(name)).unwrap_or_default();
    bytes.iter().filter(|b| **b == b'\n').count() as u64
}
