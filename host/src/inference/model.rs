//! A model: the bytes of one `.onnx` file, known by their SHA-256, and what a trial session said of
//! them. Sessions are made from these very bytes, so what was hashed is what runs.
//!
//! The form that the host can call: one `f32` input of shape `[batch, N]` with a free batch axis and
//! a fixed N, and one `f32` output of shape `[batch, K]` or `[batch]`. Outputs of other types beside
//! it (a classifier's label) are left alone.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ort::session::Session as OrtSession;
use ort::value::{Outlet, TensorElementType};
use sha2::{Digest, Sha256};

use super::metadata::Metadata;
use super::session::{RawSession, create};
use super::{Error, ModelConfig, Runtime};

/// Largest model file: beyond 1 GiB a session per worker is the wrong way to run it.
const MAX_MODEL_BYTES: u64 = 1 << 30;
/// Largest N and K: the longest `f32[N]` column there is.
const MAX_WIDTH: usize = 65_536;
/// Rows of the trial call: two, as one row cannot tell `[batch]` from a single score for all.
const TRIAL_ROWS: usize = 2;

/// A model whose form was checked.
pub struct Model {
    pub(super) runtime: &'static Runtime,
    pub(super) name: String,
    path: PathBuf,
    pub(super) bytes: Vec<u8>,
    sha256: String,
    version: String,
    features: Option<Vec<String>>,
    pub(super) width: usize,
    pub(super) output: String,
    pub(super) outputs: usize,
}

impl Model {
    /// Reads and checks a model file; calls it once with rows of zeros.
    ///
    /// # Errors
    /// [`Error::Model`] when the file cannot be read, is not a model, or not one of the form that
    /// the host can call.
    pub fn load(runtime: &'static Runtime, config: &ModelConfig) -> Result<Arc<Self>, Error> {
        let fail = |reason| Error::Model { model: config.name.clone(), path: config.path.clone(), reason };
        let bytes = read(&config.path, MAX_MODEL_BYTES).map_err(fail)?;
        let sha256 = hex(&Sha256::digest(&bytes));
        let session =
            create(runtime, &bytes).map_err(|e| fail(format!("ONNX Runtime cannot read it as a model: {e}")))?;
        let width = input_width(&session).map_err(fail)?;
        let output = score_output(&session).map_err(fail)?;
        let metadata = Metadata::read(&session).map_err(fail)?;
        if let Some(names) = metadata.features.as_ref().filter(|names| names.len() != width) {
            return Err(fail(format!(
                "its metadata `features` names {} features ({}), but its input takes {width}; write the metadata anew",
                names.len(),
                names.join(", ")
            )));
        }
        let outputs = try_out(session, width, &output).map_err(fail)?;
        // A file without a version is still told from another: by the beginning of its hash.
        let version = metadata.version.unwrap_or_else(|| format!("sha256:{}", &sha256[..12]));
        Ok(Arc::new(Self {
            runtime,
            name: config.name.clone(),
            path: config.path.clone(),
            bytes,
            sha256,
            version,
            features: metadata.features,
            width,
            output,
            outputs,
        }))
    }

    /// Name in the pipeline.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Version by its metadata (`model.version`, `version`, or ONNX's own number), else `sha256:` and
    /// the first twelve digits of the hash.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// SHA-256 of the file, in lower-case hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Number of features of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of predictions of a row.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Names of the features in order, when the file says them.
    pub fn features(&self) -> Option<&[String]> {
        self.features.as_deref()
    }

    pub(super) fn unusable(&self, reason: String) -> Error {
        Error::Model { model: self.name.clone(), path: self.path.clone(), reason }
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("sha256", &self.sha256)
            .field("width", &self.width)
            .field("outputs", &self.outputs)
            .finish_non_exhaustive()
    }
}

/// The file's bytes; the limit holds even for a file that grows while it is read.
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|e| format!("the file cannot be opened: {e}"))?;
    let length = file.metadata().map_err(|e| format!("the file cannot be read: {e}"))?.len();
    let mut bytes = Vec::with_capacity(usize::try_from(length.min(limit)).unwrap_or(0));
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|e| format!("the file cannot be read: {e}"))?;
    if bytes.len() as u64 > limit {
        return Err(format!("the file is larger than {limit} bytes, the limit for embedded models"));
    }
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// N of the one input `f32[batch, N]`.
fn input_width(session: &OrtSession) -> Result<usize, String> {
    let want = "the host calls models with one input of type f32 and shape [batch, N]";
    let [input] = session.inputs() else {
        return Err(format!("it has {} inputs ({}); {want}", session.inputs().len(), describe(session.inputs())));
    };
    let found = || format!("its input is {}", describe(std::slice::from_ref(input)));
    let shape = input.dtype().tensor_shape().map(|shape| &shape[..]);
    match (input.dtype().tensor_type(), shape) {
        (Some(TensorElementType::Float32), Some(&[batch, width])) => {
            if batch != -1 {
                return Err(format!("{}: its batch axis is fixed; export it with a dynamic first axis", found()));
            }
            usize::try_from(width)
                .ok()
                .filter(|width| (1..=MAX_WIDTH).contains(width))
                .ok_or_else(|| format!("{}; {want}, N fixed and from 1 to {MAX_WIDTH}", found()))
        }
        _ => Err(format!("{}; {want}", found())),
    }
}

/// Name of the one output that can be a prediction.
fn score_output(session: &OrtSession) -> Result<String, String> {
    let mut scores = session
        .outputs()
        .iter()
        .filter(|output| output.dtype().tensor_type() == Some(TensorElementType::Float32))
        .map(|output| output.name().to_owned());
    match (scores.next(), scores.next()) {
        (Some(name), None) => Ok(name),
        (first, _) => Err(format!(
            "it has {} output of type f32 among its outputs ({}); the host needs exactly one, of shape [batch, K] or \
             [batch]",
            if first.is_none() { "no" } else { "more than one" },
            describe(session.outputs())
        )),
    }
}

/// K, by a call: declared output shapes are often vague and sometimes wrong.
fn try_out(session: OrtSession, width: usize, output: &str) -> Result<usize, String> {
    let mut scores = Vec::new();
    let shape = RawSession::new(session, output)
        .and_then(|mut session| session.run(&vec![0.0; TRIAL_ROWS * width], TRIAL_ROWS, width, &mut scores))
        .map_err(|e| format!("a trial call with {TRIAL_ROWS} rows of {width} zeros failed: {e}"))?;
    let outputs = match shape[..] {
        [rows] if rows == TRIAL_ROWS as i64 => Some(1),
        [rows, k] if rows == TRIAL_ROWS as i64 => usize::try_from(k).ok().filter(|k| (1..=MAX_WIDTH).contains(k)),
        _ => None,
    };
    outputs.ok_or_else(|| {
        format!(
            "a trial call with {TRIAL_ROWS} rows returned `{output}` of shape {:?}; the host needs [batch, K] or \
             [batch], K from 1 to {MAX_WIDTH}",
            &shape[..]
        )
    })
}

/// Names, types and shapes in one line, as `features: f32[batch, 12]`.
fn describe(outlets: &[Outlet]) -> String {
    let one = |outlet: &Outlet| match (outlet.dtype().tensor_type(), outlet.dtype().tensor_shape()) {
        (Some(element), Some(shape)) => {
            let axes: Vec<String> =
                shape.iter().map(|&axis| if axis < 0 { "?".into() } else { axis.to_string() }).collect();
            format!("`{}`: {element}[{}]", outlet.name(), axes.join(", "))
        }
        _ => format!("`{}`: not a tensor", outlet.name()),
    };
    outlets.iter().map(one).collect::<Vec<_>>().join("; ")
}
