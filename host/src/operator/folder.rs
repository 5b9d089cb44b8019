//! The watched folder of plugins.
//!
//! Events of the file system are hints; what counts is a scan that compares the files with those
//! seen before, at every hint and every two seconds. A file that changed must settle (two equal
//! looks 100 ms apart), is read once, whole, and known from then on by its hash. What cannot take
//! over is refused with a reason, once, and changes nothing; a file that is deleted changes
//! nothing either.

mod files;
mod watch;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use self::files::{Candidate, Fingerprint, Skip};
use super::OperatorConfig;
use super::compatible::may_replace;
use super::engine::Engine;
use super::host::Logger;
use super::instance::Instance;
use super::plugin::{Plugin, Sha256Sum};

pub use watch::Watch;

/// The plugins of a folder.
#[derive(Debug)]
pub struct Folder {
    engine: Engine,
    path: PathBuf,
    plugins: BTreeMap<String, Arc<Plugin>>,
    refusals: Vec<Refusal>,
    seen: HashMap<PathBuf, Fingerprint>,
    refused: HashSet<Sha256Sum>,
}

/// A file that was not taken on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The file.
    pub file: PathBuf,
    /// Why, in one line.
    pub reason: String,
}

/// What happened in the folder.
#[derive(Clone, Debug)]
pub enum Event {
    /// A new generation may take over at the next barrier.
    Generation(NewGeneration),
    /// A file was refused; nothing changes.
    Refused(Refusal),
}

/// A generation that passed all checks for the operators that use it.
#[derive(Clone, Debug)]
pub struct NewGeneration {
    /// Name of the plugin, as operators name it.
    pub plugin_name: String,
    /// The generation.
    pub plugin: Arc<Plugin>,
    /// Where it was found.
    pub file: PathBuf,
}

/// An operator of the running pipeline and the schema of its input: what a new generation of its
/// plugin has to fit.
#[derive(Clone, Debug)]
pub struct User {
    /// The operator.
    pub operator: OperatorConfig,
    /// Schema of its input.
    pub input: SchemaRef,
}

/// The folder cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("plugin folder {}: {message}", path.display())]
pub struct FolderError {
    path: PathBuf,
    message: String,
}

impl Folder {
    /// Loads every plugin of a folder. Files that are no plugins do not fail it: see
    /// [`Folder::refusals`]. Of two files with the same plugin the one modified last wins.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn open(engine: &Engine, path: &Path) -> Result<Self, FolderError> {
        let fail = |e: std::io::Error| FolderError {
            path: path.to_owned(),
            message: match e.kind() {
                std::io::ErrorKind::NotFound => "it does not exist; set `plugins.folder`, or build the plugins".into(),
                _ => e.to_string(),
            },
        };
        let path = path.canonicalize().map_err(fail)?;
        let mut folder = Self {
            engine: engine.clone(),
            path,
            plugins: BTreeMap::new(),
            refusals: Vec::new(),
            seen: HashMap::new(),
            refused: HashSet::new(),
        };
        let mut candidates = folder.changed().map_err(fail)?;
        candidates.sort_by_key(|c| (c.fingerprint.modified, c.path.clone()));
        for candidate in candidates {
            match folder.load(&candidate) {
                Ok(Some(plugin)) => {
                    let name = plugin.description().name.clone();
                    tracing::info!(plugin = %plugin.label(), file = %candidate.path.display(), "plugin loaded");
                    if let Some(older) = folder.plugins.insert(name, plugin) {
                        tracing::warn!(file = %candidate.path.display(), instead_of = %older.label(), "two files hold this plugin; the one modified last is used");
                    }
                }
                Ok(None) => {}
                Err(reason) => folder.refusals.push(Refusal { file: candidate.path, reason }),
            }
        }
        Ok(folder)
    }

    /// Plugins by the name by which they describe themselves.
    pub fn plugins(&self) -> &BTreeMap<String, Arc<Plugin>> {
        &self.plugins
    }

    /// Files that were not taken on when the folder was opened.
    pub fn refusals(&self) -> &[Refusal] {
        &self.refusals
    }

    /// Looks once for files that changed, and says what came of them.
    fn scan(&mut self, users: &[User]) -> Vec<Event> {
        let mut candidates = match self.changed() {
            Ok(candidates) => candidates,
            Err(error) => {
                tracing::debug!(folder = %self.path.display(), %error, "plugin folder cannot be read; looking again");
                return Vec::new();
            }
        };
        candidates.sort_by_key(|c| (c.fingerprint.modified, c.path.clone()));
        candidates.into_iter().filter_map(|c| self.consider(c, users)).collect()
    }

    fn consider(&mut self, candidate: Candidate, users: &[User]) -> Option<Event> {
        let outcome = match self.load(&candidate) {
            Ok(None) => return None,
            Ok(Some(plugin)) => self.fits(&plugin, users).map_err(|e| (Some(plugin.sha256()), e)).map(|()| plugin),
            Err(reason) => Err((None, reason)),
        };
        let file = candidate.path;
        match outcome {
            Ok(plugin) => {
                let plugin_name = plugin.description().name.clone();
                self.plugins.insert(plugin_name.clone(), plugin.clone());
                if !users.iter().any(|u| u.operator.plugin == plugin_name) {
                    tracing::debug!(plugin = %plugin.label(), "no operator uses it");
                    return None;
                }
                tracing::info!(plugin = %plugin.label(), file = %file.display(), "new generation");
                Some(Event::Generation(NewGeneration { plugin_name, plugin, file }))
            }
            Err((sum, reason)) => {
                self.refused.extend(sum);
                tracing::warn!(file = %file.display(), %reason, "plugin refused; nothing changes");
                Some(Event::Refused(Refusal { file, reason }))
            }
        }
    }

    /// Whether a plugin fits every operator that uses it: its schemas, its state, its `open`.
    fn fits(&self, plugin: &Plugin, users: &[User]) -> Result<(), String> {
        let name = &plugin.description().name;
        let Some(running) = self.plugins.get(name) else { return Ok(()) };
        for user in users.iter().filter(|u| u.operator.plugin == *name) {
            let operator = &user.operator;
            may_replace(running, plugin, operator, &user.input)?;
            let logger = Logger::new(operator.name.as_str().into(), plugin.label().clone());
            Instance::start(&self.engine, plugin, &operator.config, self.engine.limits(), logger)
                .map_err(|fault| format!("operator `{}`: {fault}", operator.name))?;
        }
        Ok(())
    }

    /// The plugin of a file that changed; `None` when these very bytes run already or were refused
    /// already, or when the file has not settled.
    fn load(&mut self, candidate: &Candidate) -> Result<Option<Arc<Plugin>>, String> {
        let bytes = match files::read(&self.path, candidate, self.engine.max_component_bytes()) {
            Ok(bytes) => bytes,
            Err(Skip::Unsettled) => return Ok(None),
            Err(Skip::Refused(reason)) => {
                self.seen.insert(candidate.path.clone(), candidate.fingerprint);
                return Err(reason);
            }
        };
        self.seen.insert(candidate.path.clone(), candidate.fingerprint);
        let sum = Sha256Sum::of(&bytes);
        if self.refused.contains(&sum) || self.plugins.values().any(|p| p.sha256() == sum) {
            return Ok(None);
        }
        self.engine.load(&bytes).map(Some).map_err(|error| {
            self.refused.insert(sum);
            error.to_string()
        })
    }

    /// Files that are not as they were when last seen, settled.
    fn changed(&mut self) -> std::io::Result<Vec<Candidate>> {
        let found = files::list(&self.path)?;
        self.seen.retain(|path, _| found.iter().any(|c| c.path == *path));
        let changed = found.into_iter().filter(|c| self.seen.get(&c.path) != Some(&c.fingerprint)).collect();
        Ok(files::settle(changed))
    }
}
