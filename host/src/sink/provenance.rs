//! Which plugin generations and model versions produced an epoch, for sinks that write it beside each
//! record. The pipeline says it before an epoch begins; sinks read it once an epoch.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Epochs that are remembered: one that sinks write, one that is committed, and room.
const KEPT: usize = 8;

/// Characters of a hash that are shown: enough to tell versions apart.
const HASH: usize = 12;

/// What produced each epoch.
#[derive(Debug, Default)]
pub struct Provenance {
    first: u64,
    epochs: Mutex<BTreeMap<u64, Arc<Produced>>>,
}

/// What produced an epoch, as texts that are ready to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Produced {
    /// `operator=number:sha12,…`
    pub generations: String,
    /// `operator=model@version:sha12,…`
    pub models: String,
}

impl Produced {
    /// Adds the plugin generation of an operator; `sha256` in hexadecimal.
    pub fn generation(&mut self, operator: &str, number: u64, sha256: &str) {
        add(&mut self.generations, format_args!("{operator}={number}:{}", short(sha256)));
    }

    /// Adds the model version of an operator.
    pub fn model(&mut self, operator: &str, model: &str, version: &str, sha256: &str) {
        add(&mut self.models, format_args!("{operator}={model}@{version}:{}", short(sha256)));
    }
}

fn add(text: &mut String, part: std::fmt::Arguments<'_>) {
    use std::fmt::Write;
    if !text.is_empty() {
        text.push(',');
    }
    // Writing to a String cannot fail.
    let _ = text.write_fmt(part);
}

fn short(sha256: &str) -> &str {
    sha256.get(..HASH).unwrap_or(sha256)
}

impl Provenance {
    /// For a run whose first epoch is `first`.
    pub fn new(first: u64) -> Arc<Self> {
        Arc::new(Self { first, epochs: Mutex::default() })
    }

    /// The first epoch of the run.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Says what produces `epoch` and those after it, until said otherwise.
    pub fn set(&self, epoch: u64, produced: Produced) {
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        epochs.insert(epoch, Arc::new(produced));
        while epochs.len() > KEPT {
            epochs.pop_first();
        }
    }

    /// What produces `epoch`.
    pub fn of(&self, epoch: u64) -> Arc<Produced> {
        let epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        epochs.range(..=epoch).next_back().map(|(_, produced)| produced.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_produced_by_what_was_said_last_before_it() {
        let provenance = Provenance::new(5);
        assert_eq!(*provenance.of(5), Produced::default());
        let mut produced = Produced::default();
        produced.generation("enrich", 3, "0123456789abcdef");
        produced.generation("score", 1, "short");
        produced.model("score", "fraud", "2026-11", "fedcba9876543210");
        provenance.set(7, produced.clone());
        assert_eq!(*provenance.of(6), Produced::default());
        assert_eq!(*provenance.of(9), produced);
        assert_eq!(produced.generations, "enrich=3:0123456789ab,score=1:short");
        assert_eq!(produced.models, "score=fraud@2026-11:fedcba987654");
        (8..30).for_each(|epoch| provenance.set(epoch, Produced::default()));
        assert_eq!(*provenance.of(29), Produced::default());
    }
}
