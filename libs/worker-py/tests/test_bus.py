# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Pulling and telemetry on a real server, as the user that workers are."""

import asyncio
import json
from collections.abc import AsyncIterator

import nats
import pytest
from millrace_worker.contracts.models import ClaimedJob, JobProgress
from millrace_worker.errors import MillraceError
from millrace_worker.job_source import JobSource
from millrace_worker.log import create_logger
from millrace_worker.telemetry import MAX_LOG_LINES_PER_S, Telemetry
from nats.aio.client import Client
from peer import Peer
from servers import NatsServer

JOB = ClaimedJob(
    job_id="0190a000-0000-7000-8000-000000000001",
    kind="train",
    fence=1,
    attempt=1,
    spec={},
    last_checkpoint=None,
    lease_ms=1,
    heartbeat_ms=1,
    stall_timeout_ms=1,
    checkpoint_prefix="",
)


@pytest.fixture
async def worker_user(nats_server: NatsServer) -> AsyncIterator[Client]:
    client = await nats.connect(nats_server.url("worker"), inbox_prefix="_INBOX_worker")
    yield client
    await client.close()


def pointer_id(data: bytes) -> str:
    return str(json.loads(data)["jobId"])


async def test_a_message_that_comes_when_none_is_wanted_goes_to_another_worker(
    peer: Peer, worker_user: Client
) -> None:
    log = create_logger("test", "debug")
    first = JobSource(worker_user, ["train", "ingest"], "cpu", log)
    await first.start()
    waiting = asyncio.create_task(first.next())
    await asyncio.sleep(0.3)
    await peer.send_job("train")
    assert (await waiting).kind == "train"
    # the pull for the other kind is still open on the server and takes this one
    other = await peer.send_job("ingest")

    second = JobSource(worker_user, ["ingest"], "cpu", log)
    await second.start()
    async with asyncio.timeout(5):
        assert pointer_id((await second.next()).message.data) == other


async def test_each_kind_gets_its_turn(peer: Peer, worker_user: Client) -> None:
    for kind in ("train", "train", "train", "ingest", "ingest"):
        await peer.send_job(kind)
    source = JobSource(worker_user, ["train", "ingest"], "cpu", create_logger("test", "debug"))
    await source.start()
    taken: list[str] = []
    for _ in range(5):
        delivery = await source.next()
        taken.append(delivery.kind)
        await delivery.message.ack()
    assert taken[:4].count("ingest") == 2
    info = await peer.settled("train")
    assert info.delivered is not None
    assert info.delivered.consumer_seq == 3, "no message was taken and given back"


async def test_progress_is_thinned_and_the_last_one_kept(peer: Peer, worker_user: Client) -> None:
    telemetry = Telemetry(worker_user, JOB)
    for step in range(1_000):
        telemetry.progress(JobProgress(stage="train", step=step, total_steps=1_000, metrics={}))
        await asyncio.sleep(0.001)
    await telemetry.close()
    await peer.until(lambda: bool(peer.telemetry) and peer.telemetry[-1]["progress"]["step"] == 999)
    assert 3 <= len(peer.telemetry) <= 20


async def test_a_flood_of_log_lines_is_bounded_and_says_so(peer: Peer, worker_user: Client) -> None:
    telemetry = Telemetry(worker_user, JOB)
    for number in range(MAX_LOG_LINES_PER_S * 3):
        telemetry.log("info", f"line {number}")
    await asyncio.sleep(1.1)
    telemetry.log("info", "x" * 20_000)
    await telemetry.close()
    await peer.until(lambda: any(line.startswith("xxx") for line in peer.lines()))
    assert len(peer.lines()) == MAX_LOG_LINES_PER_S + 2
    assert f"{MAX_LOG_LINES_PER_S * 2} log lines were dropped." in peer.lines()
    assert max(map(len, peer.lines())) < 8_192


async def test_a_connection_that_is_closed_for_good_ends_the_wait(peer: Peer, worker_user: Client) -> None:
    source = JobSource(worker_user, ["train"], "cpu", create_logger("test", "debug"))
    await source.start()
    await peer.nats.flush()
    await worker_user.close()
    with pytest.raises(MillraceError):
        await source.next()
