"""Uses kserve.InferenceGRPCClient as its users do and prints what came back: kserve_client.py HOST:PORT."""

import asyncio
import json
import logging
import sys
from typing import Any

import grpc
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as service

ADDRESS = sys.argv[1]
ROWS = np.linspace(0, 1, 20, dtype=np.float32).reshape(2, 10)


def request(model: str, values: Any, *, is_raw: bool) -> InferRequest:
    given = InferInput("float_input", list(values.shape), "FP32")
    given.set_data_from_numpy(values, binary_data=is_raw)
    return InferRequest(model, [given], request_id="kserve")


async def infer(client: InferenceGRPCClient, *, is_raw: bool) -> dict[str, Any]:
    answer = await client.infer(request("classifier", ROWS, is_raw=is_raw))
    values = {output.name: output.as_numpy().tolist() for output in answer.outputs}
    return {"id": answer.id, "model": answer.model_name, "version": answer.model_version, "values": values}


async def failure(client: InferenceGRPCClient, model: str, values: Any) -> list[str]:
    try:
        await client.infer(request(model, values, is_raw=True))
    except grpc.RpcError as error:
        return [error.code().name, dict(error.trailing_metadata()).get("millrace-code", "")]  # type: ignore[attr-defined]
    return ["OK", ""]


async def repository() -> dict[str, Any]:
    """Load and unload with the messages of KServe, whose fields have other numbers than Triton's."""
    async with grpc.aio.insecure_channel(ADDRESS) as channel:
        stub: Any = service.GRPCInferenceServiceStub(channel)
        gone: Any = await stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="moving"))
        back: Any = await stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="moving"))
        return {
            "unload": [gone.model_name, gone.isUnloaded],
            "load": [back.model_name, back.isLoaded],
        }


async def main() -> None:
    logging.disable()
    async with InferenceGRPCClient(ADDRESS) as client:
        report = {
            "live": await client.is_server_live(),
            "ready": await client.is_server_ready(),
            "modelReady": await client.is_model_ready("classifier"),
            "raw": await infer(client, is_raw=True),
            "typed": await infer(client, is_raw=False),
            "unknown": await failure(client, "none", ROWS),
            "shape": await failure(client, "classifier", ROWS[:, :9].copy()),
            "repository": await repository(),
        }
    print(json.dumps(report))


asyncio.run(main())
