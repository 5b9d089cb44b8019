//! The name of a partition, `topic/3`, as positions and dead letters carry it. A topic's name holds
//! no slash, so the name reads back without doubt.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// One partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// The topic.
    pub topic: String,
    /// Number of the partition in it, from 0.
    pub number: i32,
}

impl Display for Partition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.number)
    }
}

impl FromStr for Partition {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let (topic, number) = name.rsplit_once('/').ok_or(())?;
        let number = number.parse().map_err(|_| ())?;
        if topic.is_empty() || number < 0 {
            return Err(());
        }
        Ok(Self { topic: topic.to_owned(), number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back() {
        let partition = Partition { topic: "card.payments-v2".into(), number: 31 };
        assert_eq!(partition.to_string(), "card.payments-v2/31");
        assert_eq!("card.payments-v2/31".parse(), Ok(partition));
        for other in ["payments", "payments/", "payments/x", "payments/-1", "/3", "data/events.jsonl"] {
            assert_eq!(other.parse::<Partition>(), Err(()), "{other}");
        }
    }
}
