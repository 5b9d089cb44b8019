//! What a pipeline remembers between attempts and between runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::Pipeline;
use crate::dataflow::Failure;
use crate::epoch::{Commit, Done, Forget, Gathered};
use crate::record::{Position, SinkState};
use crate::rollout::Generations;
use crate::state::{self, Store};

/// Where an attempt begins.
pub(super) struct Recovered {
    /// The committed epoch; 0 before the first.
    pub epoch: u64,
    pub store: Option<Arc<Store>>,
    /// By source.
    pub sources: BTreeMap<String, Vec<Position>>,
    /// By sink.
    pub sinks: BTreeMap<String, SinkState>,
}

/// What a pipeline remembers.
pub(super) struct Memory {
    state: state::Config,
    replayable: bool,
}

impl Memory {
    pub(super) fn open(pipeline: &Pipeline) -> Result<Self, Failure> {
        Ok(Self { state: pipeline.state.clone(), replayable: true })
    }

    pub(super) fn recover(&mut self, keyed: &[&str], _: &Generations) -> Result<Recovered, Failure> {
        let store = match keyed.is_empty() {
            true => None,
            false => Some(Store::open(&self.state, keyed).map_err(|e| Failure::new("state", e))?),
        };
        let epoch = store.as_ref().map_or(0, |s| s.applied_epoch());
        Ok(Recovered { epoch, store, sources: BTreeMap::new(), sinks: BTreeMap::new() })
    }

    pub(super) fn commit(&self, recovered: Recovered, _: &Pipeline, _: &Generations) -> Box<dyn Commit> {
        match recovered.store {
            None => Box::new(Forget),
            Some(store) => Box::new(Apply(store)),
        }
    }

    pub(super) fn replayable(&mut self, all: bool) {
        self.replayable = all;
    }

    pub(super) fn can_rewind(&self, _: &Failure) -> bool {
        self.replayable
    }

    pub(super) fn rewinds(&self) -> u32 {
        10
    }
}

struct Apply(Arc<Store>);

impl Commit for Apply {
    fn commit(&mut self, gathered: Gathered) -> Result<Done, Failure> {
        self.0.apply(gathered.epoch, &gathered.dirty).map_err(|e| Failure::new("state", e))?;
        if let Some(watermark) = gathered.watermark.filter(|&w| w != i64::MIN) {
            self.0.collect_expired(watermark);
        }
        Ok(Done { epoch: gathered.epoch, recorded: true, barrier: gathered.barrier, ..Done::default() })
    }

    fn close(&mut self) {
        if let Err(error) = self.0.flush() {
            tracing::error!(%error, "the state could not be flushed");
        }
    }
}
