"""What each call does, as steps that either client takes: a step is a request, and gets its answer."""

import time
from collections.abc import Generator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from .arrays import Array, ArrayLike, as_array, fit
from .errors import AuthError, RequestError, error_of
from .protocol import (
    Format,
    InferReply,
    ModelMetadata,
    ServerMetadata,
    infer_request,
    model_path,
    read_infer,
    read_model_metadata,
    read_server_metadata,
)
from .wire import Reply, Request

T = TypeVar("T")
#: Yields requests, is sent their answers, returns the result.
Flow = Generator[Request, Reply, T]

_FRESH_S = 60.0
_REMEMBERED_MAX = 1_000
_CHANGED = {"missing_input", "extra_input", "invalid_shape", "invalid_type"}


def checked(reply: Reply) -> Reply:
    """The answer, if it is a success. Raises what it tells of."""
    if reply.status >= 400:
        raise error_of(reply)
    return reply


def probe(path: str) -> Flow[bool]:
    """Whether a path answers with success."""
    reply = yield Request("GET", path, is_repeatable=False)
    return reply.status < 400


def server_metadata() -> Flow[ServerMetadata]:
    return read_server_metadata(checked((yield Request("GET", "/v2"))))


def model_metadata(model: str, version: str | None) -> Flow[ModelMetadata]:
    return read_model_metadata(checked((yield Request("GET", model_path(model, version)))))


def parameters_of(
    user_id: str | None, session_id: str | None, priority: int | None, queue_timeout: float | None
) -> dict[str, int | str]:
    """Parameters of the protocol; its `timeout` counts microseconds."""
    found: dict[str, int | str] = {}
    if user_id is not None:
        found["user_id"] = user_id
    if session_id is not None:
        found["session_id"] = session_id
    if priority is not None:
        found["priority"] = priority
    if queue_timeout is not None:
        found["timeout"] = max(1, round(queue_timeout * 1_000_000))
    return found


def infer(
    model: str,
    version: str | None,
    inputs: Mapping[str, Array],
    *,
    outputs: Sequence[str] | None,
    format: Format,
    request_id: str | None,
    parameters: Mapping[str, int | str],
) -> Flow[InferReply]:
    request = infer_request(
        model,
        version,
        inputs,
        outputs=outputs,
        format=format,
        request_id=request_id,
        parameters=parameters,
    )
    return read_infer(checked((yield request)))


class Models:
    """Remembers for a minute what models take."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, ModelMetadata]] = {}

    def _metadata(self, model: str, version: str | None) -> Flow[ModelMetadata | None]:
        key = model_path(model, version)
        held = self._known.get(key)
        if held is not None and time.monotonic() - held[0] < _FRESH_S:
            return held[1]
        try:
            found = yield from model_metadata(model, version)
        except AuthError as error:
            if error.code != "scope_missing":
                raise
            # a key that may only predict sends arrays as they are
            return None
        self._known[key] = (time.monotonic(), found)
        if len(self._known) > _REMEMBERED_MAX:
            self._known.pop(next(iter(self._known)), None)
        return found

    def _arrays(
        self, model: str, version: str | None, inputs: Mapping[str, ArrayLike]
    ) -> Flow[dict[str, Array]]:
        metadata = yield from self._metadata(model, version)
        if metadata is None:
            others = [name for name, value in inputs.items() if not isinstance(value, np.ndarray)]
            if others:
                text = f'The key lacks the scope models:read, so give "{others[0]}" as a whole array.'
                raise AuthError("scope_missing", text)
            return {name: as_array(name, value) for name, value in inputs.items()}
        specs = {one.name: one for one in metadata.inputs}
        arrays: dict[str, Array] = {}
        for name, value in inputs.items():
            spec = specs.get(name)
            if spec is None:
                known = ", ".join(specs)
                raise RequestError("extra_input", f'Model {model} has no input "{name}"; it takes {known}.')
            arrays[name] = fit(name, value, spec.datatype, spec.shape)
        return arrays

    def predict(
        self,
        model: str,
        inputs: Mapping[str, ArrayLike],
        *,
        version: str | None,
        outputs: Sequence[str] | None,
        format: Format,
        parameters: Mapping[str, int | str],
    ) -> Flow[dict[str, Array]]:
        key = model_path(model, version)
        was_known = key in self._known

        def once() -> Flow[dict[str, Array]]:
            arrays = yield from self._arrays(model, version, inputs)
            reply = yield from infer(
                model,
                version,
                arrays,
                outputs=outputs,
                format=format,
                request_id=None,
                parameters=parameters,
            )
            return reply.outputs

        try:
            return (yield from once())
        except RequestError as error:
            # another version may serve by now, which takes something else
            if not was_known or error.code not in _CHANGED:
                raise
            self._known.pop(key, None)
        return (yield from once())
