"""Asks what users of tritonclient.http ask: python triton_http.py HOST:PORT; prints what it got as JSON."""

import json
import sys
from typing import Any

import numpy as np
import tritonclient.http as http
from tritonclient.utils import InferenceServerException

ROW = np.linspace(0.1, 1.0, 10, dtype=np.float32)
TYPES: dict[str, np.ndarray] = {
    "BOOL": np.array([[True, False]]),
    "INT8": np.array([[-128, 127]], np.int8),
    "INT16": np.array([[-32768, 32767]], np.int16),
    "INT32": np.array([[-(2**31), 2**31 - 1]], np.int32),
    "INT64": np.array([[-(2**63), 2**53 + 1]], np.int64),
    "UINT8": np.array([[0, 255]], np.uint8),
    "UINT16": np.array([[0, 65535]], np.uint16),
    "UINT32": np.array([[0, 2**32 - 1]], np.uint32),
    "UINT64": np.array([[0, 2**64 - 1]], np.uint64),
    "FP16": np.array([[1.5, -2.0]], np.float16),
    "FP32": np.array([[0.1, -1.5e-9]], np.float32),
    "FP64": np.array([[0.1, 1e300]], np.float64),
    "BYTES": np.array([["", "grün"]], dtype=np.object_),
}
NAMES = {"FP16": "float16", "FP32": "float32", "FP64": "float64", "BYTES": "string"}


def error_of(ask: Any) -> str:
    """The message and status of the error that a call raises."""
    try:
        ask()
    except InferenceServerException as error:
        return f"{error.status()} {error.message()}"
    return "no error"


def tensor(name: str, values: np.ndarray, datatype: str, *, is_binary: bool = True) -> http.InferInput:
    """An input with its values."""
    given = http.InferInput(name, list(values.shape), datatype)
    given.set_data_from_numpy(values, binary_data=is_binary)
    return given


def echo(client: http.InferenceServerClient, *, is_binary: bool) -> dict[str, bool]:
    """Whether each type comes back as it was sent; half precision goes in binary always."""
    inputs, outputs = [], []
    for datatype, values in TYPES.items():
        name = NAMES.get(datatype, datatype.lower())
        as_binary = is_binary or datatype == "FP16"
        inputs.append(tensor(f"in_{name}", values, datatype, is_binary=as_binary))
        outputs.append(http.InferRequestedOutput(f"out_{name}", binary_data=as_binary))
    result = client.infer("echo", inputs, outputs=outputs)
    same = {}
    for datatype, values in TYPES.items():
        got = result.as_numpy(f"out_{NAMES.get(datatype, datatype.lower())}")
        expected = np.char.encode(values.astype(str), "utf-8") if datatype == "BYTES" else values
        got = got.astype(expected.dtype) if datatype == "BYTES" and is_binary else got
        if datatype == "BYTES" and not is_binary:
            expected = values.astype(got.dtype)
        same[datatype] = bool(got.shape == values.shape and np.array_equal(got, expected))
    return same


def classify(client: http.InferenceServerClient, **more: Any) -> list[float]:
    """Probabilities of one row."""
    inputs = [tensor("float_input", ROW[None, :], "FP32")]
    result = client.infer("classes", inputs, **more)
    return result.as_numpy("output_probability")[0].tolist()


def main(address: str) -> dict[str, Any]:
    """Everything, in the order that a user would."""
    client = http.InferenceServerClient(address)
    row = tensor("float_input", ROW[None, :], "FP32")
    seen: dict[str, Any] = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "server": client.get_server_metadata(),
        "modelReady": client.is_model_ready("classes"),
        "metadata": client.get_model_metadata("classes"),
        "config": client.get_model_config("classes", "1"),
        "binary": echo(client, is_binary=True),
        "json": echo(client, is_binary=False),
        "plain": classify(client),
        "gzip": classify(client, request_compression_algorithm="gzip", response_compression_algorithm="gzip"),
        "deflate": classify(
            client, request_compression_algorithm="deflate", response_compression_algorithm="deflate"
        ),
        "label": classify(client, model_version="v1", request_id="one", priority=1, timeout=5_000_000),
        "async": client.async_infer("classes", [row]).get_result().as_numpy("output_probability")[0].tolist(),
        "custom": classify(client, parameters={"tenant": "a", "weight": 0.5}),
    }
    asked = [http.InferRequestedOutput("output_probability", class_count=2)]
    seen["classes"] = [
        text.decode()
        for text in client.infer("classes", [row], outputs=asked).as_numpy("output_probability")[0]
    ]
    seen["id"] = client.infer("classes", [row], request_id="my id").get_response()["id"]
    seen["many"] = (
        client.infer(
            "classes",
            [tensor("float_input", np.tile(ROW, (100, 1)), "FP32")],
            response_compression_algorithm="gzip",
        )
        .as_numpy("output_probability")
        .shape
    )
    seen["sequence"] = error_of(lambda: client.infer("classes", [row], sequence_id=5, sequence_start=True))
    seen["unknown"] = error_of(lambda: client.infer("none", [row]))
    seen["wrongShape"] = error_of(
        lambda: client.infer("classes", [tensor("float_input", ROW[None, :9], "FP32")])
    )
    seen["wrongType"] = error_of(
        lambda: client.infer("classes", [tensor("float_input", ROW[None, :].astype(np.float64), "FP64")])
    )
    seen["statistics"] = client.get_inference_statistics("classes")["model_stats"][0]
    seen["all"] = [model["name"] for model in client.get_inference_statistics()["model_stats"]]
    client.unload_model("classes")
    seen["unloaded"] = [entry for entry in client.get_model_repository_index() if entry["name"] == "classes"]
    seen["notReady"] = client.is_model_ready("classes")
    seen["refused"] = error_of(lambda: client.infer("classes", [row]))
    client.load_model("classes")
    seen["again"] = classify(client)
    seen["missing"] = error_of(lambda: client.load_model("none"))
    client.close()
    return seen


if __name__ == "__main__":
    json.dump(main(sys.argv[1]), sys.stdout)
