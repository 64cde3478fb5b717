"""BentoML with one batchable endpoint a model."""

import bentoml
import numpy as np
from onnx_models import load

BATCHING = {"batchable": True, "max_batch_size": 32, "max_latency_ms": 10_000}


@bentoml.service(workers=1, traffic={"timeout": 60, "max_concurrency": 256})
class Models:
    def __init__(self) -> None:
        self.run = {name: load(name) for name in ("mlp", "cnn", "tiny", "tree")}

    def answer(self, name: str, inputs: np.ndarray) -> np.ndarray:
        return self.run[name](inputs.astype(np.float32, copy=False))

    @bentoml.api(route="/mlp", **BATCHING)
    def mlp(self, inputs: np.ndarray) -> np.ndarray:
        return self.answer("mlp", inputs)

    @bentoml.api(route="/cnn", **BATCHING)
    def cnn(self, inputs: np.ndarray) -> np.ndarray:
        return self.answer("cnn", inputs)

    @bentoml.api(route="/tiny", **BATCHING)
    def tiny(self, inputs: np.ndarray) -> np.ndarray:
        return self.answer("tiny", inputs)

    @bentoml.api(route="/tree", **BATCHING)
    def tree(self, inputs: np.ndarray) -> np.ndarray:
        return self.answer("tree", inputs)
