//! What a crash loop found, and the one line that says it.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use super::oracle::Violation;

/// How many violations of a rule are printed; the rest are echoes, mostly.
const SHOWN: usize = 4;

/// The outcome of a crash loop.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// From where to where.
    pub pipeline: String,
    /// The seed that chose the moments.
    pub seed: u64,
    /// `kill -9` after the host had written something new.
    pub kills: u64,
    /// `kill -9` while it was still starting or recovering.
    pub early_kills: u64,
    /// Named steps at which the host died, and how often.
    pub steps: BTreeMap<String, u64>,
    /// Named steps that were asked for and not reached.
    pub missed: BTreeMap<String, u64>,
    /// How often the host was started.
    pub starts: u64,
    /// Records of the input.
    pub input: u64,
    /// Rows of the output.
    pub output: u64,
    /// Dead letters.
    pub letters: u64,
    /// Records of aborted transactions in the output topic.
    pub aborted: Option<u64>,
    /// From a start after a crash to the first row that was new.
    pub recovery: Vec<Duration>,
    /// What is wrong.
    pub violations: Vec<Violation>,
}

impl Verdict {
    /// Whether nothing is wrong.
    pub fn passed(&self) -> bool {
        self.violations.is_empty()
    }

    /// How often the host died.
    pub fn deaths(&self) -> u64 {
        self.kills + self.early_kills + self.steps.values().sum::<u64>()
    }

    /// Fails with what is wrong, if anything is.
    ///
    /// # Panics
    /// When there is a violation.
    pub fn expect_pass(&self) {
        assert!(self.passed(), "{self}");
    }
}

fn counted(steps: &BTreeMap<String, u64>) -> String {
    steps.iter().map(|(step, times)| format!("{step} {times}")).collect::<Vec<_>>().join(", ")
}

/// The first violations of each rule, one a line, then the verdict on a line of its own.
impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut rules: BTreeMap<&str, Vec<&Violation>> = BTreeMap::new();
        self.violations.iter().for_each(|v| rules.entry(v.rule).or_default().push(v));
        for (rule, violations) in rules {
            for violation in violations.iter().take(SHOWN) {
                writeln!(f, "{violation}")?;
            }
            if violations.len() > SHOWN {
                writeln!(f, "{rule}: … and {} more", violations.len() - SHOWN)?;
            }
        }
        let outcome =
            if self.passed() { "PASSED".into() } else { format!("FAILED ({} violations)", self.violations.len()) };
        write!(f, "crash loop {}, seed {}: {outcome}: {} deaths", self.pipeline, self.seed, self.deaths())?;
        write!(f, " ({} kills, {} of them early", self.kills + self.early_kills, self.early_kills)?;
        write!(f, "; at steps: {})", if self.steps.is_empty() { "none".into() } else { counted(&self.steps) })?;
        if !self.missed.is_empty() {
            write!(f, ", not reached: {}", counted(&self.missed))?;
        }
        write!(f, ", {} starts, {} records in, {} rows out", self.starts, self.input, self.output)?;
        write!(f, ", {} dead letters", self.letters)?;
        if let Some(aborted) = self.aborted {
            write!(f, ", {aborted} aborted records")?;
        }
        let mut times = self.recovery.clone();
        times.sort_unstable();
        if let (Some(middle), Some(longest)) = (times.get(times.len() / 2), times.last()) {
            write!(f, ", first new row after p50 {} ms, max {} ms", middle.as_millis(), longest.as_millis())?;
        }
        Ok(())
    }
}
