//! Whether a pipeline has what the committed epoch names.

use super::Refusal;
use crate::epoch::EpochRecord;

/// The parts of a pipeline that keep something.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// Names of the sources.
    pub sources: &'a [&'a str],
    /// Names of the operators with state.
    pub operators: &'a [&'a str],
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
    match (source, operator) {
        _ if allow => Ok(()),
        (Some(name), _) => Err(missing("source", name)),
        (None, Some(name)) => Err(missing("operator", name)),
        (None, None) => Ok(()),
    }
}
