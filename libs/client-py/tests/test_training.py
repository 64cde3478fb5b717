"""Trainings as steps: what is asked of the platform, in which order, and what its answers lead to."""

import json
from typing import Any

import pytest
from millrace_client.errors import MillraceError, RequestError, ServerError
from millrace_client.training import (
    Pause,
    TrainingConfig,
    list_model_versions,
    load_model_version,
    run_training_job,
)
from millrace_client.wire import Reply, Request

VERSION = {"version": "v1", "stage": "development"}
READY = {"id": "p1", "state": "succeeded", "trainingJobId": "j1", "modelVersion": {"version": "v1"}}


def follow(steps: Any, answers: list[tuple[str, str, int, Any]]) -> tuple[Any, list[Any]]:
    """Answers each request in turn, whose method and path must be as told; gives result and bodies sent."""
    bodies: list[Any] = []
    waiting = list(answers)
    reply: Reply | None = None
    while True:
        try:
            step = steps.send(reply)
        except StopIteration as end:
            assert waiting == []
            return end.value, bodies
        if isinstance(step, Pause):
            assert step.seconds > 0
            reply = None
            continue
        assert isinstance(step, Request)
        method, path, status, body = waiting.pop(0)
        assert (step.method, step.path) == (method, path)
        bodies.append(json.loads(step.body) if step.body else None)
        reply = answered(status, body)


def answered(status: int, body: Any) -> Reply:
    """An answer in JSON."""
    return Reply(status, {"content-type": "application/json"}, json.dumps(body).encode())


def test_a_path_becomes_a_version_and_is_trained_on() -> None:
    config = TrainingConfig(
        model_name="iso/tope", recipe="isotope", version="v1", params={"epochs": 1}, pool="torch",
        data_path="s3://bucket/spectra/", ingest={"target": "isotope"},
    )  # fmt: skip
    run, bodies = follow(
        run_training_job(config),
        [
            ("POST", "/v1/datasets", 201, {"id": "d1"}),
            ("POST", "/v1/datasets/d1/ingest", 202, {"id": "s1", "state": "pending"}),
            ("GET", "/v1/datasets/d1/versions/s1", 200, {"id": "s1", "state": "ready"}),
            ("POST", "/v1/pipelines", 202, {"id": "p1", "state": "running"}),
            ("GET", "/v1/pipelines/p1", 200, READY),
            ("GET", "/v1/training/jobs/j1", 200, {"id": "j1"}),
            ("GET", "/v1/models/iso%2Ftope/versions/v1", 200, VERSION),
        ],
    )
    assert (run.pipeline, run.job, run.version) == (READY, {"id": "j1"}, VERSION)
    assert bodies[0] == {"name": "s3-bucket-spectra-"}
    assert bodies[1] == {
        "source": {"type": "bucket", "uri": "s3://bucket/spectra/"},
        "options": {"target": "isotope"},
    }
    assert bodies[3] == {
        "recipe": "isotope",
        "model": {"name": "iso/tope", "version": "v1"},
        "params": {"epochs": 1},
        "pool": "torch",
        "dataset": {"versionId": "s1"},
    }


def test_a_web_address_that_cannot_be_read_fails_with_the_reason() -> None:
    config = TrainingConfig(model_name="m", recipe="isotope", data_path="https://example.test/a.csv")
    failed = {"id": "s1", "state": "failed", "error": {"code": "url_not_allowed", "message": "Private."}}
    with pytest.raises(ServerError) as caught:
        follow(
            run_training_job(config),
            [
                ("POST", "/v1/datasets", 201, {"id": "d1"}),
                ("POST", "/v1/datasets/d1/ingest", 202, failed),
            ],
        )
    assert caught.value.code == "url_not_allowed"


def test_a_cancelled_pipeline_is_told_as_such() -> None:
    config = TrainingConfig(model_name="m", recipe="verichain", dataset_params={"samples": 10})
    with pytest.raises(MillraceError) as caught:
        follow(
            run_training_job(config),
            [("POST", "/v1/pipelines", 202, {"id": "p1", "state": "cancelled", "error": None})],
        )
    assert caught.value.code == "job_cancelled"


def test_data_are_named_once() -> None:
    config = TrainingConfig(model_name="m", recipe="r", data_path="s3://a/b", dataset_version_id="v")
    with pytest.raises(RequestError, match="named by one of"):
        follow(run_training_job(config), [])


def test_versions_are_listed_over_pages() -> None:
    newest = {"items": [{"version": "v2"}], "nextCursor": "a/b"}
    found, _ = follow(
        list_model_versions("m"),
        [
            ("GET", "/v1/models/m/versions?limit=200", 200, newest),
            (
                "GET",
                "/v1/models/m/versions?limit=200&cursor=a%2Fb",
                200,
                {"items": [VERSION], "nextCursor": None},
            ),
        ],
    )
    assert found == [{"version": "v2"}, VERSION]


def test_a_version_is_loaded_when_inference_has_it() -> None:
    loaded, _ = follow(
        load_model_version("m", "v1"),
        [
            ("GET", "/v1/models/m/versions/v1", 200, VERSION),
            ("GET", "/v2/models/m/versions/v1/ready", 400, {"error": "not yet"}),
            ("GET", "/v2/models/m/versions/v1/ready", 200, {}),
        ],
    )
    assert loaded == VERSION
