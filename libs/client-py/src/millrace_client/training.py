"""Trainings from start to served version, and the versions they made, as steps that either client takes."""

import json
import re
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from urllib.parse import quote

from .errors import MillraceError, RequestError, ServerError, UnavailableError
from .flows import checked
from .protocol import model_path
from .wire import Reply, Request

#: Seconds between two looks at something that is not over yet.
POLL_S = 0.5
#: Seconds that a version which is not in memory yet may take to load.
LOAD_TIMEOUT_S = 120.0
PAGE_ITEMS = 200

Json = dict[str, Any]


@dataclass(frozen=True)
class Pause:
    """A step that waits."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """What to train, on which data, and what to call it.

    Data are a version that is there (`dataset_version_id`), a path that becomes one first (`data_path`: `s3://`,
    `gs://`, `az://`, `http://`, `https://`, read as `ingest` says), or what the recipe generates from
    `dataset_params`. `conversion` holds `opset`, `tolerance` and `quantization` as pipelines take them.
    """

    model_name: str
    recipe: str
    version: str | None = None
    params: Mapping[str, Any] | None = None
    pool: str | None = None
    dataset_params: Mapping[str, Any] | None = None
    dataset_version_id: str | None = None
    data_path: str | None = None
    ingest: Mapping[str, Any] | None = None
    conversion: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class TrainingRun:
    """A finished training: its pipeline, the job with metrics and files, and the version."""

    pipeline: Json
    job: Json
    version: Json


T = TypeVar("T")
#: Yields requests and pauses, is sent the answers (None after a pause), returns the result.
Steps = Generator[Request | Pause, Reply | None, T]


def run_training_job(config: TrainingConfig) -> Steps[TrainingRun]:
    """Ingests if need be, trains, converts, registers and loads. Raises the error of what failed."""
    named = (config.data_path, config.dataset_version_id, config.dataset_params)
    if sum(one is not None for one in named) > 1:
        text = "Data are named by one of data_path, dataset_version_id and dataset_params."
        raise RequestError("invalid_request", text)
    version_id = config.dataset_version_id
    if config.data_path is not None:
        version_id = yield from _ingest(config.data_path, config.ingest)
    model: Json = {"name": config.model_name}
    if config.version is not None:
        model["version"] = config.version
    body: Json = {"recipe": config.recipe, "model": model}
    if config.params is not None:
        body["params"] = dict(config.params)
    if config.pool is not None:
        body["pool"] = config.pool
    if config.conversion is not None:
        body["conversion"] = dict(config.conversion)
    if version_id is not None:
        body["dataset"] = {"versionId": version_id}
    elif config.dataset_params is not None:
        body["dataset"] = {"params": dict(config.dataset_params)}
    pipeline = yield from _call("POST", "/v1/pipelines", body)
    while pipeline["state"] == "running":
        yield Pause(POLL_S)
        pipeline = yield from _call("GET", f"/v1/pipelines/{pipeline['id']}")
    if pipeline["state"] != "succeeded":
        raise _failure(pipeline["error"], "job_cancelled")
    job = yield from _call("GET", f"/v1/training/jobs/{pipeline['trainingJobId']}")
    made = str(cast("Json", pipeline["modelVersion"])["version"])
    return TrainingRun(pipeline, job, (yield from model_version(config.model_name, made)))


def list_model_versions(model: str) -> Steps[list[Json]]:
    """Every version of a model, newest first."""
    found: list[Json] = []
    cursor: str | None = ""
    while cursor is not None:
        more = f"&cursor={quote(cursor, safe='')}" if cursor else ""
        page = yield from _call("GET", f"{_versions_path(model)}?limit={PAGE_ITEMS}{more}")
        found += cast("list[Json]", page["items"])
        cursor = cast("str | None", page["nextCursor"])
    return found


def load_model_version(model: str, version: str) -> Steps[Json]:
    """A version's details, once inference has it in memory. Raises UnavailableError `model_not_ready`."""
    detail = yield from model_version(model, version)
    deadline = time.monotonic() + LOAD_TIMEOUT_S
    while True:
        reply = yield Request("GET", f"{model_path(model, version)}/ready", is_repeatable=False)
        if reply is not None and reply.status < 400:
            return detail
        if time.monotonic() > deadline:
            raise UnavailableError("model_not_ready", f"{model} {version} was not loaded in time.")
        yield Pause(POLL_S)


def model_version(model: str, version: str) -> Steps[Json]:
    """What the registry knows of a version."""
    return (yield from _call("GET", f"{_versions_path(model)}/{quote(version, safe='')}"))


def _versions_path(model: str) -> str:
    return f"/v1/models/{quote(model, safe='')}/versions"


def _ingest(path: str, options: Mapping[str, Any] | None) -> Steps[str]:
    """The dataset version that a path becomes; the dataset is called after the path."""
    name = re.sub(r"[/\\:]+", "-", path)[:255]
    dataset = yield from _call("POST", "/v1/datasets", {"name": name})
    is_web = path.startswith(("http://", "https://"))
    body: Json = {"source": {"type": "http", "url": path} if is_web else {"type": "bucket", "uri": path}}
    if options is not None:
        body["options"] = dict(options)
    home = f"/v1/datasets/{dataset['id']}"
    version = yield from _call("POST", f"{home}/ingest", body)
    while version["state"] == "pending":
        yield Pause(POLL_S)
        version = yield from _call("GET", f"{home}/versions/{version['id']}")
    if version["state"] == "failed":
        raise _failure(version["error"], "internal")
    return str(version["id"])


def _failure(error: Json | None, code: str) -> MillraceError:
    """What a job or a version says of its end."""
    told = error or {"code": code, "message": "It was cancelled."}
    return ServerError(str(told["code"]), str(told["message"]))


def _call(method: str, path: str, body: Json | None = None) -> Steps[Json]:
    headers = {} if body is None else {"content-type": "application/json"}
    content = b"" if body is None else json.dumps(body).encode()
    reply = yield Request(method, path, content, headers, is_repeatable=method == "GET")
    assert reply is not None
    return cast("Json", json.loads(checked(reply).body))
