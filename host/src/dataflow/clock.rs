//! The watermark of a stage: event time has come so far that nothing older is expected.
//!
//! Of each partition it is the newest event time less the source's out-of-orderness; of a source
//! the least over its active partitions; of a stage the least over its sources. It never goes back,
//! not even when a partition appears or wakes up that is behind.

use std::time::Duration;

use super::message::{Header, Status};

#[derive(Debug)]
pub(crate) struct Clock {
    sources: Vec<SourceClock>,
    watermark: i64,
}

#[derive(Debug, Default)]
struct SourceClock {
    /// How far behind the newest event; `None` when its rows have no event time or do not come here.
    behind: Option<i64>,
    /// Whether it is an asynchronous operator, which tells its watermark whatever the partition.
    one: bool,
    /// By number of the partition.
    partitions: Vec<(Status, i64)>,
}

impl Clock {
    /// `behind` by lane: the out-of-orderness of those that come here and have event time. Behind
    /// those of the `sources` are asynchronous operators.
    pub(crate) fn new(sources: usize, behind: impl Iterator<Item = Option<Duration>>) -> Self {
        let lane = |(lane, behind): (usize, Option<Duration>)| SourceClock {
            behind: behind.map(|b| i64::try_from(b.as_millis()).unwrap_or(i64::MAX)),
            one: lane >= sources,
            partitions: Vec::new(),
        };
        Self { sources: behind.enumerate().map(lane).collect(), watermark: i64::MIN }
    }

    /// Before the first row of a source that shows its partitions one by one, nothing is older than
    /// the oldest row of its first block.
    pub(crate) fn begin(&mut self, header: &Header) {
        if header.min_event_time == i64::MAX {
            return;
        }
        let (_, newest) = self.partition(header);
        if *newest == i64::MIN {
            *newest = header.min_event_time;
        }
        self.advance();
    }

    /// A block has passed.
    pub(crate) fn pass(&mut self, header: &Header) {
        let (status, newest) = self.partition(header);
        let changed = *status != header.status || *newest < header.max_event_time;
        *status = header.status;
        *newest = (*newest).max(header.max_event_time);
        if changed {
            self.advance();
        }
    }

    /// Milliseconds since the Unix epoch; `i64::MIN` before every source has shown a row.
    pub(crate) fn watermark(&self) -> i64 {
        self.watermark
    }

    /// What all that comes here amounts to: closed when everything is, idle when nothing is active.
    pub(crate) fn status(&self) -> Status {
        let timed = self.sources.iter().filter(|s| s.behind.is_some());
        let mut statuses = timed.flat_map(|s| match s.partitions.is_empty() {
            // It has not shown anything yet.
            true => vec![Status::Active],
            false => s.partitions.iter().map(|(status, _)| *status).collect(),
        });
        statuses
            .try_fold(Status::Closed, |sum, status| match (sum, status) {
                (_, Status::Active) => Err(Status::Active),
                (Status::Closed, Status::Closed) => Ok(Status::Closed),
                _ => Ok(Status::Idle),
            })
            .unwrap_or_else(|active| active)
    }

    /// Newest event time by source and number of the partition.
    pub(crate) fn newest(&self) -> Vec<Vec<i64>> {
        self.sources.iter().map(|s| s.partitions.iter().map(|(_, newest)| *newest).collect()).collect()
    }

    fn partition(&mut self, header: &Header) -> &mut (Status, i64) {
        let SourceClock { partitions, one, .. } = &mut self.sources[usize::from(header.lane)];
        let index = if *one { 0 } else { header.partition as usize };
        if partitions.len() <= index {
            partitions.resize(index + 1, (Status::Closed, i64::MIN));
        }
        &mut partitions[index]
    }

    fn advance(&mut self) {
        let least = |source: &SourceClock| {
            let behind = source.behind?;
            if !source.partitions.is_empty() && source.partitions.iter().all(|(status, _)| *status == Status::Closed) {
                // It has ended: the others need not wait for it.
                return None;
            }
            let active = source.partitions.iter().filter(|(status, _)| *status == Status::Active);
            // All idle says nothing of time: the watermark stays.
            Some(active.map(|(_, newest)| newest.saturating_sub(behind)).min().unwrap_or(i64::MIN))
        };
        let watermark = self.sources.iter().filter_map(least).min().unwrap_or(i64::MIN);
        self.watermark = self.watermark.max(watermark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn header(source: u16, partition: u32, status: Status, times: (i64, i64)) -> Header {
        Header {
            lane: source,
            source,
            partition,
            status,
            sequence: 0,
            epoch: 0,
            since: Instant::now(),
            last: false,
            min_event_time: times.0,
            max_event_time: times.1,
            ticket: None,
            queued: None,
        }
    }

    fn clock<const N: usize>(behind: [Option<Duration>; N]) -> Clock {
        Clock::new(N, behind.into_iter())
    }

    const NONE: (i64, i64) = (i64::MAX, i64::MIN);

    fn block(clock: &mut Clock, partition: u32, oldest: i64, newest: i64) {
        let header = header(0, partition, Status::Active, (oldest, newest));
        clock.begin(&header);
        clock.pass(&header);
    }

    #[test]
    fn the_slowest_partition_holds_the_watermark_until_it_is_idle_or_closed() {
        let mut clock = clock([Some(Duration::from_millis(10))]);
        clock.pass(&header(0, 0, Status::Active, NONE));
        clock.pass(&header(0, 1, Status::Active, NONE));
        block(&mut clock, 0, 90, 100);
        assert_eq!(clock.watermark(), i64::MIN, "partition 1 has shown nothing yet");
        block(&mut clock, 1, 40, 50);
        assert_eq!(clock.watermark(), 40);
        clock.pass(&header(0, 1, Status::Idle, NONE));
        assert_eq!(clock.watermark(), 90);
        // It wakes up behind: the watermark does not go back, and is held from now on.
        block(&mut clock, 1, 60, 60);
        block(&mut clock, 0, 200, 200);
        assert_eq!(clock.watermark(), 90);
        clock.pass(&header(0, 1, Status::Closed, NONE));
        assert_eq!(clock.watermark(), 190);
    }

    #[test]
    fn when_all_are_idle_time_stands_still() {
        let mut clock = clock([Some(Duration::ZERO)]);
        block(&mut clock, 0, 5, 7);
        clock.pass(&header(0, 0, Status::Idle, NONE));
        assert_eq!(clock.watermark(), 7);
    }

    #[test]
    fn a_source_that_has_ended_holds_nobody_back() {
        let mut clock = clock([Some(Duration::ZERO), Some(Duration::ZERO)]);
        block(&mut clock, 0, 5, 7);
        assert_eq!(clock.watermark(), i64::MIN, "the other source has shown nothing");
        clock.pass(&header(1, 0, Status::Active, (1, 2)));
        assert_eq!(clock.watermark(), 2);
        clock.pass(&header(1, 0, Status::Closed, NONE));
        assert_eq!(clock.watermark(), 7);
    }

    #[test]
    fn the_first_block_runs_under_its_oldest_row() {
        let mut clock = clock([Some(Duration::ZERO), None]);
        clock.pass(&header(0, 0, Status::Active, NONE));
        let first = header(0, 0, Status::Active, (30, 80));
        clock.begin(&first);
        assert_eq!(clock.watermark(), 30);
        clock.pass(&first);
        assert_eq!((clock.watermark(), clock.newest()), (80, vec![vec![80], vec![]]));
    }

    #[test]
    fn a_position_restores_the_time_of_its_partition() {
        let mut clock = clock([Some(Duration::from_millis(5))]);
        clock.pass(&header(0, 0, Status::Active, (i64::MAX, 1_000)));
        assert_eq!(clock.watermark(), 995);
    }
}
