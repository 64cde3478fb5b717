"""One attempt at a job: inputs, child, checkpoints, result, and every way it can end early."""

import asyncio
import enum
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from millrace_worker.cache import ArtifactCache
from millrace_worker.checkpoints import Checkpoints, fetch_checkpoint
from millrace_worker.child import Child
from millrace_worker.child_events import CheckpointMade, Event, Failed, Line, Progress, Result, Stopped
from millrace_worker.commands import FAILURE_CODE, Folders, plan_job
from millrace_worker.contracts.models import (
    ClaimedJob,
    CompleteRequest,
    FailRequest,
    FenceReply,
    FenceRequest,
    JobProgress,
    JobResult,
)
from millrace_worker.errors import MillraceError
from millrace_worker.lease import Interrupt, Lease
from millrace_worker.log import Logger
from millrace_worker.model import Model
from millrace_worker.outcome import tell
from millrace_worker.owner import Owner
from millrace_worker.results import upload_result
from millrace_worker.storage import ObjectStore
from millrace_worker.telemetry import Telemetry, finite

CANCEL_GRACE_S = 20.0
# A stopping worker has 25 s in all: the child 8, the upload of its last checkpoint 8, the rest for the calls.
SHUTDOWN_CHILD_GRACE_S = 8.0
SHUTDOWN_UPLOAD_S = 8.0
EXIT_GRACE_S = 5.0


class Disposition(enum.Enum):
    """What becomes of the message: the owner knows the end, others may hold it, or it goes back now."""

    ACK = "ack"
    DROP = "drop"
    NAK = "nak"


@dataclass(frozen=True)
class RunContext:
    """What an attempt uses; `take_child` gives a child that this attempt then owns."""

    owner: Owner
    store: ObjectStore
    cache: ArtifactCache
    telemetry: Telemetry
    take_child: Callable[[], Awaitable[Child]]
    log: Logger


class JobRun:
    """Runs one claimed job to its end and says what becomes of its message."""

    def __init__(self, context: RunContext, lease: Lease, folder: Path) -> None:
        self._context = context
        self._lease = lease
        self._folders = Folders(folder)
        self._log = context.log
        self._child: Child | None = None
        self._checkpoints = Checkpoints(lease, context.owner, context.store, self._folders.staging, self._log)

    @property
    def _job(self) -> ClaimedJob:
        return self._lease.job

    async def run(self) -> Disposition:
        heart = asyncio.create_task(self._lease.keep())
        body = asyncio.create_task(self._body())
        interrupted = self._lease.interrupted
        try:
            await asyncio.wait({body, interrupted}, return_when=asyncio.FIRST_COMPLETED)
            if body.done():
                return await self._end(body)
            return await self._stop_early(interrupted.result(), body)
        finally:
            for task in (heart, body):
                task.cancel()
            await asyncio.gather(heart, body, return_exceptions=True)
            await self._checkpoints.close()
            if self._child is not None:
                await self._child.kill()
            await asyncio.to_thread(shutil.rmtree, self._folders.root, True)

    async def _body(self) -> Disposition:
        for folder in (self._folders.work, self._folders.staging):
            folder.mkdir(parents=True)
        plan = plan_job(self._job, self._folders)
        # a child that is not ready yet imports while the inputs arrive
        self._child = await self._context.take_child()
        await self._context.cache.place_all(plan.inputs, self._folders.input, lambda _: self._lease.touch())
        resume = await self._fetch_resume()
        command = plan.command if resume is None else {**plan.command, "resumeDir": str(resume)}
        await self._child.send(command)
        result = await self._listen(self._child)
        return await self._complete(result)

    async def _fetch_resume(self) -> Path | None:
        checkpoint = self._job.last_checkpoint
        if checkpoint is None:
            return None
        try:
            await fetch_checkpoint(checkpoint, self._context.store, self._folders.resume, self._lease)
        except MillraceError as error:
            if error.code not in ("artifact_corrupt", "artifact_missing", "invalid_artifact_path"):
                raise
            self._log.error("the last checkpoint is not usable; starting anew", error=error.message)
            self._context.telemetry.log(
                "warn", f"The last checkpoint is not usable, starting anew: {error.message}"
            )
            return None
        self._context.telemetry.log("info", f"Going on after step {checkpoint.step} of an earlier attempt.")
        return self._folders.resume

    async def _listen(self, child: Child) -> Result:
        while (event := await child.next_event()) is not None:
            match event:
                case Result():
                    return event
                case Failed():
                    code = event.code
                    known = MillraceError(code, event.message, event.retryable)
                    if known.code != code:
                        known = MillraceError(
                            FAILURE_CODE[self._job.kind], f"{code}: {event.message}", event.retryable
                        )
                    raise known
                case Stopped():
                    break
                case _:
                    self._note(event)
        code = await child.exited()
        ended = f"by signal {-code}" if code < 0 else f"with code {code}"
        raise MillraceError("worker_lost", f"The process of the job ended {ended} before it had a result.")

    def _note(self, event: Event) -> None:
        match event:
            case Progress():
                progress = JobProgress(
                    stage=event.stage[:64], step=event.step, total_steps=event.total_steps,
                    epoch=event.epoch, epochs=event.epochs, metrics=finite(event.metrics),
                )  # fmt: skip
                self._lease.advance(progress)
                self._context.telemetry.progress(progress)
            case Line():
                self._context.telemetry.log(event.level, event.message)
            case CheckpointMade():
                self._lease.touch()
                folder = Path(event.dir)
                if not folder.resolve().is_relative_to(self._folders.root.resolve()):
                    self._log.error("the child named a checkpoint outside its folder", folder=event.dir)
                    return
                try:
                    self._checkpoints.offer(event.step, folder)
                except OSError as error:
                    self._log.warning("a checkpoint could not be taken", step=event.step, error=str(error))
            case _:
                self._lease.touch()

    async def _complete(self, result: Result) -> Disposition:
        # later checkpoints than the result are of no use to anybody
        await self._checkpoints.close()
        out = Path(result.out_dir)
        if not out.resolve().is_relative_to(self._folders.root.resolve()):
            raise MillraceError(FAILURE_CODE[self._job.kind], "The child put its result outside its folder.")
        files = await upload_result(self._context.store, out, result.files, self._lease.touch)
        done = JobResult(files=files, meta=result.meta)
        request = CompleteRequest(job_id=self._job.job_id, fence=self._job.fence, result=done)
        outcome = await self._tell("complete", request)
        self._log.info("job complete", outcome=outcome, files=len(files))
        if outcome == "cancel":
            return await self._tell_end("cancelled", self._fence())
        return Disposition.ACK if outcome == "ok" else Disposition.DROP

    async def _end(self, body: asyncio.Task[Disposition]) -> Disposition:
        error = body.exception()
        if error is None:
            if self._child is not None:
                await asyncio.wait({asyncio.ensure_future(self._child.exited())}, timeout=EXIT_GRACE_S)
            return body.result()
        return await self._fail(error)

    async def _fail(self, error: BaseException) -> Disposition:
        known = (
            error
            if isinstance(error, MillraceError)
            else MillraceError("internal", f"{type(error).__name__}: {error}")
        )
        self._log.error(
            "job failed", exception=None if known is error else error, code=known.code, error=known.message
        )
        if self._child is not None:
            for line in self._child.stderr_tail:
                self._context.telemetry.log("error", line)
        self._context.telemetry.log("error", known.message)
        request = FailRequest(job_id=self._job.job_id, fence=self._job.fence, error=known.to_wire())
        return await self._tell_end("fail", request)

    async def _tell_end(self, method: str, request: Model) -> Disposition:
        try:
            outcome = await self._tell(method, request)
        except MillraceError as refusal:
            # nothing more can be said; the owner's reconciler decides when the lease has run out
            self._log.error("the owner refused the end of the job", method=method, error=refusal.message)
            return Disposition.DROP
        return Disposition.DROP if outcome in ("fenced", "unknown") else Disposition.ACK

    async def _stop_early(self, reason: Interrupt, body: asyncio.Task[Disposition]) -> Disposition:
        self._log.warning("the job stops early", reason=reason.value)
        match reason:
            case Interrupt.SHUTDOWN:
                return await self._shut_down(body)
            case Interrupt.CANCELLED:
                await _cancel(body)
                if self._child is not None:
                    await self._child.stop(CANCEL_GRACE_S)
                return await self._tell_end("cancelled", self._fence())
            case Interrupt.STALLED:
                await _cancel(body)
                if self._child is not None:
                    await self._child.kill()
                seconds = self._job.stall_timeout_ms / 1_000
                return await self._fail(MillraceError("training_stalled", f"No progress for {seconds:g} s."))
            case Interrupt.FENCED | Interrupt.LEASE_LOST:
                await _cancel(body)
                return Disposition.DROP

    async def _shut_down(self, body: asyncio.Task[Disposition]) -> Disposition:
        """The worker stops: the child writes a last checkpoint, stored before the job is given back."""
        if self._lease.is_finishing:
            await asyncio.wait({body}, timeout=SHUTDOWN_UPLOAD_S)
            if body.done() and not body.cancelled() and body.exception() is None:
                return body.result()
        child = self._child
        if child is not None and child.exit_code is None:
            child.interrupt()
            # the body still listens: it takes the last checkpoint and ends with the child
            await asyncio.wait({body}, timeout=SHUTDOWN_CHILD_GRACE_S)
            if body.done() and body.exception() is None:
                return body.result()
        await _cancel(body)
        await self._checkpoints.flush(min(SHUTDOWN_UPLOAD_S, max(0.0, self._lease.remaining_s)))
        async with self._lease.calls:
            try:
                await self._context.owner.call("release", self._fence(), FenceReply, timeout_s=2.0)
            except MillraceError as error:
                self._log.warning("the job could not be released; its lease runs out", error=error.message)
        return Disposition.NAK

    def _fence(self) -> FenceRequest:
        return FenceRequest(job_id=self._job.job_id, fence=self._job.fence)

    async def _tell(self, method: str, request: Model) -> str:
        return await tell(self._context.owner, self._lease, method, request, self._log)


async def _cancel(task: asyncio.Task[Disposition]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
