//! Rewind, the only recovery: after a crash, a failed commit, an uncertain reply. Find the committed
//! epoch, drop what is prepared behind it, bring the state there.
//!
//! The order of reading is part of the protocol. First the decider is asked, which fences whoever
//! else could still commit; then the log is opened: what it holds then is all that can be committed.

use super::committer::{Committer, Decision, EpochLog, State, refused};
use super::log::LogError;
use super::protocol::{Action, Base, Facts, History, Refusal, Resolution, Summary, resolve};

/// Why a run cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The facts contradict each other.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The log cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The decider could not be asked.
    #[error("{}", reason(.0))]
    Decider(Action),
    /// The snapshots could not be looked at.
    #[error("{0}")]
    Snapshots(String),
    /// The state could not be brought to the committed epoch.
    #[error("the state cannot be brought to epoch {epoch}: {reason}")]
    State {
        /// The epoch.
        epoch: u64,
        /// Why not.
        reason: String,
    },
}

impl RecoveryError {
    /// What to do about it.
    pub fn action(&self) -> Action {
        match self {
            Self::Decider(action) => action.clone(),
            Self::Log(error) => refused(error),
            Self::Refused(_) | Self::Snapshots(_) | Self::State { .. } => Action::Stop(self.to_string()),
        }
    }
}

fn reason(action: &Action) -> &str {
    match action {
        Action::Retry(reason) | Action::Rewind(reason) | Action::Stop(reason) | Action::Exit(reason) => reason,
    }
}

/// Finds the committed epoch and brings log and state there. Returns what goes on from it, and what
/// was found: the record of [`Resolution::committed`] says where sources and sinks go on.
///
/// `open` opens the log, and is called after the decider was asked. `snapshot` finds the record of the
/// newest snapshot of this history, `accept` is the operator's word (`--resume-from EPOCH`).
///
/// # Errors
/// When the committed epoch is uncertain, or cannot be reached. Nothing was changed when it is a
/// refusal.
pub fn recover<L: EpochLog, D: Decision, S: State>(
    mut decision: D,
    open: impl FnOnce() -> Result<L, LogError>,
    mut state: S,
    snapshot: impl FnOnce(&History) -> Result<Option<Summary>, String>,
    accept: Option<u64>,
) -> Result<(Committer<L, D, S>, Resolution), RecoveryError> {
    let pointer = decision.pointer().map_err(RecoveryError::Decider)?;
    let mut log = open()?;
    let snapshot = snapshot(log.history()).map_err(RecoveryError::Snapshots)?;
    let snapshot = snapshot.as_ref();
    let facts = Facts { pointer: &pointer, history: log.history(), store: state.applied(), snapshot, accept };
    let resolution = resolve(&facts)?;
    log.truncate_after(resolution.committed())?;
    if let Resolution::Resume { from, replay, .. } = &resolution {
        if let Base::Snapshot { epoch } = *from {
            state.restore(epoch).map_err(|reason| RecoveryError::State { epoch, reason })?;
        }
        for &committed in replay {
            let epoch = committed.epoch();
            let (_, slots) = log.read(epoch)?;
            state.apply(committed, slots).map_err(|reason| RecoveryError::State { epoch, reason })?;
        }
    }
    let committed = resolution.committed();
    state.settle().map_err(|reason| RecoveryError::State { epoch: committed, reason })?;
    Ok((Committer::new(log, decision, state, committed), resolution))
}
