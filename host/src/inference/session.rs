//! A session: one worker's own instance of a model.
//!
//! Measured for small networks on one thread: 2.5 µs a call and 0.13 µs a row, so a batch of 64
//! already costs what its rows cost. The settings keep it that way: the call runs on the worker's
//! thread (one intra-op thread means no pool, and nothing that spins), no arena and no memory
//! pattern, because batches differ in size and arenas never give memory back.

use std::sync::Arc;

use ort::ep;
use ort::session::builder::{AutoDevicePolicy, GraphOptimizationLevel};
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions};
use ort::value::{Shape, TensorRef};

use super::{Error, Model, Runtime};

/// One worker's instance of a model.
pub struct Session {
    model: Arc<Model>,
    raw: RawSession,
}

impl Session {
    /// A session of `model`, for the thread that will call it.
    ///
    /// # Errors
    /// [`Error::Model`] when ONNX Runtime cannot make another one.
    pub fn open(model: &Arc<Model>) -> Result<Self, Error> {
        let again = |e| model.unusable(format!("ONNX Runtime cannot open it once more: {e}"));
        Self::of(model, create(model.runtime, &model.bytes).map_err(again)?)
    }

    pub(super) fn of(model: &Arc<Model>, session: ort::session::Session) -> Result<Self, Error> {
        let raw = RawSession::new(session, &model.output);
        let raw = raw.map_err(|e| model.unusable(format!("ONNX Runtime cannot open it once more: {e}")))?;
        Ok(Self { model: model.clone(), raw })
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Runs `rows` rows of `features` (row-major, [`Model::width`] values each) in one call and
    /// appends their predictions to `out` (row-major, [`Model::outputs`] values each). The features
    /// are read where they are; without rows the model is not called.
    ///
    /// # Errors
    /// [`Error::Run`] when the features are not of that length or the model fails; `out` is as it was.
    pub fn predict(&mut self, features: &[f32], rows: usize, out: &mut Vec<f32>) -> Result<(), Error> {
        let model = &*self.model;
        let fail = |reason| Error::Run { model: model.name.clone(), rows, reason };
        if rows == 0 {
            return Ok(());
        }
        if Some(features.len()) != rows.checked_mul(model.width) {
            return Err(fail(format!("{} values are not rows of {}", features.len(), model.width)));
        }
        let before = out.len();
        self.raw.run(features, rows, model.width, out).map_err(|e| fail(e.to_string()))?;
        let got = out.len() - before;
        if got == rows * model.outputs {
            Ok(())
        } else {
            out.truncate(before);
            Err(fail(format!("it returned {got} values instead of {} a row", model.outputs)))
        }
    }
}

/// A session of ONNX Runtime with one output selected.
pub(super) struct RawSession {
    session: ort::session::Session,
    options: RunOptions<HasSelectedOutputs>,
}

impl RawSession {
    pub(super) fn new(session: ort::session::Session, output: &str) -> ort::Result<Self> {
        // Other outputs (a classifier's label, say) are not even computed.
        Ok(Self { session, options: RunOptions::new()?.with_outputs(OutputSelector::no_default().with(output)) })
    }

    /// One call; appends the output and returns its shape.
    pub(super) fn run(
        &mut self,
        features: &[f32],
        rows: usize,
        width: usize,
        out: &mut Vec<f32>,
    ) -> ort::Result<Shape> {
        let input = TensorRef::from_array_view(([rows, width], features))?;
        let outputs = self.session.run_with_options(ort::inputs![input], &self.options)?;
        let output = outputs.values().next().ok_or_else(|| ort::Error::new("it returned nothing"))?;
        let (shape, values) = output.try_extract_tensor::<f32>()?;
        out.extend_from_slice(values);
        Ok(shape.clone())
    }
}

/// A session on the processor, from exactly these bytes.
pub(super) fn create(runtime: &Runtime, bytes: &[u8]) -> ort::Result<ort::session::Session> {
    create_on(runtime, bytes, ep::CPU::default().build().error_on_failure(), false, 1)
}

/// A session by one provider; a `strict` one does every part of the model itself.
pub(super) fn create_on(
    runtime: &Runtime,
    bytes: &[u8],
    provider: ep::ExecutionProviderDispatch,
    strict: bool,
    threads: usize,
) -> ort::Result<ort::session::Session> {
    // A builder serves one session: each commit registers the environment's providers on it again.
    let builder = ort::session::Session::builder(&runtime.environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(threads.max(1))?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        .with_memory_pattern(false)?
        .with_deterministic_compute(true)?
        // `ort` asks for an efficient device by default, which is another processor on some machines.
        .with_auto_device(AutoDevicePolicy::PreferCPU)?
        // Registering the provider by hand is what switches the processor's arena off.
        .with_execution_providers([provider])?;
    let mut builder = if strict { builder.with_disable_cpu_fallback()? } else { builder };
    builder.commit_from_memory(bytes)
}
