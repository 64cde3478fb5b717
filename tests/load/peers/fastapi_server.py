"""What most people write by hand in Python: pydantic reads the JSON, onnxruntime runs each request alone."""

from typing import Annotated

import numpy as np
from fastapi import FastAPI, Path, Request, Response
from onnx_models import MODELS, answer, load
from pydantic import BaseModel

app = FastAPI()
models = {name: load(name) for name in MODELS}
Name = Annotated[str, Path(pattern=f"^({'|'.join(MODELS)})$")]


class Tensor(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class InferRequest(BaseModel):
    inputs: list[Tensor]


@app.post("/v2/models/{model}/infer")
def infer(model: Name, request: InferRequest) -> dict:
    tensor = request.inputs[0]
    return answer(model, models[model](np.asarray(tensor.data, dtype=np.float32).reshape(tensor.shape)))


@app.post("/octets/{model}")
async def infer_octets(model: Name, request: Request) -> Response:
    rows = np.frombuffer(await request.body(), dtype="<f4").reshape(-1, *MODELS[model]["row"])
    return Response(models[model](rows).tobytes(), media_type="application/octet-stream")
