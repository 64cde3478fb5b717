"""Keeps one child with its imports done, so that a job starts at once."""

import asyncio
import contextlib
from collections.abc import Mapping

from millrace_worker.child import Child, spawn_child
from millrace_worker.log import Logger

# The next child imports its framework for several seconds on all cores. Right after a job the next step of a
# pipeline wants those cores on the same machine, so the import waits; a job that comes sooner starts it.
RESPAWN_DELAY_S = 5.0
# After a child that died before it was used: a broken environment must not start processes in a tight loop.
FAILURE_DELAY_FIRST_S = 1.0
FAILURE_DELAY_MAX_S = 60.0
STOP_GRACE_S = 1.0


class ChildPool:
    """One idle child, made before it is needed and replaced after the job that took it."""

    def __init__(
        self,
        module: str,
        environment: Mapping[str, str],
        log: Logger,
        respawn_delay_s: float = RESPAWN_DELAY_S,
        idle_s: float | None = None,
    ) -> None:
        """`idle_s` None keeps a child always; else `warm` makes one, which ends when unused for so long."""
        self._module = module
        self._environment = environment
        self._log = log
        self._respawn_delay_s = respawn_delay_s
        self._idle_s = idle_s
        self._expiry: asyncio.TimerHandle | None = None
        self._expiring: asyncio.Task[None] | None = None
        self._idle: Child | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.devices: list[str] = []

    def start(self) -> None:
        if self._idle_s is None:
            self._keep(0.0)

    def warm(self) -> None:
        """A job is expected: makes the idle child if there is none; else keeps it a while longer."""
        if self._idle_s is None:
            return
        self._cancel_expiry()
        self._expiry = asyncio.get_running_loop().call_later(self._idle_s, self._expire)
        if self._idle is None:
            self._keep(0.0)

    async def take(self) -> Child:
        """The idle child, or a new one when there is none; the caller ends it and then calls `replenish`."""
        self._cancel_expiry()
        await self._stop_keeper()
        child, self._idle = self._idle, None
        if child is not None and child.exit_code is None:
            return child
        return await spawn_child(self._module, self._environment, self._log)

    async def take_light(self, environment: Mapping[str, str]) -> Child:
        """A fresh child for work that needs no framework; the idle one stays for the next job that does."""
        return await spawn_child(self._module, {**self._environment, **environment}, self._log)

    def replenish(self) -> None:
        """Makes the next idle child a little later, if there is none."""
        if self._idle is None and self._idle_s is None:
            self._keep(self._respawn_delay_s)

    async def close(self) -> None:
        self._cancel_expiry()
        if self._expiring is not None:
            await self._expiring
        await self._end_idle()

    def _cancel_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def _expire(self) -> None:
        self._log.info("no job came; the idle child gives its memory back")
        self._expiring = asyncio.create_task(self._end_idle())

    async def _end_idle(self) -> None:
        await self._stop_keeper()
        child, self._idle = self._idle, None
        if child is not None:
            await child.stop(STOP_GRACE_S)

    def _keep(self, delay_s: float) -> None:
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._keep_one(delay_s))

    async def _stop_keeper(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await self._keeper
            self._keeper = None

    async def _keep_one(self, delay_s: float) -> None:
        failure_delay_s = FAILURE_DELAY_FIRST_S
        while True:
            await asyncio.sleep(delay_s)
            await self._spawn_idle()
            # nobody else reads its events while it is idle, and `ready` is the only one it sends
            child = self._idle
            while child is not None and await self._watch(child):
                pass
            self._idle = None
            delay_s = failure_delay_s
            failure_delay_s = min(failure_delay_s * 2, FAILURE_DELAY_MAX_S)

    async def _spawn_idle(self) -> None:
        spawning = asyncio.create_task(spawn_child(self._module, self._environment, self._log))
        try:
            self._idle = await asyncio.shield(spawning)
        except asyncio.CancelledError:
            # a job came in this moment; it takes the child that is being made
            self._idle = await spawning
            raise

    async def _watch(self, child: Child) -> bool:
        event = await child.next_event()
        if event is None:
            code = await child.exited()
            tail = list(child.stderr_tail)[-5:]
            self._log.error("the idle child ended by itself", exitCode=code, stderr=tail)
            await child.kill()
            return False
        if child.ready is not None:
            self.devices = child.ready.devices
            self._log.info("idle child ready", importSeconds=round(child.ready.import_seconds, 2))
        return True
