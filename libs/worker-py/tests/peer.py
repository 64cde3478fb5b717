# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The other end of a worker's wire: the bus as the services' user sees it, with answers that a test sets."""

import asyncio
import json
import uuid
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import ConsumerConfig, ConsumerInfo, StreamConfig

STREAM = "MILLRACE_JOBS"
OWNERS = {"train": "training-orchestrator", "ingest": "datasets", "convert": "converter"}
WAIT_S = 20.0

Answer = Callable[[dict[str, Any]], dict[str, Any] | None]


class Peer:
    """Records what workers say; `answers[method]` decides the reply, None is silence."""

    def __init__(self, nats: Client) -> None:
        self.nats = nats
        self.calls: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self.telemetry: list[dict[str, Any]] = []
        self.answers: dict[str, Answer] = {}
        self._changed = asyncio.Condition()

    async def start(self, ack_wait_s: float = 30.0) -> None:
        jetstream = self.nats.jetstream()
        await jetstream.add_stream(StreamConfig(name=STREAM, subjects=["millrace.job.>"]))
        for kind in OWNERS:
            await self.add_consumer(kind, ack_wait_s)
        await self.nats.subscribe("millrace.rpc.>", cb=self._on_call)
        await self.nats.subscribe("millrace.tel.>", cb=self._on_telemetry)

    async def add_consumer(self, kind: str, ack_wait_s: float = 30.0) -> None:
        config = ConsumerConfig(
            durable_name=f"{kind}-cpu", filter_subject=f"millrace.job.{kind}.cpu", ack_wait=ack_wait_s
        )
        await self.nats.jetstream().add_consumer(STREAM, config)

    def claimed(self, kind: str, spec: dict[str, Any], **changes: Any) -> None:
        """Lets the next claim succeed with this spec."""

        def claim(request: dict[str, Any]) -> dict[str, Any]:
            job = {
                "jobId": request["jobId"], "kind": kind, "fence": 1, "attempt": 1, "spec": spec,
                "lastCheckpoint": None, "leaseMs": 30_000, "heartbeatMs": 200, "stallTimeoutMs": 60_000,
                "checkpointPrefix": f"jobs/{request['jobId']}/f1/", **changes,
            }  # fmt: skip
            return {"outcome": "claimed", "job": job}

        self.answers["claim"] = claim

    async def send_job(self, kind: str) -> str:
        job_id = str(uuid.uuid4())
        pointer = {"jobId": job_id, "kind": kind, "pool": "cpu", "service": OWNERS[kind]}
        while True:
            try:
                await self.nats.jetstream().publish(
                    f"millrace.job.{kind}.cpu", json.dumps(pointer).encode(), timeout=1
                )
                return job_id
            except NatsError:
                await asyncio.sleep(0.1)

    async def called(self, method: str, count: int = 1) -> dict[str, Any]:
        """The request of the n-th call of a method, once it came."""
        await self.until(lambda: len(self.calls[method]) >= count)
        return self.calls[method][count - 1]

    async def until(self, is_true: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(is_true)

    async def settled(self, kind: str) -> ConsumerInfo:
        """The consumer once no message is in anybody's hand."""
        async with asyncio.timeout(WAIT_S):
            while True:
                info = await self.nats.jetstream().consumer_info(STREAM, f"{kind}-cpu")
                if info.num_ack_pending == 0:
                    return info
                await asyncio.sleep(0.05)

    def lines(self) -> list[str]:
        return [entry["message"] for entry in self.telemetry if entry["type"] == "log"]

    async def _on_call(self, message: Msg) -> None:
        method = message.subject.rsplit(".", 1)[1]
        request = json.loads(message.data)
        default: dict[str, Any] = {"ok": True} if method == "announce" else {"outcome": "ok"}
        answer = self.answers.get(method, lambda _: default)(request)
        if answer is not None:
            await message.respond(json.dumps(answer).encode())
        await self._record(lambda: self.calls[method].append(request))

    async def _on_telemetry(self, message: Msg) -> None:
        entry = {**json.loads(message.data), "subject": message.subject}
        await self._record(lambda: self.telemetry.append(entry))

    async def _record(self, change: Callable[[], None]) -> None:
        async with self._changed:
            change()
            self._changed.notify_all()
