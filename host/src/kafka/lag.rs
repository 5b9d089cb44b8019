//! How far a source is behind the ends of its partitions, and what it skipped, for metrics. Ends come from librdkafka's
//! statistics, once a second by default (`statistics.interval.ms`); positions from the source.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;

use super::Partition;

/// The partitions that a source reads.
#[derive(Debug, Default)]
pub struct Lag {
    partitions: Mutex<BTreeMap<Partition, Arc<Progress>>>,
    tombstones: AtomicU64,
}

/// Where one partition is.
#[derive(Debug)]
pub struct Progress {
    next: AtomicU64,
    /// End as far as the source may read, -1 = not known yet.
    end: AtomicI64,
    /// Whether everything up to the end was handed over. It tells more than the difference of the
    /// two: a transaction's mark takes an offset and is no record.
    done: AtomicI64,
}

impl Progress {
    /// The source has handed over everything before `next`.
    pub fn advance(&self, next: u64) {
        self.next.store(next, Ordering::Relaxed);
    }
}

/// Lag of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionLag {
    /// The partition.
    pub partition: Partition,
    /// Offset that is read next.
    pub next: u64,
    /// Offset behind the last record that may be read; `None` = not known yet.
    pub end: Option<u64>,
    /// Records between the two, at most.
    pub rows: Option<u64>,
}

impl Lag {
    /// Lag of every partition that the source reads now.
    pub fn partitions(&self) -> Vec<PartitionLag> {
        let partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        let lag = |(partition, progress): (&Partition, &Arc<Progress>)| {
            let next = progress.next.load(Ordering::Relaxed);
            let end = u64::try_from(progress.end.load(Ordering::Relaxed)).ok();
            let is_done = u64::try_from(progress.done.load(Ordering::Relaxed)).is_ok_and(|done| done == next);
            let rows = end.map(|end| if is_done { 0 } else { end.saturating_sub(next) });
            PartitionLag { partition: partition.clone(), next, end, rows }
        };
        partitions.iter().map(lag).collect()
    }

    /// Records behind in all partitions together; `None` while one of them is not known.
    pub fn rows(&self) -> Option<u64> {
        self.partitions().iter().map(|partition| partition.rows).sum()
    }

    /// Records without a value that were skipped since the process began.
    pub fn tombstones(&self) -> u64 {
        self.tombstones.load(Ordering::Relaxed)
    }

    /// Counts records without a value that were skipped.
    pub fn skip(&self, tombstones: u64) {
        self.tombstones.fetch_add(tombstones, Ordering::Relaxed);
    }

    /// Begins to count a partition.
    pub fn open(&self, partition: &Partition, next: u64) -> Arc<Progress> {
        let progress = Progress { next: AtomicU64::new(next), end: AtomicI64::new(-1), done: AtomicI64::new(-1) };
        let progress = Arc::new(progress);
        let mut partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        partitions.insert(partition.clone(), progress.clone());
        progress
    }

    /// The source reads it no longer.
    pub fn close(&self, partition: &Partition) {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner).remove(partition);
    }

    /// Takes the ends out of librdkafka's statistics.
    pub(super) fn statistics(&self, json: &[u8]) {
        let statistics: Statistics = match serde_json::from_slice(json) {
            Ok(statistics) => statistics,
            Err(error) => return tracing::debug!(%error, "statistics of librdkafka cannot be read"),
        };
        let partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        for (partition, progress) in partitions.iter() {
            let topic = statistics.topics.get(&partition.topic);
            let Some(found) = topic.and_then(|t| t.partitions.get(&partition.number.to_string())) else { continue };
            // Up to the last stable offset when only committed records are read.
            let end = if found.ls_offset >= 0 { found.ls_offset } else { found.hi_offset };
            progress.end.store(end, Ordering::Relaxed);
            let is_done = found.fetchq_cnt == 0 && found.next_offset >= end;
            let next = i64::try_from(progress.next.load(Ordering::Relaxed)).unwrap_or(-1);
            progress.done.store(if is_done { next } else { -1 }, Ordering::Relaxed);
        }
    }
}

#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    topics: BTreeMap<String, TopicStatistics>,
}

#[derive(Deserialize)]
struct TopicStatistics {
    #[serde(default)]
    partitions: BTreeMap<String, PartitionStatistics>,
}

#[derive(Deserialize)]
struct PartitionStatistics {
    fetchq_cnt: i64,
    next_offset: i64,
    hi_offset: i64,
    ls_offset: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(fetchq_cnt: i64, next_offset: i64, ls_offset: i64) -> String {
        format!(
            r#"{{"name":"x","topics":{{"t":{{"topic":"t","partitions":{{"3":{{"partition":3,"fetchq_cnt":{fetchq_cnt},
            "next_offset":{next_offset},"hi_offset":100,"ls_offset":{ls_offset}}}}}}}}}}}"#
        )
    }

    #[test]
    fn lag_is_what_lies_between_the_position_and_the_end() {
        let lag = Lag::default();
        let partition = Partition { topic: "t".into(), number: 3 };
        let progress = lag.open(&partition, 40);
        assert_eq!(lag.rows(), None, "the end is not known yet");
        lag.statistics(statistics(20, 80, 90).as_bytes());
        assert_eq!(lag.rows(), Some(50));
        progress.advance(60);
        assert_eq!(lag.rows(), Some(30));
        lag.statistics(statistics(20, 80, -1001).as_bytes());
        assert_eq!(lag.rows(), Some(40), "without transactions the high watermark is the end");
        lag.close(&partition);
        assert_eq!((lag.rows(), lag.partitions()), (Some(0), vec![]));
    }

    #[test]
    fn marks_of_transactions_behind_the_last_record_are_no_lag() {
        let lag = Lag::default();
        let progress = lag.open(&Partition { topic: "t".into(), number: 3 }, 89);
        lag.statistics(statistics(0, 90, 90).as_bytes());
        assert_eq!(lag.rows(), Some(0));
        lag.statistics(statistics(1, 95, 95).as_bytes());
        assert_eq!(lag.rows(), Some(6));
        lag.statistics(b"not json");
        progress.advance(94);
        assert_eq!(lag.rows(), Some(1));
    }
}
