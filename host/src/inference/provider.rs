//! What runs a model: the processor, or an execution provider of ONNX Runtime. A provider that was
//! wished for and cannot be had is told of, and is an error unless the processor may stand in.

use ort::ep::{self, ExecutionProviderDispatch};

use super::external::ThreadConfig;
use super::{Error, Model, Session, session};

fn dispatch(provider: &str) -> Option<ExecutionProviderDispatch> {
    // Without this, a provider that cannot be had is left out without a word.
    Some(match provider {
        "cpu" => ep::CPU::default().build().error_on_failure(),
        "cuda" => ep::CUDA::default().build().error_on_failure(),
        "tensorrt" => ep::TensorRT::default().build().error_on_failure(),
        "openvino" => ep::OpenVINO::default().build().error_on_failure(),
        "coreml" => ep::CoreML::default().build().error_on_failure(),
        "migraphx" => ep::MIGraphX::default().build().error_on_failure(),
        "webgpu" => ep::WebGPU::default().build().error_on_failure(),
        _ => return None,
    })
}

impl Session {
    /// A session by the first provider that can be had, and its name.
    ///
    /// # Errors
    /// [`Error::Model`] with what each provider said, when none can.
    pub fn open_on(model: &std::sync::Arc<Model>, wish: &ThreadConfig) -> Result<(Self, String), Error> {
        let stand_in = wish.allow_cpu_fallback.then_some("cpu");
        let mut refused: Vec<String> = Vec::new();
        for provider in wish.providers.iter().map(String::as_str).chain(stand_in) {
            let Some(dispatch) = dispatch(provider) else {
                refused.push(format!("{provider}: unknown"));
                continue;
            };
            let strict = provider != "cpu" && !wish.allow_cpu_fallback;
            match session::create_on(model.runtime, &model.bytes, dispatch, strict, wish.threads) {
                Ok(created) => {
                    if !refused.is_empty() {
                        tracing::warn!(
                            model = model.name(),
                            provider,
                            refused = refused.join("; "),
                            "a model runs on another execution provider than was wished for"
                        );
                    }
                    return Ok((Session::of(model, created)?, provider.to_owned()));
                }
                Err(error) => refused.push(format!("{provider}: {error}")),
            }
        }
        let help = "use an ONNX Runtime with that provider (`[models] library`), or set `allow_cpu_fallback = true`";
        Err(model.unusable(format!("no execution provider can run it ({}); {help}", refused.join("; "))))
    }
}
