"""Ray Serve with one replica that holds every model and joins requests; PORT."""

import os
import time

import numpy as np
import ray
from onnx_models import MODELS, answer, load
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

BATCHING = {"max_batch_size": 32, "batch_wait_timeout_s": 0.002}
MINUTE = 60


@serve.deployment(num_replicas=1, max_ongoing_requests=256, ray_actor_options={"num_cpus": 0.5})
class Models:
    def __init__(self) -> None:
        self.run = {name: load(name) for name in MODELS}

    def answer(self, name: str, inputs: list[np.ndarray]) -> list[np.ndarray]:
        values = self.run[name](np.concatenate(inputs))
        return np.split(values, np.cumsum([len(rows) for rows in inputs])[:-1])

    @serve.batch(**BATCHING)
    async def mlp(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        return self.answer("mlp", inputs)

    @serve.batch(**BATCHING)
    async def cnn(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        return self.answer("cnn", inputs)

    @serve.batch(**BATCHING)
    async def tiny(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        return self.answer("tiny", inputs)

    @serve.batch(**BATCHING)
    async def tree(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        return self.answer("tree", inputs)

    async def __call__(self, request: Request) -> Response:
        kind, name = request.url.path.strip("/").split("/")[:2]
        if kind == "octets":
            rows = np.frombuffer(await request.body(), dtype="<f4").reshape(-1, *MODELS[name]["row"])
            values = await getattr(self, name)(rows)
            return Response(values.tobytes(), media_type="application/octet-stream")
        name = request.url.path.split("/")[3]
        tensor = (await request.json())["inputs"][0]
        rows = np.asarray(tensor["data"], dtype=np.float32).reshape(tensor["shape"])
        return JSONResponse(answer(name, await getattr(self, name)(rows)))


if __name__ == "__main__":
    passed = {key: os.environ[key] for key in ("MODELS", "PYTHONPATH")}
    ray.init(num_cpus=2, include_dashboard=False, logging_level="error", runtime_env={"env_vars": passed})
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
    serve.run(Models.bind(), route_prefix="/")
    while True:
        time.sleep(MINUTE)
