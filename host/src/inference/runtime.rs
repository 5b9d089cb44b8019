//! The ONNX Runtime library, loaded once per process from a file that the caller names.
//!
//! It is loaded eagerly and by path: `ort` would otherwise look for it at the first use of its API
//! and panic where there is none. A process has one library and one environment for ever, so the
//! first path that works is the process's path.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;

use super::Error;

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
/// Held while loading, so that two threads do not both create the one environment.
static LOADING: Mutex<()> = Mutex::new(());

/// The loaded library.
pub struct Runtime {
    pub(super) environment: Environment,
    library: PathBuf,
}

impl Runtime {
    /// Loads the library at `library`, or returns the one that this process has loaded from there.
    ///
    /// # Errors
    /// [`Error::Library`] when the file is missing, is no ONNX Runtime, is too old, or when the
    /// process runs on another one already.
    pub fn load(library: &Path) -> Result<&'static Self, Error> {
        let fail = |reason: String| Error::Library { path: library.to_path_buf(), reason };
        if !library.is_file() {
            return Err(fail("the library is not there".into()));
        }
        let path = library.canonicalize().map_err(|e| fail(format!("the library cannot be reached: {e}")))?;
        let _loading = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = RUNTIME.get() {
            return if runtime.library == path {
                Ok(runtime)
            } else {
                Err(fail(format!(
                    "this process has loaded {} already, and can load only one",
                    runtime.library.display()
                )))
            };
        }
        let environment = ort::init_from(&path)
            .map_err(|e| fail(explain(&e)))?
            .with_name("millstream")
            .with_telemetry(false)
            .with_logger(Arc::new(log))
            .build()
            .map_err(|e| fail(format!("it does not start: {e}")))?;
        // A custom logger is called for everything unless told otherwise.
        environment.set_log_level(LogLevel::Warning);
        Ok(RUNTIME.get_or_init(|| Self { environment, library: path }))
    }

    /// The library's file.
    pub fn library(&self) -> &Path {
        &self.library
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("library", &self.library).finish_non_exhaustive()
    }
}

fn explain(error: &ort::LoadDynamicError) -> String {
    use ort::LoadDynamicError as E;
    match error {
        E::Dlopen { error, .. } => format!("the library cannot be loaded: {error}"),
        E::MissingApi { .. } => "the file is a library, but not ONNX Runtime".into(),
        E::InvalidVersionString => "the library does not tell its version".into(),
        E::BadVersion { version_str, .. } => format!("the library is version {version_str}, which is too old"),
    }
}

/// Everything that fails comes back as an error as well, hence no level above debug here.
fn log(level: LogLevel, category: &str, _id: &str, location: &str, message: &str) {
    tracing::debug!(target: "onnxruntime", ?level, category, location, "{message}");
}
