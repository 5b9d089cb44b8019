//! A generation of a plugin as one operator uses it: bound to the operator's input, key and
//! configuration.

use std::sync::Arc;

use arrow::array::new_empty_array;
use arrow::datatypes::{Schema, SchemaRef};
use millstream_batch::AnswerSchemas;

use super::columns::Columns;
use super::description::StateDescription;
use super::engine::Engine;
use super::error::{Failure, Fault};
use super::host::Logger;
use super::instance::Instance;
use super::plugin::Plugin;
use super::{Limits, OperatorConfig};
use crate::record::{format_type, key_bytes};

/// A plugin bound to an operator.
pub(super) struct Generation {
    pub(super) plugin: Arc<Plugin>,
    pub(super) columns: Columns,
    /// What an answer may hold.
    pub(super) answers: AnswerSchemas,
}

impl Generation {
    pub(super) fn bind(plugin: Arc<Plugin>, config: &OperatorConfig, input: &Schema) -> Result<Self, String> {
        let columns = bind(&plugin, config, input)?;
        let said = plugin.description();
        let schemas = said.outputs.iter().map(|p| p.schema.clone()).collect();
        let answers = AnswerSchemas::new(schemas, said.counters.len() as u32, millstream_batch::Limits::default())
            .map_err(|e| e.to_string())?;
        Ok(Self { plugin, columns, answers })
    }

    pub(super) fn state(&self) -> Option<StateDescription> {
        self.plugin.description().state
    }

    /// A fresh instance, opened.
    pub(super) fn start(&self, engine: &Engine, config: &OperatorConfig, limits: &Limits) -> Result<Instance, Fault> {
        let logger = Logger::new(config.name.as_str().into(), self.plugin.label().clone());
        // What fails here fails for every row.
        Instance::start(engine, &self.plugin, &config.config, limits, logger).map_err(|fault| match fault {
            Fault::Configuration(_) | Fault::Host(_) => fault,
            other => Fault::Host(format!("`open` failed: {other}")),
        })
    }
}

/// Names and schemas of the output ports of an operator, the main one first.
///
/// # Errors
/// When the plugin does not fit the operator's input, key or configuration.
pub fn output_schemas(
    plugin: &Plugin,
    config: &OperatorConfig,
    input: &Schema,
) -> Result<Vec<(String, SchemaRef)>, Failure> {
    let columns = bind(plugin, config, input).map_err(|e| failure(config, plugin, e))?;
    let names = plugin.description().outputs.iter().map(|p| p.name.clone());
    Ok(names.zip(columns.ports.into_iter().map(|p| p.schema)).collect())
}

/// A failure of an operator under a plugin.
pub(super) fn failure(config: &OperatorConfig, plugin: &Plugin, message: impl ToString) -> Failure {
    Failure { operator: config.name.clone(), plugin: plugin.label().to_string(), message: message.to_string() }
}

fn bind(plugin: &Plugin, config: &OperatorConfig, input: &Schema) -> Result<Columns, String> {
    match &config.key {
        None if plugin.description().state.is_some() => {
            return Err("the plugin keeps state per key; name the column of the key with `key = \"…\"`".into());
        }
        None => {}
        Some(key) => {
            let column =
                input.field_with_name(key).map_err(|_| format!("its key `{key}` is not a column of its input"))?;
            if !key_bytes(&new_empty_array(column.data_type()), |_| {}) {
                let found = format_type(column.data_type());
                return Err(format!("its key `{key}` is {found}; a key is text, binary, an integer or a timestamp"));
            }
        }
    }
    Columns::bind(plugin.description(), config.forward.as_deref(), input)
}
