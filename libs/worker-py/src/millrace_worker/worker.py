"""A worker process: connects, announces itself, and does one job at a time until it is told to stop."""

import asyncio
import contextlib
import os
import platform
import signal
import sys
import time
import uuid
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from millrace_worker.announcer import announce
from millrace_worker.cache import ArtifactCache
from millrace_worker.child import Child
from millrace_worker.child_pool import ChildPool
from millrace_worker.connection import connect, subscribe
from millrace_worker.contracts.models import (
    ClaimedJob,
    ClaimReply,
    ClaimRequest,
    JobMessage,
)
from millrace_worker.errors import MillraceError
from millrace_worker.job_run import Disposition, JobRun, RunContext
from millrace_worker.job_source import Delivery, JobSource
from millrace_worker.lease import Interrupt, Lease
from millrace_worker.log import Logger, create_logger
from millrace_worker.owner import Owner
from millrace_worker.settings import EXIT_CONFIG, Settings, SettingsError, read_settings
from millrace_worker.storage import ObjectStore
from millrace_worker.telemetry import Telemetry
from millrace_worker.work_folder import WorkFolder

CLAIM_ATTEMPTS = 5
CLAIM_RETRY_S = 1.0
# A job that cannot be claimed for now is delivered again after this long.
UNCLAIMED_DELAY_S = 5.0
LEASED_QUICK_DELIVERIES = 3
LEASED_FACTOR_MAX = 20
FLUSH_TIMEOUT_S = 2.0
# Tells a child to leave out the import of its framework.
LIGHT_CHILD = {"MILLRACE_CHILD_LIGHT": "1"}


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """What one kind of worker is; its addresses and keys come from the environment."""

    name: str
    version: str
    service_by_kind: Mapping[str, str]
    child_module: str
    # Environment of every child, such as the settings that make training repeatable.
    child_environment: Mapping[str, str] = field(default_factory=dict[str, str])
    # Kinds whose child needs no framework: they get a fresh child and leave the prepared one alone.
    light_kinds: frozenset[str] = frozenset()
    # How long a prepared child is kept for a job that was announced on `millrace.ctl.warm.<kind>` and did not
    # come; None prepares one from the start and keeps it always.
    idle_child_s: float | None = None
    # The lock file of the environment that the child runs in; its digest is announced.
    requirements_file: Path


class Worker:
    """One process of a pool."""

    def __init__(self, config: WorkerConfig, settings: Settings, log: Logger) -> None:
        self._config = config
        self._settings = settings
        self._log = log
        self._id = f"{platform.node()}-{os.getpid()}-{uuid.uuid4()}"
        self._nats = Client()
        self._owners = {
            service: Owner(self._nats, service) for service in set(config.service_by_kind.values())
        }
        self._store = ObjectStore(settings.s3)
        self._cache = ArtifactCache(settings.cache_dir, self._store)
        self._children = ChildPool(
            config.child_module, config.child_environment, log, idle_s=config.idle_child_s
        )
        self._source = JobSource(self._nats, list(config.service_by_kind), settings.pool, log)
        self._work = WorkFolder(settings.cache_dir, self._id)
        self._stopping = asyncio.Event()
        self._lease: Lease | None = None

    def stop(self) -> None:
        """Ends the job in hand as a graceful stop and then the worker."""
        self._stopping.set()
        if self._lease is not None:
            self._lease.interrupt(Interrupt.SHUTDOWN)

    async def run(self) -> None:
        self._children.start()
        announcer: asyncio.Task[None] | None = None
        try:
            if not await self._connect():
                return
            await self._source.start()
            for kind in self._config.service_by_kind:
                await subscribe(self._nats, f"millrace.ctl.warm.{kind}", self._on_warm)
            announcer = asyncio.create_task(
                announce(
                    self._owners,
                    self._config.service_by_kind,
                    worker_id=self._id,
                    pool=self._settings.pool,
                    version=self._config.version,
                    requirements_file=self._config.requirements_file,
                    devices=lambda: self._children.devices,
                    log=self._log,
                )
            )
            self._log.info("worker ready", workerId=self._id, pool=self._settings.pool)
            while (delivery := await self._next()) is not None:
                await self._handle(delivery)
        finally:
            if announcer is not None:
                announcer.cancel()
            await self._children.close()
            with contextlib.suppress(NatsError, TimeoutError, OSError):
                await self._nats.flush(int(FLUSH_TIMEOUT_S))
            with contextlib.suppress(NatsError, OSError):
                await self._nats.close()
            self._store.close()
            self._work.close()

    async def _connect(self) -> bool:
        """Connects; False when told to stop before."""
        name, wake = self._config.name, self._source.wake
        return await self._unless_stopping(
            asyncio.create_task(connect(self._nats, self._settings, name, wake, self._log))
        )

    async def _on_warm(self, _: Msg) -> None:
        self._children.warm()

    async def _next(self) -> Delivery | None:
        waiting = asyncio.create_task(self._source.next())
        return waiting.result() if await self._unless_stopping(waiting) else None

    async def _unless_stopping(self, task: "asyncio.Task[Delivery] | asyncio.Task[None]") -> bool:
        """Waits for the task; cancels it and gives False when the worker is to stop."""
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
                return True
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return False
        finally:
            stopping.cancel()

    async def _handle(self, delivery: Delivery) -> None:
        message = delivery.message
        try:
            pointer = JobMessage.model_validate_json(message.data)
        except ValueError as error:
            self._log.error("a job message is not valid and is given up", error=str(error))
            await self._settle(message.term())
            return
        log = self._log.bind(jobId=pointer.job_id, kind=delivery.kind)
        owner = self._owners[self._config.service_by_kind[delivery.kind]]
        asked_at = time.monotonic()
        try:
            reply = await self._claim(owner, pointer.job_id, message)
        except MillraceError as error:
            log.warning("the job could not be claimed", code=error.code, error=error.message)
            await self._settle(message.nak(UNCLAIMED_DELAY_S))
            return
        if reply.outcome == "terminal":
            await self._settle(message.ack())
        elif reply.outcome == "leased" or reply.job is None:
            delay_s = UNCLAIMED_DELAY_S if reply.retry_after_ms is None else reply.retry_after_ms / 1_000
            # a second message of a job that runs for hours elsewhere must not use up its deliveries
            delay_s *= min(
                max(1, message.metadata.num_delivered - LEASED_QUICK_DELIVERIES), LEASED_FACTOR_MAX
            )
            log.info("another worker holds the job", retryAfterSeconds=delay_s)
            await self._settle(message.nak(delay_s))
        else:
            await self._run(reply.job, owner, asked_at, message, log.bind(fence=reply.job.fence))

    async def _claim(self, owner: Owner, job_id: str, message: Msg) -> ClaimReply:
        request = ClaimRequest(job_id=job_id, worker_id=self._id)
        for attempt in range(1, CLAIM_ATTEMPTS + 1):
            try:
                return await owner.call("claim", request, ClaimReply)
            except MillraceError as error:
                if not error.retryable or attempt == CLAIM_ATTEMPTS or self._stopping.is_set():
                    raise
            await self._settle(message.in_progress())
            await asyncio.sleep(CLAIM_RETRY_S * attempt)
        raise AssertionError("the last attempt returns or raises")

    async def _run(self, job: ClaimedJob, owner: Owner, asked_at: float, message: Msg, log: Logger) -> None:
        log.info(
            "job claimed", attempt=job.attempt, resumesAfter=job.last_checkpoint and job.last_checkpoint.step
        )
        lease = Lease(owner, job, asked_at, lambda: self._settle(message.in_progress()), log)
        telemetry = Telemetry(self._nats, job)
        start = f"resumes after step {job.last_checkpoint.step}" if job.last_checkpoint else "starts anew"
        telemetry.log("info", f"Attempt {job.attempt} on worker {self._id} {start}.")
        self._lease = lease
        if self._stopping.is_set():
            lease.interrupt(Interrupt.SHUTDOWN)

        async def on_hint(_: Msg) -> None:
            lease.hint()

        hints = await subscribe(self._nats, f"millrace.ctl.job.{job.job_id}.cancel", on_hint)
        context = RunContext(
            owner, self._store, self._cache, telemetry, lambda: self._take_child(job.kind), log
        )
        try:
            folder = self._work.path / f"{job.job_id}-{job.fence}"
            disposition = await JobRun(context, lease, folder).run()
        finally:
            self._lease = None
            await self._settle(hints.unsubscribe())
            await telemetry.close()
        if disposition is Disposition.ACK:
            await self._settle(message.ack())
        elif disposition is Disposition.NAK:
            await self._settle(message.nak())
        log.info("job left", disposition=disposition.value)
        if not self._stopping.is_set():
            self._children.replenish()

    async def _take_child(self, kind: str) -> Child:
        if kind in self._config.light_kinds:
            return await self._children.take_light(LIGHT_CHILD)
        return await self._children.take()

    async def _settle(self, answer: Awaitable[None]) -> None:
        """Sends an answer to a message; one that is lost only makes the message come again."""
        try:
            await answer
        except (NatsError, OSError) as error:
            self._log.warning("an answer to a message was not sent", error=str(error) or type(error).__name__)


async def _serve(config: WorkerConfig, settings: Settings, log: Logger) -> None:
    worker = Worker(config, settings, log)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    await worker.run()


def run_worker(config: WorkerConfig) -> None:
    """Runs a worker until SIGTERM; exits with 0, or 78 after listing every fault of the environment."""
    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        log = create_logger(config.name, "info")
        for fault in error.faults:
            log.error(fault)
        sys.exit(EXIT_CONFIG)
    log = create_logger(config.name, settings.log_level)
    try:
        asyncio.run(_serve(config, settings, log))
    except Exception as error:
        log.error("the worker failed", exception=error)
        sys.exit(1)
    log.info("worker stopped")
    sys.exit(0)
