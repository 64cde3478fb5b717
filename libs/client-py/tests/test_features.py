"""Features as steps: what is sent, in which pieces, and what comes back."""

import json
from typing import Any

import pytest
from millrace_client.errors import RequestError
from millrace_client.features import get_features, put_features, training_rows, training_set
from millrace_client.wire import Reply, Request


def follow(steps: Any, answers: list[tuple[str, str, int, bytes]]) -> tuple[Any, list[Any]]:
    """Answers each request in turn, whose method and path must be as told; gives result and bodies sent."""
    bodies: list[Any] = []
    reply: Reply | None = None
    while True:
        try:
            step = steps.send(reply)
        except StopIteration as end:
            assert answers == []
            return end.value, bodies
        assert isinstance(step, Request)
        method, path, status, body = answers.pop(0)
        assert (step.method, step.path) == (method, path)
        bodies.append(json.loads(step.body))
        reply = Reply(status, {"content-type": "application/json"}, body)


def test_rows_go_a_thousand_at_a_time_and_are_counted_together() -> None:
    rows = [{"entity": i, "eventTime": "2026-11-22T06:00:00Z", "values": {"a": i}} for i in range(1_001)]
    total, bodies = follow(
        put_features("a-view", rows, "event"),
        [
            ("PUT", "/v1/features/a-view", 200, b'{"rows":1000,"added":999,"newest":5}'),
            ("PUT", "/v1/features/a-view", 200, b'{"rows":1,"added":1,"newest":1}'),
        ],
    )
    assert total == {"rows": 1_001, "added": 1_000, "newest": 6}
    assert [len(body["rows"]) for body in bodies] == [1_000, 1]
    assert bodies[1] == {"rows": [rows[-1]], "createdTimes": "event"}


def test_values_of_many_entities_come_in_their_order() -> None:
    found, bodies = follow(
        get_features("v", ["a"] * 1_000 + ["b"]),
        [
            ("POST", "/v1/features/v/lookup", 200, b'{"items":[{"entity":"a"}]}'),
            ("POST", "/v1/features/v/lookup", 200, b'{"items":[{"entity":"b"}]}'),
        ],
    )
    assert [one["entity"] for one in found] == ["a", "b"]
    assert bodies[1] == {"entities": ["b"]}


def test_a_training_set_comes_as_rows_or_as_a_version() -> None:
    request = {"views": [{"view": "v"}], "rows": [{"time": "2026-11-22T06:00:00Z", "keys": {"c": "a"}}]}
    rows, bodies = follow(
        training_rows(request),
        [("POST", "/v1/features/training-sets/rows", 200, b'{"c":"a","v.x":1}\n{"c":"b","v.x":null}\n')],
    )
    assert rows == [{"c": "a", "v.x": 1}, {"c": "b", "v.x": None}]
    assert bodies == [{**request, "format": "ndjson"}]
    version, _ = follow(
        training_set(request, "labels"), [("POST", "/v1/features/training-sets", 201, b'{"id":"v1"}')]
    )
    assert version == {"id": "v1"}


def test_a_refusal_is_raised() -> None:
    with pytest.raises(RequestError) as refused:
        follow(
            get_features("v", ["a"]),
            [("POST", "/v1/features/v/lookup", 422, b'{"code":"invalid_feature_row","detail":"no"}')],
        )
    assert refused.value.code == "invalid_feature_row"
