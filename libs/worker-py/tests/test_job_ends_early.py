# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Every way a job ends without a result."""

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import WorkerProcess
from peer import Peer
from test_job import stored, train_spec

Start = Callable[[], WorkerProcess]
FENCED: dict[str, Any] = {"outcome": "fenced"}


def long_script(pid_file: Path, *first: dict[str, Any]) -> list[dict[str, Any]]:
    write: dict[str, Any] = {"do": "write", "file": str(pid_file)}
    return [*first, {"do": "progress", "step": 1}, write, {"do": "sleep", "seconds": 60}]


async def child_pid(file: Path) -> int:
    async with asyncio.timeout(20):
        while not file.exists() or not file.read_text():
            await asyncio.sleep(0.02)
    return int(file.read_text())


async def gone(pid: int, timeout_s: float = 5.0) -> None:
    async with asyncio.timeout(timeout_s):
        while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
            await asyncio.sleep(0.02)


async def test_a_failure_is_told_with_its_code_and_the_last_lines(
    peer: Peer, objects: Any, start_worker: Start
) -> None:
    script = [
        {"do": "stderr", "message": "the reason in detail"},
        {"do": "error", "code": "dataset_unusable", "message": "Only one class."},
    ]
    peer.claimed("train", train_spec(script, [stored(objects, "x", "x")]))
    await peer.send_job("train")
    start_worker()
    error = (await peer.called("fail"))["error"]
    assert error == {"code": "dataset_unusable", "message": "Only one class.", "retryable": False}
    await peer.settled("train")
    await peer.until(lambda: "the reason in detail" in peer.lines())


MISLABELLED = {"path": "model.txt", "sha256": "0" * 64, "sizeBytes": 5}


@pytest.mark.parametrize(
    ("script", "code", "retryable"),
    [
        ([{"do": "error", "code": "no_such_code", "message": "?"}], "training_failed", False),
        ([{"do": "die"}], "worker_lost", True),
        ([{"do": "lie", "dir": "/etc", "files": []}], "training_failed", False),
        ([{"do": "lie", "dir": "out", "files": [MISLABELLED]}], "artifact_corrupt", True),
    ],
)
async def test_other_ends_of_the_child_are_failures_too(
    peer: Peer, objects: Any, start_worker: Start, script: list[dict[str, Any]], code: str, retryable: bool
) -> None:
    peer.claimed("train", train_spec(script, [stored(objects, "x", "x")]))
    await peer.send_job("train")
    start_worker()
    error = (await peer.called("fail"))["error"]
    assert (error["code"], error["retryable"]) == (code, retryable)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"path": "../outside"}, "invalid_artifact_path"),
        ({"sha256": "1" * 64}, "artifact_missing"),
    ],
)
async def test_bad_inputs_fail_the_job(
    peer: Peer, objects: Any, start_worker: Start, change: dict[str, str], code: str
) -> None:
    peer.claimed("train", train_spec([], [{**stored(objects, "x", "x"), **change}]))
    await peer.send_job("train")
    start_worker()
    assert (await peer.called("fail"))["error"]["code"] == code


async def test_a_job_without_progress_is_stopped(
    peer: Peer, objects: Any, start_worker: Start, tmp_path: Path
) -> None:
    peer.claimed(
        "train", train_spec(long_script(tmp_path / "pid"), [stored(objects, "x", "x")]), stallTimeoutMs=1_500
    )
    await peer.send_job("train")
    start_worker()
    pid = await child_pid(tmp_path / "pid")
    error = (await peer.called("fail"))["error"]
    assert (error["code"], error["retryable"]) == ("training_stalled", True)
    await gone(pid)


async def test_a_cancel_ends_the_child_at_once_when_hinted(
    peer: Peer, objects: Any, start_worker: Start, tmp_path: Path
) -> None:
    spec = train_spec(long_script(tmp_path / "pid"), [stored(objects, "x", "x")])
    peer.claimed("train", spec, heartbeatMs=9_000)
    job_id = await peer.send_job("train")
    start_worker()
    pid = await child_pid(tmp_path / "pid")
    peer.answers["renew"] = lambda _: {"outcome": "cancel"}
    started = time.monotonic()
    await peer.nats.publish(f"millrace.ctl.job.{job_id}.cancel", b"")
    await peer.called("cancelled")
    assert time.monotonic() - started < 4
    await gone(pid)
    await peer.settled("train")


@pytest.mark.parametrize("method", ["renew", "checkpoint"])
async def test_a_fenced_worker_kills_its_child_and_says_nothing_more(
    peer: Peer, objects: Any, start_worker: Start, tmp_path: Path, method: str
) -> None:
    peer.answers[method] = lambda _: FENCED
    first: list[dict[str, Any]] = [{"do": "deaf"}, {"do": "progress", "step": 1}, {"do": "checkpoint"}]
    script = long_script(tmp_path / "pid", *first, {"do": "sleep", "seconds": 0.1})
    if method == "checkpoint":
        script = [*first, {"do": "write", "file": str(tmp_path / "pid")}, {"do": "sleep", "seconds": 60}]
    peer.claimed("train", train_spec(script, [stored(objects, "x", "x")]))
    await peer.send_job("train")
    worker = start_worker()
    async with asyncio.timeout(20):
        while '"disposition": "drop"' not in worker.log:
            await asyncio.sleep(0.05)
    if (tmp_path / "pid").exists():
        await gone(int((tmp_path / "pid").read_text()))
    assert peer.calls["fail"] == peer.calls["complete"] == peer.calls["cancelled"] == []
    info = await peer.nats.jetstream().consumer_info("MILLRACE_JOBS", "train-cpu")
    assert info.num_ack_pending == 1, "the message stays with whoever has the job"


async def test_a_worker_that_cannot_renew_kills_its_child_before_the_lease_ends(
    peer: Peer, objects: Any, start_worker: Start, tmp_path: Path
) -> None:
    peer.claimed(
        "train", train_spec(long_script(tmp_path / "pid"), [stored(objects, "x", "x")]), leaseMs=6_000
    )
    await peer.send_job("train")
    start_worker()
    pid = await child_pid(tmp_path / "pid")
    peer.answers["renew"] = lambda _: None
    silent_since = time.monotonic()
    await gone(pid, timeout_s=6)
    assert time.monotonic() - silent_since < 6
    assert peer.calls["fail"] == []


async def test_sigterm_stores_a_last_checkpoint_and_gives_the_job_back(
    peer: Peer, objects: Any, start_worker: Start, tmp_path: Path
) -> None:
    spec = train_spec(
        long_script(tmp_path / "pid", {"do": "progress", "step": 4}), [stored(objects, "x", "x")]
    )
    peer.claimed("train", spec)
    job_id = await peer.send_job("train")
    worker = start_worker()
    await child_pid(tmp_path / "pid")
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0
    checkpoint = await peer.called("checkpoint")
    assert checkpoint["files"][0]["key"].startswith(f"jobs/{job_id}/f1/step-1/")
    await peer.called("release")
    assert peer.calls["fail"] == peer.calls["complete"] == []
    assert not list((tmp_path / "cache" / "work").iterdir()), "no scratch folder is left"

    peer.claimed("train", train_spec([], [stored(objects, "x", "x")]), fence=2)
    start_worker()
    assert (await peer.called("complete"))["jobId"] == job_id


async def test_a_killed_worker_takes_its_child_with_it_and_the_next_one_cleans_up(
    peer: Peer, objects: Any, start_worker: Start, tmp_path: Path
) -> None:
    peer.claimed("train", train_spec(long_script(tmp_path / "pid"), [stored(objects, "x", "x")]))
    await peer.send_job("train")
    worker = start_worker()
    pid = await child_pid(tmp_path / "pid")
    worker.signal(signal.SIGKILL)
    await gone(pid)
    left = list((tmp_path / "cache" / "work").iterdir())
    assert len(left) == 1
    start_worker()
    async with asyncio.timeout(10):
        while left[0].exists():
            await asyncio.sleep(0.05)


async def test_an_idle_worker_stops_at_once(peer: Peer, start_worker: Start) -> None:
    worker = start_worker()
    await peer.called("announce")
    started = time.monotonic()
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0
    assert time.monotonic() - started < 5


async def test_complete_is_told_again_until_the_owner_answers(
    peer: Peer, objects: Any, start_worker: Start
) -> None:
    replies: list[dict[str, Any]] = [
        {"error": {"code": "database_unavailable", "message": "The database is away."}},
        {"outcome": "ok"},
    ]
    peer.answers["complete"] = lambda _: replies.pop(0)
    peer.claimed("train", train_spec([], [stored(objects, "x", "x")]))
    await peer.send_job("train")
    start_worker()
    await peer.called("complete", 2)
    assert (await peer.settled("train")).num_pending == 0
