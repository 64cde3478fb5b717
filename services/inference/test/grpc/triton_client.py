"""Uses tritonclient.grpc as its users do and prints what came back: python triton_client.py HOST:PORT."""

import json
import queue
import sys
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import tritonclient.grpc as triton
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

ADDRESS = sys.argv[1]
INT32_MAX = 2**31 - 1
CODE = "millrace-code"
ROWS = np.linspace(0, 1, 20, dtype=np.float32).reshape(2, 10)

client = triton.InferenceServerClient(ADDRESS)
channel = grpc.insecure_channel(
    ADDRESS,
    options=[("grpc.max_send_message_length", INT32_MAX), ("grpc.max_receive_message_length", INT32_MAX)],
)
stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)


def tensor(name: str, values: Any, datatype: str | None = None) -> Any:
    made = triton.InferInput(name, list(values.shape), datatype or np_to_triton_dtype(values.dtype))
    made.set_data_from_numpy(values)
    return made


def outputs_of(result: Any) -> dict[str, Any]:
    return {output.name: listed(result.as_numpy(output.name)) for output in result.get_response().outputs}


def listed(values: Any) -> Any:
    if values.dtype == np.object_:
        return [item.decode() for item in values.reshape(-1)]
    return values.astype(np.float64).tolist() if values.dtype == np.float16 else values.tolist()


def classifier(**more: Any) -> Any:
    return client.infer("classifier", [tensor("float_input", ROWS)], **more)


def failure(call: Callable[[], Any]) -> dict[str, Any]:
    """Status, text and stable code of a call that must fail."""
    try:
        return {"answer": str(call())}
    except InferenceServerException as error:
        return {"status": error.status(), "message": error.message()}
    except grpc.RpcError as error:
        trailers = dict(error.trailing_metadata() or ())  # type: ignore[attr-defined]
        status = f"StatusCode.{error.code().name}"  # type: ignore[attr-defined]
        return {"status": status, "message": error.details(), "code": trailers.get(CODE)}  # type: ignore[attr-defined]


def request(**fields: Any) -> Any:
    return service_pb2.ModelInferRequest(model_name="classifier", **fields)


def typed_request() -> Any:
    made = request(id="typed")
    given = made.inputs.add(name="float_input", datatype="FP32", shape=[2, 10])
    given.contents.fp32_contents.extend(ROWS.reshape(-1).tolist())
    return made


def about() -> dict[str, Any]:
    metadata = client.get_model_metadata("classifier", as_json=True)
    labelled = client.get_model_metadata("classifier", model_version="v1", as_json=True)
    config = client.get_model_config("classifier", as_json=True)["config"]
    server = client.get_server_metadata(as_json=True)
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "modelReady": client.is_model_ready("classifier", "1"),
        "server": server,
        "metadata": metadata,
        "labelled": labelled == metadata,
        "config": config,
    }


def raw_and_typed() -> dict[str, Any]:
    raw = classifier(request_id="raw")
    typed = stub.ModelInfer(typed_request())
    contents = {
        output.name: list(output.contents.int64_contents) or list(output.contents.fp32_contents)
        for output in typed.outputs
    }
    chosen = classifier(outputs=[triton.InferRequestedOutput("output_probability")])
    return {
        "head": [raw.get_response().id, raw.get_response().model_name, raw.get_response().model_version],
        "raw": outputs_of(raw),
        "typedId": typed.id,
        "typed": contents,
        "typedHasRaw": len(typed.raw_output_contents),
        "chosen": outputs_of(chosen),
        "gzip": outputs_of(classifier(compression_algorithm="gzip")) == outputs_of(raw),
        "deflate": outputs_of(classifier(compression_algorithm="deflate")) == outputs_of(raw),
        "classes": outputs_of(
            classifier(outputs=[triton.InferRequestedOutput("output_probability", class_count=2)])
        ),
    }


ECHO: dict[str, Any] = {
    "bool": np.array([[True, False], [False, True]]),
    "int8": np.array([[-128, 127], [-1, 0]], np.int8),
    "int16": np.array([[-(2**15), 2**15 - 1], [-1, 0]], np.int16),
    "int32": np.array([[-(2**31), 2**31 - 1], [-1, 0]], np.int32),
    "int64": np.array([[-(2**63), 2**63 - 1], [2**53 + 1, -1]], np.int64),
    "uint8": np.array([[0, 255], [1, 128]], np.uint8),
    "uint16": np.array([[0, 2**16 - 1], [1, 128]], np.uint16),
    "uint32": np.array([[0, 2**32 - 1], [1, 128]], np.uint32),
    "uint64": np.array([[0, 2**64 - 1], [2**53 + 1, 1]], np.uint64),
    "float16": np.array([[0.5, -65504], [6e-8, 1]], np.float16),
    "float32": np.array([[0.1, -3.4e38], [1e-45, 1]], np.float32),
    "float64": np.array([[0.1, -1.7e308], [5e-324, 1]], np.float64),
    "string": np.array([["", "text"], ["Ünïcode 你好", "x" * 300]], np.object_),
}
FIELDS = {
    "bool": "bool_contents",
    "int8": "int_contents",
    "int16": "int_contents",
    "int32": "int_contents",
    "int64": "int64_contents",
    "uint8": "uint_contents",
    "uint16": "uint_contents",
    "uint32": "uint_contents",
    "uint64": "uint64_contents",
    "float32": "fp32_contents",
    "float64": "fp64_contents",
    "string": "bytes_contents",
}


def datatype_of(name: str) -> str:
    return "BYTES" if name == "string" else np_to_triton_dtype(ECHO[name].dtype)


def echo_raw() -> list[str]:
    """Types that came back other than they went."""
    inputs = [tensor(f"in_{name}", values, datatype_of(name)) for name, values in ECHO.items()]
    result = client.infer("echo", inputs)
    wrong: list[str] = []
    for name, values in ECHO.items():
        back = result.as_numpy(f"out_{name}")
        if name == "string":
            same = listed(back) == values.reshape(-1).tolist()
        else:
            same = back.dtype == values.dtype and back.tobytes() == values.tobytes()
        if not same:
            wrong.append(name)
    return wrong


def echo_typed() -> list[str]:
    """The same with typed contents, in a model that has no half precision input."""
    made = service_pb2.ModelInferRequest(model_name="echo_typed")
    for name, field in FIELDS.items():
        values = ECHO[name]
        given = made.inputs.add(name=f"in_{name}", datatype=datatype_of(name), shape=values.shape)
        flat = values.reshape(-1).tolist()
        getattr(given.contents, field).extend([item.encode() for item in flat] if name == "string" else flat)
    answer = stub.ModelInfer(made)
    wrong: list[str] = []
    for sent, back in zip(made.inputs, answer.outputs, strict=True):
        if sent.contents != back.contents or list(sent.shape) != list(back.shape):
            wrong.append(sent.name)
    return wrong


def bad_requests() -> dict[str, Any]:
    shape = np.zeros((1, 9), np.float32)
    both = typed_request()
    both.raw_input_contents.append(ROWS.tobytes())
    short = typed_request()
    del short.inputs[0].contents.fp32_contents[1:]
    wrong_field = typed_request()
    wrong_field.inputs[0].contents.int_contents.append(1)
    no_values = typed_request()
    no_values.inputs[0].ClearField("contents")
    raw_short = typed_request()
    raw_short.inputs[0].ClearField("contents")
    raw_short.raw_input_contents.append(ROWS.tobytes()[:-1])
    huge = typed_request()
    huge.inputs[0].shape[:] = [2**40, 2**40]
    negative = typed_request()
    negative.inputs[0].shape[:] = [-1, 10]
    nan = typed_request()
    nan.inputs[0].contents.fp32_contents[3] = float("nan")
    shared = typed_request()
    shared.inputs[0].parameters["shared_memory_region"].string_param = "region"
    sequence = typed_request()
    sequence.parameters["sequence_id"].int64_param = 7
    timeout = typed_request()
    timeout.parameters["timeout"].string_param = "soon"
    unknown_output = typed_request()
    unknown_output.outputs.add(name="none")
    label = service_pb2.ModelInferRequest(model_name="classifier", model_version="none")
    broken: Any = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    return {
        "wrong shape": failure(lambda: client.infer("classifier", [tensor("float_input", shape)])),
        "wrong type": failure(
            lambda: client.infer("classifier", [tensor("float_input", shape.astype(np.float64))])
        ),
        "wrong name": failure(lambda: client.infer("classifier", [tensor("other", ROWS)])),
        "no inputs": failure(lambda: stub.ModelInfer(request())),
        "no model": failure(lambda: stub.ModelInfer(service_pb2.ModelInferRequest())),
        "unknown model": failure(lambda: stub.ModelInfer(service_pb2.ModelInferRequest(model_name="none"))),
        "unknown version": failure(lambda: stub.ModelInfer(label)),
        "raw and typed": failure(lambda: stub.ModelInfer(both)),
        "too few values": failure(lambda: stub.ModelInfer(short)),
        "wrong field": failure(lambda: stub.ModelInfer(wrong_field)),
        "no values": failure(lambda: stub.ModelInfer(no_values)),
        "too few bytes": failure(lambda: stub.ModelInfer(raw_short)),
        "shape beyond 2^53": failure(lambda: stub.ModelInfer(huge)),
        "negative shape": failure(lambda: stub.ModelInfer(negative)),
        "NaN": failure(lambda: stub.ModelInfer(nan)),
        "shared memory": failure(lambda: stub.ModelInfer(shared)),
        "sequence": failure(lambda: stub.ModelInfer(sequence)),
        "wrong parameter": failure(lambda: stub.ModelInfer(timeout)),
        "unknown output": failure(lambda: stub.ModelInfer(unknown_output)),
        "not protobuf": failure(lambda: broken(b"\x0a\xff\xff\xff\xff\x0f")),
        "a group": failure(lambda: broken(b"\x0b")),
        "unknown method": failure(lambda: client.get_trace_settings()),
        "shared memory status": failure(lambda: client.get_system_shared_memory_status()),
    }


def large() -> dict[str, Any]:
    """33 images are 19.9 MB; 60 are over the bound of a message."""
    image = np.random.default_rng(1).random((1, 224, 224, 3), dtype=np.float32)
    one = client.infer("cnn", [tensor("input", image)]).as_numpy("output_0")
    many = client.infer("cnn", [tensor("input", np.repeat(image, 33, axis=0))]).as_numpy("output_0")
    over = np.repeat(image, 60, axis=0)
    answer = client.infer("classifier", [tensor("float_input", np.repeat(ROWS, 50, axis=0))])
    made = service_pb2.ModelInferRequest(model_name="cnn", raw_input_contents=[over.tobytes()])
    made.inputs.add(name="input", datatype="FP32", shape=over.shape)
    return {
        "shape": list(many.shape),
        "same": bool(np.allclose(many, one[0], atol=1e-6)),
        "rows": list(answer.as_numpy("output_label").shape),
        "over": failure(lambda: stub.ModelInfer(made)),
    }


def stream() -> dict[str, Any]:
    """100 requests over one stream, of which number 50 has the wrong shape."""
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    for number in range(100):
        values = ROWS[:, :9] if number == 50 else ROWS + number
        client.async_stream_infer(
            "classifier", [tensor("float_input", np.ascontiguousarray(values))], request_id=str(number)
        )
    ids: list[int] = []
    failed: list[str] = []
    wrong: list[int] = []
    for _ in range(100):
        result, error = answers.get(timeout=30)
        if error is not None:
            failed.append(error.message())
            continue
        number = int(result.get_response().id)
        ids.append(number)
        alone = client.infer("classifier", [tensor("float_input", ROWS + number)])
        if outputs_of(alone) != outputs_of(result):
            wrong.append(number)
    client.stop_stream()
    return {"ids": sorted(ids), "failed": failed, "wrong": wrong}


def repository() -> dict[str, Any]:
    def state() -> dict[str, str]:
        index = client.get_model_repository_index().models
        return {f"{model.name}:{model.version}": model.state for model in index if model.name == "moving"}

    version = service_pb2.ModelRepositoryParameter(string_param="v2")
    named = service_pb2.RepositoryModelUnloadRequest(model_name="moving", parameters={"version": version})
    client.load_model("moving")
    loaded = state()
    stub.RepositoryModelLoad(
        service_pb2.RepositoryModelLoadRequest(model_name="moving", parameters={"version": version})
    )
    both = state()
    stub.RepositoryModelUnload(named)
    without = state()
    client.unload_model("moving")
    unloaded = state()
    refused = failure(lambda: client.infer("moving", [tensor("float_input", ROWS)]))
    client.load_model("moving")
    answered = client.infer("moving", [tensor("float_input", ROWS)]).get_response().model_version
    files = failure(lambda: client.load_model("moving", config="{}"))
    return {
        "loaded": loaded,
        "both": both,
        "without": without,
        "unloaded": unloaded,
        "refused": refused,
        "answered": answered,
        "files": files,
        "unknown": failure(lambda: client.load_model("none")),
    }


def statistics() -> dict[str, Any]:
    def read() -> Any:
        return client.get_inference_statistics("counted").model_stats[0]

    client.infer("counted", [tensor("float_input", ROWS)])
    before = read()
    for _ in range(3):
        client.infer("counted", [tensor("float_input", ROWS)])
    failure(lambda: client.infer("counted", [tensor("float_input", ROWS * np.nan)]))
    after = read()
    return {
        "rows": after.inference_count - before.inference_count,
        "runs": after.execution_count - before.execution_count,
        "success": after.inference_stats.success.count - before.inference_stats.success.count,
        "computeNs": after.inference_stats.compute_infer.ns - before.inference_stats.compute_infer.ns,
        "batchSizes": [batch.batch_size for batch in after.batch_stats],
        "memory": after.memory_usage[0].byte_size > 0,
        "all": len(client.get_inference_statistics().model_stats) > 1,
        "unknown": failure(lambda: client.get_inference_statistics("none")),
    }


def foreign_host() -> dict[str, Any]:
    """Without a key, a request must say that it means this machine."""
    with grpc.insecure_channel(ADDRESS, options=[("grpc.default_authority", "example.com")]) as other:
        other_stub = service_pb2_grpc.GRPCInferenceServiceStub(other)
        return {
            "live": other_stub.ServerLive(service_pb2.ServerLiveRequest()).live,
            "infer": failure(lambda: other_stub.ModelInfer(typed_request())),
        }


def descriptors() -> dict[str, Any]:
    """Messages and methods as the client has them: number, name, type and label of each field."""
    messages: dict[str, Any] = {}

    def add(message: Any) -> None:
        messages[message.full_name] = [
            [field.number, field.name, field.type, field.is_repeated] for field in message.fields
        ]
        for nested in message.nested_types:
            add(nested)

    for file in (service_pb2.DESCRIPTOR, model_config_pb2.DESCRIPTOR):
        for message in file.message_types_by_name.values():
            add(message)
    service = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    methods = {
        method.name: [method.input_type.name, method.output_type.name, method.client_streaming]
        for method in service.methods
    }
    return {"messages": messages, "methods": methods}


SCENARIOS: list[Callable[[], Any]] = [
    about,
    raw_and_typed,
    echo_raw,
    echo_typed,
    bad_requests,
    large,
    stream,
    repository,
    statistics,
    foreign_host,
    descriptors,
]

if __name__ == "__main__":
    print(json.dumps({scenario.__name__: scenario() for scenario in SCENARIOS}))
