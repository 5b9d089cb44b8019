//! Where partitions begin.

use std::collections::BTreeSet;

use super::{End, Reading, again, stop};
use crate::dataflow::Output;
use crate::kafka::Partition;
use crate::record::Position;
use crate::source::config::AutoOffsetReset;

/// How the beginning of a partition is found when neither the epoch nor the group knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    First,
    End,
    Refused,
}

impl Reading<'_> {
    /// The position of each partition; see the description of the source.
    pub(super) fn positions(
        &mut self,
        partitions: Vec<Partition>,
        output: &mut dyn Output,
    ) -> Result<Vec<(Partition, Position)>, End> {
        let mut found = Vec::with_capacity(partitions.len());
        if partitions.is_empty() {
            return Ok(found);
        }
        let committed = again(output, || self.consumer.committed(&partitions))?;
        for (partition, committed) in partitions.into_iter().zip(committed) {
            // Used once: when the partition comes back later, others may have read it meanwhile.
            if let Some(mut position) = self.known.remove(&partition) {
                if let Some(ahead) = committed.filter(|&offset| offset > position.next && !self.trusts_epoch) {
                    let (source, next) = (&self.name, position.next);
                    tracing::warn!(
                        source, %partition, next, ahead,
                        "the group is ahead of the last epoch here: another process has read on, or its offsets were set"
                    );
                    position.next = ahead;
                }
                found.push((partition, position));
                continue;
            }
            let next = match committed {
                Some(offset) => offset,
                None => match begin(&self.read_before, &partition, self.settings.auto_offset_reset) {
                    Begin::First => again(output, || self.consumer.ends(&partition))?.0,
                    Begin::End => again(output, || self.consumer.ends(&partition))?.1,
                    Begin::Refused => {
                        let (group, source) = (&self.settings.group, &self.name);
                        let message = format!(
                            "group `{group}` has no committed offset for {partition}, and `auto_offset_reset` is \
                             \"error\"; set it to \"earliest\" or \"latest\" in `[source.{source}]`"
                        );
                        return Err(stop(message).into());
                    }
                },
            };
            let position = Position::new(partition.to_string(), next);
            found.push((partition, position));
        }
        Ok(found)
    }
}

fn begin(read_before: &BTreeSet<String>, partition: &Partition, reset: AutoOffsetReset) -> Begin {
    // It was added while the topic was read: all of it is new.
    if read_before.contains(&partition.topic) {
        return Begin::First;
    }
    match reset {
        AutoOffsetReset::Earliest => Begin::First,
        AutoOffsetReset::Latest => Begin::End,
        AutoOffsetReset::Error => Begin::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_added_to_a_topic_that_was_read_begins_at_its_beginning() {
        let read = BTreeSet::from(["payments".to_owned()]);
        let partition = |topic: &str| Partition { topic: topic.into(), number: 4 };
        assert_eq!(begin(&read, &partition("payments"), AutoOffsetReset::Latest), Begin::First);
        assert_eq!(begin(&read, &partition("refunds"), AutoOffsetReset::Latest), Begin::End);
        assert_eq!(begin(&read, &partition("refunds"), AutoOffsetReset::Earliest), Begin::First);
        assert_eq!(begin(&read, &partition("refunds"), AutoOffsetReset::Error), Begin::Refused);
    }
}
