//! The partitions of a source: a number for each name, given once. Kafka's appear while it runs.

use std::sync::{Arc, PoisonError, RwLock};

#[derive(Debug, Default)]
pub(crate) struct Partitions(RwLock<Vec<Arc<str>>>);

impl Partitions {
    /// The number of a name; a new one gets the next.
    pub(crate) fn number(&self, name: &str) -> u32 {
        let mut names = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let known = names.iter().position(|n| **n == *name);
        known.unwrap_or_else(|| {
            names.push(Arc::from(name));
            names.len() - 1
        }) as u32
    }

    /// The name of a number; empty when there is none.
    pub(crate) fn name(&self, number: u32) -> Arc<str> {
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        names.get(number as usize).cloned().unwrap_or_default()
    }
}
