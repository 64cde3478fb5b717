"""An onnxruntime model of MLServer; its name is one of the benchmark's models."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from onnx_models import MODELS, load


class OnnxModel(MLModel):
    async def load(self) -> bool:
        self.run = load(self.name)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        values = self.run(NumpyCodec.decode_input(payload.inputs[0]))
        output = NumpyCodec.encode_output(MODELS[self.name]["output"], values)
        return InferenceResponse(model_name=self.name, id=payload.id, outputs=[output])
