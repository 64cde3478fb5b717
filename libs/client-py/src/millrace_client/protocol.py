"""The Open Inference Protocol: requests and answers as bytes, without sending them."""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import quote

import numpy as np

from .arrays import DTYPES, Array, datatype_of
from .errors import MillraceError, RequestError, ServerError, UnavailableError
from .wire import Reply, Request

#: How tensors travel: as their bytes, or as JSON.
Format = Literal["binary", "json"]

_JSON_BYTES = "inference-header-content-length"
_ALIGNMENT = 8
_EXACT_MAX = 2**53


@dataclass(frozen=True)
class InferReply:
    """What a model answered, and the version that did; `outputs` by name."""

    model: str
    version: str
    outputs: dict[str, Array]
    id: str | None = None


@dataclass(frozen=True)
class TensorMetadata:
    """An input or output; a size of -1 may be any."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ModelMetadata:
    """What a version takes and gives; `versions` are those that are ready."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]


@dataclass(frozen=True)
class ServerMetadata:
    """The server and the extensions of the protocol that it has."""

    name: str
    version: str
    extensions: tuple[str, ...]


def model_path(model: str, version: str | None) -> str:
    """Path of a model or of one of its versions."""
    path = f"/v2/models/{quote(model, safe='')}"
    return path if version is None else f"{path}/versions/{quote(version, safe='')}"


def infer_request(
    model: str,
    version: str | None,
    inputs: Mapping[str, Array],
    *,
    outputs: Sequence[str] | None,
    format: Format,
    request_id: str | None,
    parameters: Mapping[str, int | str],
) -> Request:
    """Writes a request. Raises RequestError `invalid_type` for arrays that have no form in the protocol."""
    tensors: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for name, array in inputs.items():
        tensor = {"name": name, "datatype": datatype_of(name, array), "shape": list(array.shape)}
        if format == "json":
            tensors.append({**tensor, "data": _json_values(name, array)})
        else:
            part = _to_bytes(name, array)
            parts.append(part)
            tensors.append({**tensor, "parameters": {"binary_data_size": len(part)}})
    head: dict[str, Any] = {"inputs": tensors, "parameters": dict(parameters)}
    if request_id is not None:
        head["id"] = request_id
    if outputs is not None:
        head["outputs"] = [{"name": name} for name in outputs]
    path = f"{model_path(model, version)}/infer"
    if format == "json":
        body = json.dumps(head).encode()
        return Request("POST", path, body, {"content-type": "application/json"})
    head["parameters"]["binary_data_output"] = True
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    headers = {"content-type": "application/octet-stream", _JSON_BYTES: str(len(text))}
    return Request("POST", path, b"".join([text, *parts]), headers)


def read_infer(reply: Reply) -> InferReply:
    """Reads an answer. Raises ServerError `internal` for one that is not of the protocol."""
    try:
        json_bytes = int(reply.headers.get(_JSON_BYTES, len(reply.body)))
        head = cast("dict[str, Any]", json.loads(reply.body[:json_bytes]))
        outputs: dict[str, Array] = {}
        at = json_bytes
        for tensor in cast("list[dict[str, Any]]", head["outputs"]):
            size: int | None = tensor.get("parameters", {}).get("binary_data_size")
            shape = tuple(cast("list[int]", tensor["shape"]))
            if size is None:
                outputs[tensor["name"]] = _from_json(tensor["datatype"], shape, tensor["data"])
            else:
                outputs[tensor["name"]] = _from_bytes(tensor["datatype"], shape, reply.body[at : at + size])
                at += size
        return InferReply(head["model_name"], head["model_version"], outputs, head.get("id"))
    except (KeyError, TypeError, ValueError, struct.error) as error:
        raise ServerError("internal", "The answer is not one of the inference protocol.") from error


def read_model_metadata(reply: Reply) -> ModelMetadata:
    """Reads what a model says of itself."""
    found = cast("dict[str, Any]", json.loads(reply.body))

    def tensors(key: str) -> tuple[TensorMetadata, ...]:
        return tuple(
            TensorMetadata(one["name"], one["datatype"], tuple(cast("list[int]", one["shape"])))
            for one in cast("list[dict[str, Any]]", found[key])
        )

    return ModelMetadata(
        found["name"],
        tuple(cast("list[str]", found["versions"])),
        found["platform"],
        tensors("inputs"),
        tensors("outputs"),
    )


def read_server_metadata(reply: Reply) -> ServerMetadata:
    """Reads what a server says of itself."""
    found = cast("dict[str, Any]", json.loads(reply.body))
    return ServerMetadata(found["name"], found["version"], tuple(cast("list[str]", found["extensions"])))


def _to_bytes(name: str, array: Array) -> bytes:
    if array.dtype.kind not in "UO":
        return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
    parts: list[bytes] = []
    for text in _texts(name, array):
        encoded = text.encode()
        parts += [struct.pack("<I", len(encoded)), encoded]
    return b"".join(parts)


def _texts(name: str, array: Array) -> list[str]:
    texts = cast("list[object]", array.ravel().tolist())
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise RequestError("invalid_type", f'Input "{name}" takes texts; value {index} is none.')
    return cast("list[str]", texts)


def _json_values(name: str, array: Array) -> list[Any]:
    if array.dtype.kind in "UO":
        return _texts(name, array)
    if array.dtype == np.float16:
        raise RequestError(
            "invalid_type", f'Input "{name}" is FP16, which has no JSON form; send it as binary.'
        )
    if array.dtype.kind == "f" and not bool(np.isfinite(array).all()):
        raise RequestError("not_finite", f'Input "{name}" has NaN or infinity, which JSON lacks.')
    values = array.ravel().tolist()
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8:
        # beyond 2^53 a number of JSON is not exact everywhere
        return [value if abs(value) < _EXACT_MAX else str(value) for value in values]
    return values


def _from_json(datatype: str, shape: tuple[int, ...], data: Any) -> Array:
    if datatype == "BYTES":
        return np.array(_flat(data), dtype=object).reshape(shape)
    dtype = DTYPES[datatype]
    values = [int(value) for value in _flat(data)] if dtype.kind in "iu" else _flat(data)
    return np.array(values, dtype=dtype).reshape(shape)


def _flat(data: Any) -> list[Any]:
    if not isinstance(data, list):
        return [data]
    return [leaf for item in cast("list[Any]", data) for leaf in _flat(item)]


def _from_bytes(datatype: str, shape: tuple[int, ...], data: bytes) -> Array:
    if datatype != "BYTES":
        # a copy, so that the array may be written to
        return np.frombuffer(data, dtype=DTYPES[datatype]).reshape(shape).copy()
    texts: list[str] = []
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        texts.append(data[at + 4 : at + 4 + length].decode())
        at += 4 + length
    return np.array(texts, dtype=object).reshape(shape)


def no_answer(origin: str, error: Exception, *, is_late: bool) -> MillraceError:
    """The error for a request that nobody answered."""
    if is_late:
        text = f"{origin} did not answer in time; look at its log or try again."
    else:
        text = f"No platform answers at {origin} ({type(error).__name__}); start it, or use another address."
    return UnavailableError("dependency_unavailable", text)
