//! A plugin generation: compiled, linked and described, ready to be instantiated.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::component::{ComponentExportIndex, InstancePre};

use super::bindings::{BROADCAST, MIGRATE_STATE, OperatorPre, TIMERS};
use super::description::Description;
use super::engine::Engine;
use super::error::LoadError;
use super::host::{Host, Logger};
use super::instance::Instance;

/// One loaded version of a plugin.
pub struct Plugin {
    sum: Sha256Sum,
    description: Description,
    pre: OperatorPre<Host>,
    migrate: Option<ComponentExportIndex>,
    /// `name version (sha256 short)`, as messages have it.
    label: Arc<str>,
}

impl Plugin {
    /// Calls `describe` on a scratch instance and checks the answer.
    pub(super) fn describe(engine: &Engine, pre: InstancePre<Host>, sum: Sha256Sum) -> Result<Self, LoadError> {
        let component = pre.component();
        for interface in [TIMERS, BROADCAST] {
            if component.get_export_index(None, interface).is_some() {
                tracing::debug!(interface, plugin = %sum, "optional export; this version of the host does not call it yet");
            }
        }
        let migrate = component
            .get_export_index(None, MIGRATE_STATE)
            .and_then(|interface| component.get_export_index(Some(&interface), "migrate"));
        let pre = OperatorPre::new(pre).map_err(|e| LoadError::Contract(format!("{e:#}")))?;
        let logger = Logger::new("(describe)".into(), sum.short().into());
        let said = Instance::describe(engine, &pre, logger)?;
        let description = Description::check(said).map_err(LoadError::Description)?;
        let label = format!("{} {} ({})", description.name, description.version, sum.short()).into();
        Ok(Self { sum, description, pre, migrate, label })
    }

    /// SHA-256 of the component's bytes.
    pub fn sha256(&self) -> Sha256Sum {
        self.sum
    }

    /// What it said of itself.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Names of the interfaces that it imports, and of those that it exports.
    pub fn interfaces(&self) -> (Vec<String>, Vec<String>) {
        let component = self.pre.instance_pre().component();
        let (engine, shape) = (component.engine(), component.component_type());
        let imports = shape.imports(engine).map(|(name, _)| name.to_owned()).collect();
        let exports = shape.exports(engine).map(|(name, _)| name.to_owned()).collect();
        (imports, exports)
    }

    /// Whether it can carry slots of an older state version over.
    pub fn migrates_state(&self) -> bool {
        self.migrate.is_some()
    }

    /// `name version (short SHA-256)`.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    pub(super) fn pre(&self) -> &OperatorPre<Host> {
        &self.pre
    }

    pub(super) fn migrate(&self) -> Option<&ComponentExportIndex> {
        self.migrate.as_ref()
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("label", &self.label).finish_non_exhaustive()
    }
}

/// The identity of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256Sum(pub [u8; 32]);

impl Sha256Sum {
    /// The sum of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Its first 8 hexadecimal digits.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(8);
        text
    }
}

impl fmt::Display for Sha256Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}
