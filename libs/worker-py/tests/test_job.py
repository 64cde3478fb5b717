# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""A job from its message to its end."""

import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

from conftest import WorkerProcess
from peer import Peer
from servers import NatsServer, S3Server

Start = Callable[[], WorkerProcess]


def stored(objects: Any, text: str, path: str) -> dict[str, Any]:
    """A file of a dataset, put into the store as a service does."""
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    objects.put_object(Bucket=S3Server.bucket, Key=f"cas/{sha256[:2]}/{sha256}", Body=text.encode())
    return {"path": path, "sha256": sha256, "sizeBytes": len(text.encode())}


def train_spec(script: list[dict[str, Any]], files: list[dict[str, Any]], **params: Any) -> dict[str, Any]:
    ids = dict.fromkeys(("datasetId", "versionId"), "0190a000-0000-7000-8000-000000000001")
    dataset = {**ids, "digest": "0" * 64, "files": files}
    return {"recipe": "any", "params": {"script": script, **params}, "dataset": dataset}


async def test_a_training_job_runs_from_its_message_to_its_stored_result(
    peer: Peer, objects: Any, start_worker: Start, nats_server: NatsServer
) -> None:
    files = [stored(objects, "images", "train/images.txt"), stored(objects, "labels", "labels.txt")]
    script: list[dict[str, Any]] = [
        {"do": "noise"},
        {"do": "log", "message": "hello"},
        {"do": "progress", "step": 1},
        {"do": "checkpoint"},
        {"do": "sleep", "seconds": 1},
        {"do": "progress", "step": 2},
    ]
    peer.claimed("train", train_spec(script, files))
    job_id = await peer.send_job("train")
    start_worker()

    result = (await peer.called("complete"))["result"]
    assert await peer.settled("train")
    assert [file["path"] for file in result["files"]] == ["model.txt", "deep/meta.json"]
    digest = result["files"][0]["sha256"]
    blob = objects.get_object(Bucket=S3Server.bucket, Key=f"cas/{digest[:2]}/{digest}")["Body"].read()
    assert blob == b"a model"
    assert result["meta"]["inputs"] == {"train/images.txt": "images", "labels.txt": "labels"}
    assert result["meta"]["resumed"] is None
    assert result["meta"]["hashSeed"] == "0"
    assert result["meta"]["environment"] == {}, "the child has no key of the platform, no loader's switch"

    checkpoint = await peer.called("checkpoint")
    assert (checkpoint["step"], checkpoint["fence"]) == (1, 1)
    assert [file["path"] for file in checkpoint["files"]] == ["deep/state.json", "weights.bin"]
    for file in checkpoint["files"]:
        assert file["key"] == f"jobs/{job_id}/f1/step-1/{file['path']}"
        head = objects.head_object(Bucket=S3Server.bucket, Key=file["key"])
        assert (head["ContentLength"], head["Metadata"]["sha256"]) == (file["sizeBytes"], file["sha256"])

    assert "hello" in peer.lines()
    progress = [entry for entry in peer.telemetry if entry["type"] == "progress"]
    assert progress[-1]["progress"]["step"] == 2
    assert progress[0]["progress"]["metrics"] == {"loss": 0.5, "odd": None}
    assert {entry["subject"] for entry in peer.telemetry} == {f"millrace.tel.train.{job_id}"}
    assert len(peer.calls["renew"]) >= 3
    assert "Permissions Violation" not in nats_server.log()


async def test_kinds_take_turns_and_a_generated_dataset_needs_no_input(
    peer: Peer, start_worker: Start
) -> None:
    spec = {
        "datasetId": "0190a000-0000-7000-8000-000000000001",
        "versionId": "0190a000-0000-7000-8000-000000000001",
        "recipe": "any",
        "params": {"script": [], "files": {"data.txt": "made"}},
    }

    def claim(request: dict[str, Any]) -> dict[str, Any]:
        kind = kinds[request["jobId"]]
        peer.claimed(kind, spec if kind == "ingest" else train_spec([], [{**empty, "path": "a"}]))
        answer = peer.answers.pop("claim")(request)
        peer.answers["claim"] = claim
        return answer or {}

    empty = {"sha256": hashlib.sha256(b"").hexdigest(), "sizeBytes": 0}
    kinds: dict[str, str] = {}
    for kind in ("ingest", "ingest", "ingest"):
        kinds[await peer.send_job(kind)] = kind
    peer.answers["claim"] = claim
    start_worker()
    first = await peer.called("complete", 3)
    assert first["result"]["files"][0]["path"] == "data.txt"
    assert await peer.settled("ingest")
    assert len(peer.calls["claim"]) == 3


async def test_an_attempt_goes_on_from_the_last_accepted_checkpoint(
    peer: Peer, objects: Any, start_worker: Start
) -> None:
    files: list[dict[str, Any]] = []
    for path, text in {"weights.bin": "half trained", "deep/state.json": "{}"}.items():
        key = f"jobs/earlier/f1/step-3/{path}"
        objects.put_object(Bucket=S3Server.bucket, Key=key, Body=text.encode())
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        files.append({"path": path, "key": key, "sha256": sha256, "sizeBytes": len(text)})
    spec = train_spec([], [stored(objects, "x", "x")])
    checkpoint = {"step": 3, "fence": 1, "files": files}
    peer.claimed("train", spec, lastCheckpoint=checkpoint, fence=2)
    await peer.send_job("train")
    start_worker()
    complete = await peer.called("complete")
    assert complete["fence"] == 2
    assert complete["result"]["meta"]["resumed"] == {"weights.bin": "half trained", "deep/state.json": "{}"}


async def test_a_damaged_checkpoint_is_not_used(peer: Peer, objects: Any, start_worker: Start) -> None:
    key = "jobs/earlier/f1/step-1/weights.bin"
    objects.put_object(Bucket=S3Server.bucket, Key=key, Body=b"other bytes")
    file = {
        "path": "weights.bin",
        "key": key,
        "sha256": hashlib.sha256(b"good bytes.").hexdigest(),
        "sizeBytes": 11,
    }
    peer.claimed(
        "train",
        train_spec([], [stored(objects, "x", "x")]),
        lastCheckpoint={"step": 1, "fence": 1, "files": [file]},
    )
    await peer.send_job("train")
    start_worker()
    assert (await peer.called("complete"))["result"]["meta"]["resumed"] is None
    assert any("starting anew" in line for line in peer.lines())


async def test_a_conversion_gets_its_source_and_its_options(
    peer: Peer, objects: Any, start_worker: Start
) -> None:
    source = {"files": [stored(objects, "graph", "saved_model/graph.pb")]}
    options = {"format": "onnx", "opset": 17, "tag": "serve", "signature": "s", "tolerance": 1e-4}
    peer.claimed("convert", {"source": source, **options})
    await peer.send_job("convert")
    start_worker()
    complete = await peer.called("complete")
    assert complete["result"]["meta"]["inputs"] == {"saved_model/graph.pb": "graph"}


async def test_workers_announce_what_they_are(peer: Peer, start_worker: Start) -> None:
    start_worker()
    await peer.called("announce", 3)
    kinds = sorted(kind for call in peer.calls["announce"][:3] for kind in call["kinds"])
    assert kinds == ["convert", "ingest", "train"]
    announcement = peer.calls["announce"][0]
    assert (announcement["pool"], announcement["version"]) == ("cpu", "1.2.3")
    assert len(announcement["environmentDigest"]) == 64


async def test_a_server_restart_during_a_job_and_between_jobs_costs_nothing(
    peer: Peer, objects: Any, start_worker: Start, nats_server: NatsServer
) -> None:
    spec = train_spec(
        [{"do": "progress", "step": 1}, {"do": "sleep", "seconds": 3}], [stored(objects, "x", "x")]
    )
    peer.claimed("train", spec)
    await peer.send_job("train")
    start_worker()
    await peer.until(lambda: len(peer.telemetry) > 0)
    nats_server.stop()
    nats_server.start()
    await peer.called("complete")
    await peer.settled("train")

    nats_server.stop()
    nats_server.start()
    await peer.send_job("train")
    started = time.monotonic()
    await peer.called("complete", 2)
    assert time.monotonic() - started < 10


async def test_a_worker_waits_for_a_consumer_that_is_made_later(
    peer: Peer, objects: Any, start_worker: Start
) -> None:
    await peer.nats.jetstream().delete_consumer("MILLRACE_JOBS", "train-cpu")
    peer.claimed("train", train_spec([], [stored(objects, "x", "x")]))
    start_worker()
    await peer.called("announce")
    await peer.send_job("train")
    await peer.add_consumer("train")
    await peer.called("complete")


async def test_messages_of_ended_held_and_broken_jobs_are_settled(peer: Peer, start_worker: Start) -> None:
    replies = iter([{"outcome": "leased", "retryAfterMs": 300}, {"outcome": "terminal"}])
    peer.answers["claim"] = lambda _: next(replies)
    await peer.send_job("train")
    await peer.nats.jetstream().publish("millrace.job.train.cpu", json.dumps({"jobId": "?"}).encode())
    start_worker()
    await peer.called("claim", 2)
    info = await peer.settled("train")
    assert info.num_pending == 0
