//! What a plugin says of itself, checked and as Arrow schemas.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};

use super::bindings::guest;
use crate::record::parse_type;

/// The packed layout that this host speaks.
const BATCH_FORMAT: u32 = 1;
/// The highest version of a state: the store has a use of its own for the bit above.
const MAX_STATE_VERSION: u32 = i32::MAX as u32;
/// Fields, ports or counters of one plugin: far beyond what a person writes.
const MAX_ITEMS: usize = 1024;
/// Bytes of a name.
const MAX_NAME: usize = 128;

/// A plugin's description once checked.
#[derive(Clone, Debug)]
pub struct Description {
    /// Name by which a pipeline finds the plugin.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// Columns that it reads, in the order of the packed batch.
    pub inputs: SchemaRef,
    /// Output ports, the main one first.
    pub outputs: Vec<Port>,
    /// Present when it keeps state per key.
    pub state: Option<StateDescription>,
    /// Names of its counters.
    pub counters: Vec<String>,
    /// Interfaces it would like.
    pub capabilities: Vec<String>,
}

/// An output of a plugin.
#[derive(Clone, Debug)]
pub struct Port {
    /// Its name in `operator.port`.
    pub name: String,
    /// Columns that the plugin writes.
    pub schema: SchemaRef,
}

/// Keyed state of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateDescription {
    /// Version of the slot's layout, from 1.
    pub version: u32,
    /// Milliseconds after the last write (event time) when a slot expires; 0 is never.
    pub ttl_ms: u64,
    /// Size of a slot in bytes when it is fixed, 0 when it varies.
    pub fixed_size: u32,
}

impl Description {
    /// Checks what `describe` returned.
    ///
    /// # Errors
    /// One line that says what is wrong with it.
    pub(super) fn check(said: guest::Description) -> Result<Self, String> {
        name("the plugin", &said.name)?;
        if said.version.is_empty() || said.version.len() > MAX_NAME || said.version.chars().any(char::is_control) {
            return Err(format!("version {:?} is not a version such as `1.0.0`", said.version));
        }
        if said.batch_format != BATCH_FORMAT {
            return Err(format!(
                "it speaks batch format {}, this host speaks {BATCH_FORMAT}; build it against the SDK of this host",
                said.batch_format
            ));
        }
        if said.timers {
            return Err("it sets timers, which this version of the host does not fire yet".into());
        }
        let inputs = schema("the input", &said.inputs)?;
        if said.outputs.is_empty() {
            return Err("it has no output port; the first is the main output".into());
        }
        unique("output port", said.outputs.iter().map(|p| p.name.as_str()))?;
        unique("counter", said.counters.iter().map(String::as_str))?;
        let outputs = said
            .outputs
            .iter()
            .map(|p| Ok(Port { name: p.name.clone(), schema: schema(&format!("port `{}`", p.name), &p.fields)? }))
            .collect::<Result<_, String>>()?;
        let state =
            said.state.map(|s| StateDescription { version: s.version, ttl_ms: s.ttl_ms, fixed_size: s.fixed_size });
        if state.is_some_and(|s| s.version == 0) {
            return Err("its state has version 0; versions count from 1".into());
        }
        if let Some(s) = state.filter(|s| s.version > MAX_STATE_VERSION) {
            return Err(format!("its state has version {}; the highest is {MAX_STATE_VERSION}", s.version));
        }
        Ok(Self {
            name: said.name,
            version: said.version,
            inputs,
            outputs,
            state,
            counters: said.counters,
            capabilities: said.capabilities,
        })
    }
}

fn schema(of: &str, fields: &[guest::Field]) -> Result<SchemaRef, String> {
    unique(&format!("column of {of}"), fields.iter().map(|f| f.name.as_str()))?;
    let fields = fields
        .iter()
        .map(|f| {
            let data_type = parse_type(&f.data_type)
                .ok_or_else(|| format!("{of} has column `{}` of unknown type {:?}", f.name, f.data_type))?;
            Ok(Field::new(&f.name, data_type, f.nullable))
        })
        .collect::<Result<Vec<_>, String>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

fn unique<'a>(what: &str, names: impl ExactSizeIterator<Item = &'a str>) -> Result<(), String> {
    if names.len() > MAX_ITEMS {
        return Err(format!("{} times a {what}; {MAX_ITEMS} are allowed", names.len()));
    }
    let mut seen = HashSet::with_capacity(names.len());
    for n in names {
        name(what, n)?;
        if !seen.insert(n) {
            return Err(format!("{what} `{n}` is there twice"));
        }
    }
    Ok(())
}

fn name(what: &str, name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(format!("{what} is named {name:?}; a name has 1 to {MAX_NAME} bytes and no control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_state(version: u32) -> Result<Description, String> {
        let port = guest::Port { name: "main".into(), fields: Vec::new() };
        Description::check(guest::Description {
            name: "counter".into(),
            version: "1.0.0".into(),
            batch_format: BATCH_FORMAT,
            inputs: Vec::new(),
            outputs: vec![port],
            state: Some(guest::State { version, ttl_ms: 0, fixed_size: 0 }),
            timers: false,
            counters: Vec::new(),
            capabilities: Vec::new(),
        })
    }

    #[test]
    fn versions_of_a_state_have_bounds() {
        assert!(with_state(1).is_ok() && with_state(MAX_STATE_VERSION).is_ok());
        assert!(with_state(0).is_err_and(|e| e.contains("versions count from 1")));
        assert!(with_state(MAX_STATE_VERSION + 1).is_err_and(|e| e.contains("the highest is 2147483647")));
    }
}
