"""Asks what users of kserve's REST client ask: python kserve_rest.py ORIGIN; prints what it got as JSON."""

import asyncio
import json
import sys
from typing import Any

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, InferResponse, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

ROW = np.linspace(0.1, 1.0, 10, dtype=np.float32)


def request(
    values: np.ndarray, datatype: str, *, is_binary: bool, model: str = "classes", **more: Any
) -> InferRequest:
    """A request of one input."""
    name = "float_input" if model == "classes" else "x"
    given = InferInput(name, list(values.shape), datatype)
    given.set_data_from_numpy(values, binary_data=is_binary)
    return InferRequest(model_name=model, infer_inputs=[given], **more)


def values_of(answer: InferResponse, name: str) -> list[Any]:
    """The values of one output."""
    return next(output for output in answer.outputs if output.name == name).as_numpy().tolist()


async def main(origin: str) -> dict[str, Any]:
    """Everything, in the order that a user would."""
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0, timeout=30))
    seen: dict[str, Any] = {
        "live": await client.is_server_live(origin),
        "ready": await client.is_server_ready(origin),
        "modelReady": await client.is_model_ready(origin, "classes"),
        "notThere": await client.is_model_ready(origin, "none"),
    }
    row = ROW[None, :]
    for key, is_binary in (("json", False), ("binary", True)):
        answer = await client.infer(
            origin, request(row, "FP32", is_binary=is_binary, request_id=key), model_name="classes"
        )
        seen[key] = {
            "id": answer.id,
            "model": answer.model_name,
            "version": answer.model_version,
            "label": values_of(answer, "output_label"),
            "probability": values_of(answer, "output_probability"),
        }
    asked = [
        RequestedOutput("output_probability", parameters={"binary_data": True}),
        RequestedOutput("output_label"),
    ]
    mixed = await client.infer(
        origin, request(row, "FP32", is_binary=True, request_outputs=asked), model_name="classes"
    )
    seen["mixed"] = [output.name for output in mixed.outputs] + values_of(mixed, "output_probability")
    everything = request(row, "FP32", is_binary=True, parameters={"binary_data_output": True})
    answer = await client.infer(origin, everything, model_name="classes")
    seen["allBinary"] = values_of(answer, "output_probability")
    halves = request(
        np.array([1.5, -2.0], np.float16),
        "FP16",
        is_binary=True,
        model="halves",
        parameters={"binary_data_output": True},
    )
    seen["halves"] = values_of(await client.infer(origin, halves, model_name="halves"), "y")
    texts = request(np.array([b"one", "grün".encode()], np.object_), "BYTES", is_binary=True, model="texts")
    seen["texts"] = values_of(await client.infer(origin, texts, model_name="texts"), "y")
    try:
        await client.infer(origin, request(row[:, :9], "FP32", is_binary=False), model_name="classes")
    except Exception as error:
        seen["wrongShape"] = f"{type(error).__name__}: {error}"
    await client.close()
    return seen


if __name__ == "__main__":
    json.dump(asyncio.run(main(sys.argv[1])), sys.stdout)
