//! Answers that are kept, and rows that wait for the answer of another with the same features. Off
//! unless the settings ask for it.

use std::sync::Arc;

use hashbrown::HashMap;
use moka::sync::Cache;

use super::CacheConfig;
use super::answer::Prediction;
use super::rows::Row;

/// Of a model and the features.
type Key = u128;

pub(super) struct Answers {
    kept: Cache<Key, (Prediction, Option<Arc<str>>)>,
    /// Rows that wait for one that is in flight.
    waiting: HashMap<Key, Vec<Row>>,
    /// How many they are.
    waits: usize,
    model: u64,
    bytes: Vec<u8>,
}

/// What the cache says of a row.
pub(super) enum Looked {
    /// There is an answer, by this version of the model.
    Known(Row, Prediction, Option<Arc<str>>),
    /// It waits for another row's.
    Waits,
    /// It is the one to ask for.
    Ask(Row),
}

impl Answers {
    /// For answers of this model and version: those of another are never given.
    pub(super) fn new(config: CacheConfig, model: &str, version: Option<&str>) -> Self {
        let kept = Cache::builder().max_capacity(config.max_entries).time_to_live(config.ttl).build();
        let name = format!("{model}\0{}", version.unwrap_or_default());
        let model = xxhash_rust::xxh3::xxh3_64(name.as_bytes());
        Self { kept, waiting: HashMap::new(), waits: 0, model, bytes: Vec::new() }
    }

    fn key(&mut self, row: &Row) -> Key {
        self.bytes.clear();
        row.feature_bytes(&mut self.bytes);
        xxhash_rust::xxh3::xxh3_128_with_seed(&self.bytes, self.model)
    }

    /// Looks for an answer. Who is told to [ask](Looked::Ask) comes back with [`Self::answered`] or
    /// [`Self::failed`].
    pub(super) fn look(&mut self, row: Row) -> Looked {
        let key = self.key(&row);
        if let Some((prediction, version)) = self.kept.get(&key) {
            return Looked::Known(row, prediction, version);
        }
        match self.waiting.get_mut(&key) {
            Some(waiting) => {
                waiting.push(row);
                self.waits += 1;
                Looked::Waits
            }
            None => {
                self.waiting.insert(key, Vec::new());
                Looked::Ask(row)
            }
        }
    }

    /// The model answered: returns the rows that waited for it.
    pub(super) fn answered(&mut self, row: &Row, prediction: &Prediction, version: Option<&Arc<str>>) -> Vec<Row> {
        let key = self.key(row);
        if let Some(alone) = prediction.alone() {
            self.kept.insert(key, (alone, version.cloned()));
        }
        self.release(key)
    }

    /// The model did not: returns the rows that waited for it, which fare as it did.
    pub(super) fn failed(&mut self, row: &Row) -> Vec<Row> {
        let key = self.key(row);
        self.release(key)
    }

    fn release(&mut self, key: Key) -> Vec<Row> {
        let waited = self.waiting.remove(&key).unwrap_or_default();
        self.waits -= waited.len();
        waited
    }

    /// Rows that wait for another's answer.
    pub(super) fn waits(&self) -> usize {
        self.waits
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::tests::{row, submitted};
    use super::*;
    use std::time::{Duration, Instant};

    fn config() -> CacheConfig {
        CacheConfig { max_entries: 100, ttl: Duration::from_secs(60) }
    }

    #[test]
    fn equal_features_are_asked_for_once() {
        let mut answers = Answers::new(config(), "fraud", Some("1"));
        let of = submitted(&[1.0, 1.0, 2.0, 1.0], &[], Instant::now());
        let Looked::Ask(first) = answers.look(row(0, &of, 0)) else { panic!() };
        assert!(matches!(answers.look(row(1, &of, 1)), Looked::Waits));
        assert!(matches!(answers.look(row(2, &of, 2)), Looked::Ask(_)));
        let waited = answers.answered(&first, &Prediction::Numbers(Arc::from([0.5])), Some(&"7".into()));
        assert_eq!(waited.iter().map(|r| r.id).collect::<Vec<_>>(), [1]);
        let Looked::Known(last, prediction, version) = answers.look(row(3, &of, 3)) else { panic!() };
        assert_eq!((last.id, prediction.numbers(), version.as_deref()), (3, Some(&[0.5][..]), Some("7")));
    }

    #[test]
    fn rows_that_wait_for_one_that_fails_are_given_back_and_the_next_asks_again() {
        let mut answers = Answers::new(config(), "fraud", None);
        let of = submitted(&[1.0, 1.0, 1.0], &[], Instant::now());
        let Looked::Ask(first) = answers.look(row(0, &of, 0)) else { panic!() };
        assert!(matches!(answers.look(row(1, &of, 1)), Looked::Waits));
        assert_eq!(answers.waits(), 1);
        assert_eq!((answers.failed(&first).len(), answers.waits()), (1, 0));
        assert!(matches!(answers.look(row(2, &of, 2)), Looked::Ask(_)));
    }
}
