"""The right to work on a job: kept by renewing, lost by time, a newer attempt, a cancel or standing still."""

import asyncio
import enum
import time
from collections.abc import Awaitable, Callable
from typing import Literal

from millrace_worker.contracts.models import ClaimedJob, FenceReply, JobProgress, RenewRequest
from millrace_worker.errors import MillraceError
from millrace_worker.log import Logger
from millrace_worker.owner import HEARTBEAT_TIMEOUT_S, Owner

# A worker that cannot renew ends its own child this long before others may start the job.
SELF_FENCE_MARGIN_S = 5.0
# Short leases keep a third of their time as margin.
SELF_FENCE_SHARE = 1 / 3
RENEW_RETRY_S = 1.0
MIN_PAUSE_S = 0.02


class Interrupt(enum.Enum):
    """Why a job must stop before it is done."""

    FENCED = "a newer attempt owns the job"
    LEASE_LOST = "the lease could not be renewed in time"
    STALLED = "there was no progress"
    CANCELLED = "the job was cancelled"
    SHUTDOWN = "the worker is stopping"


class Lease:
    """How long the claim of a job lasts, by this machine's monotonic clock, from before it was asked for."""

    def __init__(
        self,
        owner: Owner,
        job: ClaimedJob,
        asked_at: float,
        on_beat: Callable[[], Awaitable[None]],
        log: Logger,
    ) -> None:
        self._owner = owner
        self._on_beat = on_beat
        self._log = log
        self._length_s = job.lease_ms / 1_000
        self._margin_s = min(SELF_FENCE_MARGIN_S, self._length_s * SELF_FENCE_SHARE)
        self._until = asked_at + self._length_s
        self._progressed_at = time.monotonic()
        self._seen: tuple[str, int] = ("", -1)
        self._hint = asyncio.Event()
        self.job = job
        self.progress: JobProgress | None = None
        self.interrupted: asyncio.Future[Interrupt] = asyncio.get_running_loop().create_future()
        # Set while the outcome is being told to the owner: only its answer to that counts from then on.
        self.is_finishing = False
        # Fenced calls go one at a time, so that an answer is never overtaken by that to a later call.
        self.calls = asyncio.Lock()

    @property
    def remaining_s(self) -> float:
        """Seconds in which this worker may still act for the job."""
        return self._until - self._margin_s - time.monotonic()

    @property
    def stalled_s(self) -> float:
        """Seconds since the job last moved."""
        return time.monotonic() - self._progressed_at

    def touch(self) -> None:
        """The job moved: bytes arrived, a checkpoint was made."""
        self._progressed_at = time.monotonic()

    def advance(self, progress: JobProgress) -> None:
        """Keeps the latest progress; only another stage or step counts as movement."""
        self.progress = progress
        if (progress.stage, progress.step) != self._seen:
            self._seen = (progress.stage, progress.step)
            self.touch()

    def interrupt(self, reason: Interrupt) -> None:
        if not self.interrupted.done():
            self.interrupted.set_result(reason)

    def hint(self) -> None:
        """Renews at once, because somebody said that the job was cancelled."""
        self._hint.set()

    async def keep(self) -> None:
        """Renews until cancelled or lost; says by `interrupted` when the work must stop."""
        while self.remaining_s > 0:
            pause_s = self.job.heartbeat_ms / 1_000 if await self._beat() else RENEW_RETRY_S
            pause_s = max(MIN_PAUSE_S, min(pause_s, self.remaining_s))
            try:
                async with asyncio.timeout(pause_s):
                    await self._hint.wait()
            except TimeoutError:
                pass
            self._hint.clear()
        self.interrupt(Interrupt.LEASE_LOST)

    async def _beat(self) -> bool:
        if self.stalled_s > self.job.stall_timeout_ms / 1_000 and not self.is_finishing:
            self.interrupt(Interrupt.STALLED)
        await self._on_beat()
        async with self.calls:
            asked_at = time.monotonic()
            try:
                outcome = (await self._renew()).outcome
            except MillraceError as error:
                self._log.warning("the lease could not be renewed", code=error.code, error=error.message)
                return False
            if outcome != "fenced":
                self._until = asked_at + self._length_s
        self._obey(outcome)
        return True

    async def _renew(self) -> FenceReply:
        job = self.job
        step = self.progress.step if self.progress is not None else 0
        request = RenewRequest(job_id=job.job_id, fence=job.fence, step=step, progress=self.progress)
        return await self._owner.call("renew", request, FenceReply, HEARTBEAT_TIMEOUT_S)

    def _obey(self, outcome: Literal["ok", "fenced", "cancel"]) -> None:
        if self.is_finishing:
            return
        if outcome == "fenced":
            self.interrupt(Interrupt.FENCED)
        elif outcome == "cancel":
            self.interrupt(Interrupt.CANCELLED)
