"""KServe's Python server with an onnxruntime model each; PORT."""

import logging
import os
from uuid import uuid4

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from onnx_models import MODELS, load


class OnnxModel(Model):
    def load(self) -> bool:
        self.run = load(self.name)
        self.ready = True
        return True

    async def predict(self, payload: InferRequest, headers: dict | None = None) -> InferResponse:  # noqa: ARG002
        values = self.run(payload.inputs[0].as_numpy())
        output = InferOutput(name=MODELS[self.name]["output"], shape=list(values.shape), datatype="FP32")
        output.set_data_from_numpy(values, binary_data=payload.use_binary_outputs)
        return InferResponse(
            response_id=payload.id or str(uuid4()), model_name=self.name, infer_outputs=[output]
        )


if __name__ == "__main__":
    models = [OnnxModel(name) for name in MODELS]
    for model in models:
        model.load()
    server = ModelServer(
        http_port=int(os.environ["PORT"]), workers=1, enable_grpc=False, enable_latency_logging=False
    )
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
    server.start(models)
