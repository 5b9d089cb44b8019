"""An ONNX model in MLServer: what MLServer does not bring, some lines of ONNX Runtime.

Input: one FP32 tensor of shape [rows, features], by the name that the ONNX file gives its input, or by
any other. Output: the model's outputs, each [rows, n]. A shape that the model does not take is answered
with 400. Scores of a row do not depend on the rows beside it.
"""

import asyncio
import os
from pathlib import Path

import numpy
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.errors import InferenceError
from mlserver.types import InferenceRequest, InferenceResponse


class OnnxModel(MLModel):
    """`parameters.uri` of model-settings.json names the file, relative to the folder of that file, and
    `parameters.version` its version, which must be the one in the file's metadata, if that has one."""

    async def load(self) -> bool:
        path = Path(self.settings.parameters.uri)
        source = getattr(self.settings, "_source", None)
        if not path.is_absolute() and source:
            path = Path(source).parent / path
        options = onnxruntime.SessionOptions()
        # The host, the pipeline and this server may share two cores.
        options.intra_op_num_threads = int(os.environ.get("ONNX_THREADS", "1"))
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0]
        self._outputs = [output.name for output in self._session.get_outputs()]
        said = self._session.get_modelmeta().custom_metadata_map.get("model.version", self.version)
        if said != self.version:
            raise ValueError(f"{path} is version {said}; model-settings.json says {self.version}")
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        if len(payload.inputs) != 1:
            raise InferenceError(f"{len(payload.inputs)} inputs; the model has one, [rows, {self._width}] of FP32")
        rows = NumpyCodec.decode_input(payload.inputs[0]).astype(numpy.float32, copy=False)
        if rows.ndim != 2 or (self._width and rows.shape[1] != self._width):
            raise InferenceError(f"the shape {list(rows.shape)} is not [rows, {self._width}]")
        # Not on the event loop: other requests are read meanwhile.
        outputs = await asyncio.to_thread(self._session.run, self._outputs, {self._input.name: rows})
        encoded = [NumpyCodec.encode_output(name, value) for name, value in zip(self._outputs, outputs)]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=encoded)

    @property
    def _width(self):
        """Features of a row, if the model says."""
        width = self._input.shape[-1]
        return width if isinstance(width, int) else None
