//! Describes a plugin file, as the host would load it.

use std::path::{Path, PathBuf};

use super::Error;
use crate::config::user_cache;
use crate::operator::{Config, Engine};
use crate::report::{PluginReport, PortReport, StateReport, columns_of};

/// Reads a plugin and describes it.
///
/// # Errors
/// When the file is not a plugin that this host can load.
pub fn inspect_plugin(path: &Path) -> Result<PluginReport, Error> {
    let config = Config::new(PathBuf::new(), &user_cache());
    let refused = |e: &dyn std::fmt::Display| Error::Refused(format!("{}: {e}", path.display()));
    let size = std::fs::metadata(path).map_err(|e| refused(&e))?.len();
    if size > config.max_component_bytes {
        return Err(refused(&format!("{size} bytes, more than the limit of {}", config.max_component_bytes)));
    }
    let bytes = std::fs::read(path).map_err(|e| refused(&e))?;
    let engine = Engine::new(&config).map_err(|e| refused(&e))?;
    let plugin = engine.load(&bytes).map_err(|e| refused(&e))?;
    let said = plugin.description();
    let (imports, exports) = plugin.interfaces();
    Ok(PluginReport {
        path: path.to_owned(),
        bytes: size,
        sha256: plugin.sha256().to_string(),
        name: said.name.clone(),
        version: said.version.clone(),
        inputs: columns_of(&said.inputs),
        outputs: said
            .outputs
            .iter()
            .map(|p| PortReport { name: p.name.clone(), columns: columns_of(&p.schema) })
            .collect(),
        state: said.state.map(|s| StateReport { version: s.version, ttl_ms: s.ttl_ms, fixed_size: s.fixed_size }),
        counters: said.counters.clone(),
        capabilities: said.capabilities.clone(),
        imports,
        exports,
    })
}
