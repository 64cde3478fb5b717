"""LitServe with one endpoint a model; PORT, BATCH=1 joins requests. It reads bodies as JSON or form only."""

import os

import litserve
import numpy as np
from onnx_models import MODELS, answer, load

BATCHING = {"max_batch_size": 32, "batch_timeout": 0.001} if os.environ.get("BATCH") == "1" else {}


class OnnxApi(litserve.LitAPI):
    def __init__(self, name: str) -> None:
        super().__init__(api_path=f"/v2/models/{name}/infer", **BATCHING)
        self.name = name

    def setup(self, device: str) -> None:  # noqa: ARG002
        self.run = load(self.name)

    def decode_request(self, request: dict) -> np.ndarray:
        tensor = request["inputs"][0]
        return np.asarray(tensor["data"], dtype=np.float32).reshape(tensor["shape"])

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        self.rows = [len(rows) for rows in inputs]
        return np.concatenate(inputs)

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.run(x)

    def unbatch(self, output: np.ndarray) -> list[np.ndarray]:
        return np.split(output, np.cumsum(self.rows)[:-1])

    def encode_response(self, output: np.ndarray) -> dict:
        return answer(self.name, output)


if __name__ == "__main__":
    server = litserve.LitServer([OnnxApi(name) for name in MODELS], accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
    )
