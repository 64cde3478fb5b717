"""Checkpoints: copied aside when the child makes one, uploaded and told to the owner while it goes on."""

import asyncio
import contextlib
import os
import shutil
from pathlib import Path

from millrace_worker.contracts.models import Checkpoint, CheckpointFile, CheckpointRequest, FenceReply
from millrace_worker.errors import MillraceError
from millrace_worker.lease import Interrupt, Lease
from millrace_worker.log import Logger
from millrace_worker.owner import Owner
from millrace_worker.paths import refuse_links, safe_join
from millrace_worker.storage import ObjectStore, digest_of

# Checkpoints that wait for their upload; with more, the oldest is skipped: only the last one matters.
MAX_WAITING = 2
MAX_FILES = 256


class Checkpoints:
    """Uploads the checkpoints of one attempt in order."""

    def __init__(self, lease: Lease, owner: Owner, store: ObjectStore, folder: Path, log: Logger) -> None:
        self._lease = lease
        self._owner = owner
        self._store = store
        self._folder = folder
        self._log = log
        self._waiting: asyncio.Queue[tuple[int, Path]] = asyncio.Queue()
        self._task = asyncio.create_task(self._upload_all())

    def offer(self, step: int, source: Path) -> None:
        """Takes a checkpoint; its files are linked, so that the child may remove its own names."""
        staged = self._folder / f"step-{step}"
        shutil.rmtree(staged, ignore_errors=True)
        shutil.copytree(source, staged, copy_function=_link)
        while self._waiting.qsize() >= MAX_WAITING:
            skipped, folder = self._waiting.get_nowait()
            self._waiting.task_done()
            shutil.rmtree(folder, ignore_errors=True)
            self._log.warning("a checkpoint was skipped: its upload came too late", step=skipped)
        self._waiting.put_nowait((step, staged))

    async def flush(self, timeout_s: float) -> bool:
        """Waits until everything offered is uploaded; False when that takes longer than `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._waiting.join()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _upload_all(self) -> None:
        while True:
            step, folder = await self._waiting.get()
            try:
                await self._upload(step, folder)
            except (MillraceError, OSError) as error:
                # training goes on; what is lost is only the work since the last checkpoint
                self._log.warning("a checkpoint was not stored", step=step, error=str(error))
            finally:
                self._waiting.task_done()
                shutil.rmtree(folder, ignore_errors=True)

    async def _upload(self, step: int, folder: Path) -> None:
        job = self._lease.job
        prefix = f"{job.checkpoint_prefix.rstrip('/')}/step-{step}/"
        paths = sorted(path for path in folder.rglob("*") if not path.is_dir())
        if not 0 < len(paths) <= MAX_FILES:
            raise MillraceError(
                "training_failed", f"A checkpoint has {len(paths)} files; 1 to {MAX_FILES} can be."
            )
        files: list[CheckpointFile] = []
        for path in paths:
            refuse_links(folder, path)
            name = path.relative_to(folder).as_posix()
            sha256, size = await asyncio.to_thread(digest_of, path)
            await self._store.upload(prefix + name, path, sha256, size)
            files.append(CheckpointFile(path=name, key=prefix + name, sha256=sha256, size_bytes=size))
        request = CheckpointRequest(job_id=job.job_id, fence=job.fence, step=step, files=files)
        async with self._lease.calls:
            outcome = (await self._owner.call("checkpoint", request, FenceReply)).outcome
        self._log.info("checkpoint stored", step=step, files=len(files), outcome=outcome)
        if self._lease.is_finishing:
            return
        if outcome == "fenced":
            self._lease.interrupt(Interrupt.FENCED)
        elif outcome == "cancel":
            self._lease.interrupt(Interrupt.CANCELLED)


async def fetch_checkpoint(checkpoint: Checkpoint, store: ObjectStore, folder: Path, lease: Lease) -> None:
    """Downloads an accepted checkpoint into `folder`, each file checked by its digest."""
    for file in checkpoint.files:
        target = safe_join(folder, file.path)
        await store.download(file.key, file.sha256, file.size_bytes, target, lambda _: lease.touch())


def _link(source: str, target: str) -> str:
    os.link(source, target, follow_symlinks=False)
    return target
