"""Values of features, now and as of the past, as steps that either client takes."""

import json
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Literal, TypedDict, TypeVar, cast
from urllib.parse import quote

from .flows import checked
from .wire import Reply, Request

#: Rows and entities that one request takes.
ROWS_MAX = 1_000

Json = dict[str, Any]
T = TypeVar("T")
Flow = Generator[Request, Reply, T]


class FeatureValues(TypedDict):
    """The values of an entity now; `reason` (`expired` or `missing`) says why all are None."""

    view: str
    entity: str
    eventTime: str | None
    createdTime: str | None
    reason: str | None
    values: Json


class FeaturesWritten(TypedDict):
    """Rows sent, rows that say something new of their event, entities whose newest row is another now."""

    rows: int
    added: int
    newest: int


def put_features(
    view: str, rows: Sequence[Mapping[str, Any]], created_times: Literal["now", "event"] = "now"
) -> Flow[FeaturesWritten]:
    """Writes rows `{"entity", "eventTime", "values"}`, a thousand at a time. Raises MillraceError."""
    total = FeaturesWritten(rows=0, added=0, newest=0)
    for start in range(0, len(rows), ROWS_MAX):
        part = [dict(row) for row in rows[start : start + ROWS_MAX]]
        body = {"rows": part, "createdTimes": created_times}
        written = yield from _ask("PUT", _path(view), body)
        total["rows"] += written["rows"]
        total["added"] += written["added"]
        total["newest"] += written["newest"]
    return total


def get_features(view: str, entities: Sequence[str | int]) -> Flow[list[FeatureValues]]:
    """The values of entities now, in their order. Raises MillraceError."""
    found: list[FeatureValues] = []
    for start in range(0, len(entities), ROWS_MAX):
        body = {"entities": list(entities[start : start + ROWS_MAX])}
        found += (yield from _ask("POST", f"{_path(view)}/lookup", body))["items"]
    return found


def training_rows(request: Mapping[str, Any]) -> Flow[list[Json]]:
    """Rows of a training set, each with its columns by name. Raises MillraceError."""
    reply = yield _request("POST", "/v1/features/training-sets/rows", {**request, "format": "ndjson"})
    return [json.loads(line) for line in checked(reply).body.splitlines()]


def training_set(request: Mapping[str, Any], into: str) -> Flow[Json]:
    """A training set as a version of the dataset `into` (id or name). Raises MillraceError."""
    return (yield from _ask("POST", "/v1/features/training-sets", {**request, "into": into}))


def _path(view: str) -> str:
    return f"/v1/features/{quote(view, safe='')}"


def _request(method: str, path: str, body: Json) -> Request:
    return Request(method, path, json.dumps(body).encode(), {"content-type": "application/json"})


def _ask(method: str, path: str, body: Json) -> Flow[Json]:
    reply = yield _request(method, path, body)
    return cast("Json", json.loads(checked(reply).body))
