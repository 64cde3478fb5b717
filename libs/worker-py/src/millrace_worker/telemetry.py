"""Progress and log lines of a running job, sent without ever holding it up."""

import asyncio
import math
import time
from datetime import UTC, datetime

from nats.aio.client import Client
from nats.errors import Error as NatsError

from millrace_worker.contracts.models import ClaimedJob, JobProgress, JobTelemetry

PROGRESS_INTERVAL_S = 0.2
MAX_LOG_LINES_PER_S = 200
MAX_LOG_CHARACTERS = 8_000
# Messages that wait for the connection; more are dropped, telemetry decides nothing.
MAX_WAITING = 1_000


def finite(metrics: dict[str, float | None]) -> dict[str, float | None]:
    """NaN and infinity have no JSON; null says that there is no number."""
    return {
        key: value if value is not None and math.isfinite(value) else None for key, value in metrics.items()
    }


class Telemetry:
    """The telemetry of one job; the latest progress is sent at most five times a second."""

    def __init__(self, nats: Client, job: ClaimedJob) -> None:
        self._nats = nats
        self._job = job
        self._subject = f"millrace.tel.{job.kind}.{job.job_id}"
        self._waiting: asyncio.Queue[JobTelemetry] = asyncio.Queue(MAX_WAITING)
        self._latest: JobProgress | None = None
        self._window = 0.0
        self._lines = 0
        self._dropped = 0
        self._tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._tick())]

    def progress(self, progress: JobProgress) -> None:
        self._latest = progress

    def log(self, level: str, message: str) -> None:
        now = time.monotonic()
        if now - self._window >= 1.0:
            self._window, self._lines = now, 0
            if self._dropped > 0:
                dropped, self._dropped = self._dropped, 0
                self._put(self._line("warn", f"{dropped} log lines were dropped."))
        if self._lines >= MAX_LOG_LINES_PER_S:
            self._dropped += 1
            return
        self._lines += 1
        self._put(self._line(level, message))

    async def close(self) -> None:
        """Sends what waits, for at most a moment."""
        self._flush_progress()
        deadline = time.monotonic() + 1.0
        while not self._waiting.empty() and self._nats.is_connected and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        for task in self._tasks:
            task.cancel()

    def _line(self, level: str, message: str) -> JobTelemetry:
        return JobTelemetry(
            job_id=self._job.job_id, fence=self._job.fence, type="log", time=datetime.now(UTC),
            level=level[:16], message=message[:MAX_LOG_CHARACTERS],
        )  # fmt: skip

    def _put(self, message: JobTelemetry) -> None:
        try:
            self._waiting.put_nowait(message)
        except asyncio.QueueFull:
            self._dropped += 1

    def _flush_progress(self) -> None:
        progress, self._latest = self._latest, None
        if progress is not None:
            self._put(
                JobTelemetry(
                    job_id=self._job.job_id,
                    fence=self._job.fence,
                    type="progress",
                    time=datetime.now(UTC),
                    progress=progress,
                )
            )

    async def _tick(self) -> None:
        while True:
            self._flush_progress()
            await asyncio.sleep(PROGRESS_INTERVAL_S)

    async def _send(self) -> None:
        while True:
            message = await self._waiting.get()
            try:
                await self._nats.publish(self._subject, message.model_dump_json(exclude_none=True).encode())
            except (NatsError, OSError):
                self._dropped += 1
