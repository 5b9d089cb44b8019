//! Whether a pipeline has what the committed epoch names.

use super::Refusal;
use crate::epoch::EpochRecord;
use crate::record::SinkState;

/// The parts of a pipeline that keep something.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// Names of the sources.
    pub sources: &'a [&'a str],
    /// Names of the operators with state.
    pub operators: &'a [&'a str],
    /// Names of the operators that answer later.
    pub asynchronous: &'a [&'a str],
    /// Names of the sinks.
    pub sinks: &'a [&'a str],
}

/// Checks that nothing the record names is left out. A part that the record does not name begins at
/// its beginning.
///
/// # Errors
/// When a source or operator is missing, and `allow` (`--allow-non-restored-state`) is not given.
pub fn fits(record: &EpochRecord, parts: Parts<'_>, allow: bool) -> Result<(), Refusal> {
    let missing = |part, name: &str| Refusal::PartMissing { epoch: record.epoch, part, name: name.to_owned() };
    let source = record.sources.keys().find(|name| !parts.sources.contains(&name.as_str()));
    let operator = record.operators.keys().find(|name| !parts.operators.contains(&name.as_str()));
    let later = record.in_flight.keys().find(|name| !parts.asynchronous.contains(&name.as_str()));
    // Its file would be taken for that of a new sink, and emptied.
    let is_file = |state: &SinkState| matches!(state, SinkState::File { .. });
    let sink = record.sinks.iter().find(|(name, state)| is_file(state) && !parts.sinks.contains(&name.as_str()));
    let found = source.map(|name| missing("source", name)).or(operator.map(|name| missing("operator", name)));
    let found = found.or(later.map(|name| missing("inference operator", name)));
    match found.or(sink.map(|(name, _)| missing("sink", name))) {
        Some(refusal) if !allow => Err(refusal),
        _ => Ok(()),
    }
}
