"""The models of the serving benchmark in onnxruntime, with the same settings for every server."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

FOLDER = Path(os.environ["MODELS"])
WORKERS = int(os.environ.get("WORKERS", "1"))
MODELS = json.loads((FOLDER / "models.json").read_text())["models"]


def load(name: str) -> Callable[[np.ndarray], np.ndarray]:
    """float32 [N, row] in, float32 [N, width] out; two threads for the CNN where one process serves alone."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2 if name == "cnn" and WORKERS == 1 else 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(FOLDER / f"{name}.onnx"), options, providers=["CPUExecutionProvider"]
    )
    given, wanted = MODELS[name]["input"], MODELS[name]["output"]
    return lambda rows: session.run([wanted], {given: rows})[0]


def answer(name: str, values: np.ndarray) -> dict:
    """An answer of the Open Inference Protocol with one output."""
    output = {"name": MODELS[name]["output"], "datatype": "FP32", "shape": list(values.shape)}
    return {"model_name": name, "outputs": [{**output, "data": values.ravel().tolist()}]}
