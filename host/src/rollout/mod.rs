//! Which generation of each plugin runs in which epoch.
//!
//! A new generation is *proposed* at any time, by the thread that watches the plugin folder. It is
//! *settled* by the coordinator just before an epoch begins: from that epoch on, every worker uses
//! it. Workers ask for the generation of an epoch when they enter it, so an epoch never mixes two.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::operator::Plugin;

/// A plugin as one of an operator's generations.
#[derive(Debug)]
pub struct Generation {
    /// 1 for the first that the pipeline ever ran, and one more for each that took over.
    pub number: u32,
    /// First epoch that it runs in; 0 for the one that the run began with.
    pub from_epoch: u64,
    /// The loaded plugin.
    pub plugin: Arc<Plugin>,
    rows: AtomicU64,
    /// By index of the plugin's description.
    counters: Mutex<Vec<f64>>,
}

impl Generation {
    fn new(number: u32, from_epoch: u64, plugin: Arc<Plugin>) -> Self {
        let counters = Mutex::new(vec![0.0; plugin.description().counters.len()]);
        Self { number, from_epoch, plugin, rows: AtomicU64::new(0), counters }
    }

    /// Adds what a batch counted, by index of the plugin's description.
    pub fn add_counters(&self, increments: impl Iterator<Item = f64>) {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.iter_mut().zip(increments).for_each(|(counter, by)| *counter += by);
    }

    /// The plugin's counters by name.
    pub fn counters(&self) -> Vec<(String, f64)> {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        self.plugin.description().counters.iter().cloned().zip(counters.iter().copied()).collect()
    }

    /// Counts rows that it processed.
    pub fn add_rows(&self, rows: u64) {
        self.rows.fetch_add(rows, Relaxed);
    }

    /// Rows that it processed.
    pub fn rows(&self) -> u64 {
        self.rows.load(Relaxed)
    }
}

/// The generations of all plugin operators of a run.
#[derive(Debug, Default)]
pub struct Generations {
    operators: Vec<Mutex<History>>,
}

#[derive(Debug)]
struct History {
    operator: String,
    /// Whether its numbers follow those of an earlier run.
    gone_on: bool,
    settled: Vec<Arc<Generation>>,
    proposed: Option<Arc<Plugin>>,
}

/// An operator changes its generation.
#[derive(Clone, Debug)]
pub struct Change {
    /// Name of the operator.
    pub operator: String,
    /// The generation that takes over.
    pub generation: Arc<Generation>,
}

impl Generations {
    /// Adds an operator with its first generation; returns its index.
    pub fn add(&mut self, operator: &str, plugin: Arc<Plugin>) -> usize {
        let first = Generation::new(1, 0, plugin);
        self.operators.push(Mutex::new(History {
            operator: operator.into(),
            gone_on: false,
            settled: vec![Arc::new(first)],
            proposed: None,
        }));
        self.operators.len() - 1
    }

    /// Goes on with the numbers of an earlier run: the first generation has the number of the one that
    /// ran then when it has the same bytes, else the next. Does nothing once another has taken over.
    pub fn go_on(&self, operator: &str, number: u64, sha256: &str) {
        for history in &self.operators {
            let mut history = lock(history);
            if history.operator != operator || history.settled.len() > 1 || history.gone_on {
                continue;
            }
            history.gone_on = true;
            if let [first] = &mut history.settled[..] {
                let same = first.plugin.sha256().to_string() == sha256;
                let number = u32::try_from(number).unwrap_or(u32::MAX).saturating_add(u32::from(!same));
                *first = Arc::new(Generation::new(number, 0, Arc::clone(&first.plugin)));
            }
        }
    }

    /// The generation of each operator in an epoch.
    pub fn running(&self, epoch: u64) -> Vec<(String, Arc<Generation>)> {
        let at = |(index, history): (usize, &Mutex<History>)| {
            let operator = lock(history).operator.clone();
            Some((operator, self.at(index, epoch)?))
        };
        self.operators.iter().enumerate().filter_map(at).collect()
    }

    /// Puts a generation forward for every operator that runs this plugin's name. Returns the
    /// operators it is for; none when all of them run these very bytes already.
    pub fn propose(&self, plugin: &Arc<Plugin>) -> Vec<String> {
        let mut operators = Vec::new();
        for history in &self.operators {
            let mut history = lock(history);
            let newest = history.proposed.as_ref().or(history.settled.last().map(|g| &g.plugin));
            let takes = newest
                .is_some_and(|p| p.description().name == plugin.description().name && p.sha256() != plugin.sha256());
            if takes {
                history.proposed = Some(Arc::clone(plugin));
                operators.push(history.operator.clone());
            }
        }
        operators
    }

    /// Lets everything that was proposed take over from `epoch` on.
    pub fn settle(&self, epoch: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        for history in &self.operators {
            let mut history = lock(history);
            if let Some(plugin) = history.proposed.take() {
                let number = history.settled.last().map_or(1, |g| g.number + 1);
                let generation = Arc::new(Generation::new(number, epoch, plugin));
                history.settled.push(Arc::clone(&generation));
                changes.push(Change { operator: history.operator.clone(), generation });
            }
        }
        changes
    }

    /// The generation that an operator runs in an epoch.
    pub fn at(&self, operator: usize, epoch: u64) -> Option<Arc<Generation>> {
        let history = lock(self.operators.get(operator)?);
        history.settled.iter().rev().find(|g| g.from_epoch <= epoch).cloned()
    }

    /// All generations so far, by operator.
    pub fn all(&self) -> Vec<(String, Vec<Arc<Generation>>)> {
        self.operators.iter().map(lock).map(|h| (h.operator.clone(), h.settled.clone())).collect()
    }
}

fn lock(history: &Mutex<History>) -> MutexGuard<'_, History> {
    history.lock().unwrap_or_else(PoisonError::into_inner)
}
