//! A broker with one producer identity: fencing, transactions that are open, committed, aborted or
//! timed out, and replies and requests that are lost or late.

use super::world::{Output, PARTITIONS};

/// What a transaction names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) epoch: u64,
    pub(super) run: u64,
    pub(super) checksum: u32,
}

#[derive(Default)]
pub(super) struct Broker {
    /// Grows with each initialisation; only the newest may do anything.
    pub(super) producer: u64,
    open: Option<Transaction>,
    /// Requests to commit that are still on their way, by producer.
    late: Vec<u64>,
    pub(super) committed: Vec<Output>,
    pub(super) offsets: [u64; PARTITIONS],
    pub(super) pointers: Vec<Named>,
    /// The topic of the pointers was deleted.
    pub(super) lost_pointers: bool,
}

#[derive(Default)]
struct Transaction {
    outputs: Vec<Output>,
    named: Option<(Named, [u64; PARTITIONS])>,
}

impl Broker {
    /// Fences older producers, and decides what they left open: it is aborted.
    pub(super) fn init(&mut self) -> u64 {
        self.open = None;
        self.producer += 1;
        self.producer
    }

    pub(super) fn pointer(&self) -> Option<Named> {
        self.pointers.last().copied().filter(|_| !self.lost_pointers)
    }

    pub(super) fn produce(&mut self, producer: u64, outputs: &[Output]) -> bool {
        if producer != self.producer {
            return false;
        }
        self.open.get_or_insert_default().outputs.extend_from_slice(outputs);
        true
    }

    /// Puts pointer and offsets into the transaction. False when it is not there any more.
    pub(super) fn name(&mut self, producer: u64, named: Named, offsets: [u64; PARTITIONS]) -> bool {
        let open = self.open.as_mut().filter(|_| producer == self.producer);
        open.map(|open| open.named = Some((named, offsets))).is_some()
    }

    /// The request to commit arrives.
    pub(super) fn end(&mut self, producer: u64) -> bool {
        if producer != self.producer {
            return false;
        }
        let Some(Transaction { outputs, named: Some((named, offsets)) }) = self.open.take() else { return false };
        self.committed.extend(outputs);
        self.pointers.push(named);
        self.offsets = offsets;
        self.lost_pointers = false;
        true
    }

    pub(super) fn end_later(&mut self, producer: u64) {
        self.late.push(producer);
    }

    /// The requests that were on their way arrive.
    pub(super) fn deliver_late(&mut self) {
        for producer in std::mem::take(&mut self.late) {
            self.end(producer);
        }
    }

    /// The transaction takes too long, or the host asked for it.
    pub(super) fn abort(&mut self) {
        self.open = None;
    }
}
