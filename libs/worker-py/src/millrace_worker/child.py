"""The child process that does a job: spawned ahead of time, told one command, listened to, and ended."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import deque
from collections.abc import Mapping
from typing import Any

from millrace_worker.child_events import Event, Ready, parse_event
from millrace_worker.log import Logger

STDERR_TAIL_LINES = 50
MAX_STDERR_LINE_CHARACTERS = 2_000
# A result names every file and carries the measurements of a job.
MAX_EVENT_BYTES = 16 << 20
# Events that wait to be handled; beyond it the child waits.
MAX_WAITING_EVENTS = 1_000
REAP_TIMEOUT_S = 5.0

# The child gets no other variable of the parent: it needs no address and no key.
PASSED_ON = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "XLA_FLAGS", "COVERAGE_PROCESS_START",
)  # fmt: skip


class Child:
    """One running child; `next_event` gives what it says, None when it has ended."""

    def __init__(self, process: asyncio.subprocess.Process, log: Logger) -> None:
        self._process = process
        self._log = log.bind(childPid=process.pid)
        self._events: asyncio.Queue[Event | None] = asyncio.Queue(MAX_WAITING_EVENTS)
        self._ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
        self.stderr_tail: deque[str] = deque(maxlen=STDERR_TAIL_LINES)
        self._readers = [asyncio.create_task(self._read_events()), asyncio.create_task(self._read_stderr())]

    @property
    def exit_code(self) -> int | None:
        return self._process.returncode

    @property
    def ready(self) -> Ready | None:
        """What the child said when its imports were done."""
        return self._ready.result() if self._ready.done() else None

    async def send(self, command: dict[str, Any]) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(json.dumps(command, allow_nan=False).encode() + b"\n")
        # a child that died is noticed by the end of its events
        with contextlib.suppress(ConnectionError):
            await stdin.drain()

    async def next_event(self) -> Event | None:
        return await self._events.get()

    def interrupt(self) -> None:
        """Asks the child to stop soon (SIGTERM)."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    async def stop(self, grace_s: float) -> None:
        """SIGTERM, then SIGKILL after `grace_s`; events are thrown away meanwhile."""
        drain = asyncio.create_task(self._throw_away())
        try:
            self.interrupt()
            async with asyncio.timeout(grace_s):
                await self._process.wait()
        except TimeoutError:
            self._log.warning("the child did not stop in time and is killed", graceSeconds=grace_s)
        finally:
            await self.kill()
            drain.cancel()

    async def kill(self) -> None:
        """Ends the child and all it started, and reaps it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for reader in self._readers:
            reader.cancel()
        stdin = self._process.stdin
        if stdin is not None:
            stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REAP_TIMEOUT_S):
                await self._process.wait()

    async def exited(self) -> int:
        """Waits for the end; the exit code, negative for a signal."""
        code = await self._process.wait()
        await asyncio.wait(self._readers, timeout=1.0)
        return code

    async def _throw_away(self) -> None:
        while await self._events.get() is not None:
            pass

    async def _read_events(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        try:
            while line := await stdout.readline():
                await self._take(line)
        except ValueError:
            self._log.error("the child wrote a line over the bound", boundBytes=MAX_EVENT_BYTES)
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self._events.put(None)

    async def _take(self, line: bytes) -> None:
        try:
            event = parse_event(line)
        except ValueError:
            self._log.warning(
                "the child wrote a line that is no event", line=line[:500].decode(errors="replace")
            )
            return
        if isinstance(event, Ready) and not self._ready.done():
            self._ready.set_result(event)
        await self._events.put(event)

    async def _read_stderr(self) -> None:
        stderr = self._process.stderr
        assert stderr is not None
        while True:
            try:
                line = await stderr.readline()
            except ValueError:
                continue
            if not line:
                return
            text = line.decode(errors="replace").rstrip()[:MAX_STDERR_LINE_CHARACTERS]
            self.stderr_tail.append(text)
            self._log.debug(text, stream="stderr")


async def spawn_child(module: str, environment: Mapping[str, str], log: Logger) -> Child:
    """Starts `python -m <module>` in a session of its own, so that all it starts can be ended with it."""
    inherited = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**inherited, **environment}, start_new_session=True, limit=MAX_EVENT_BYTES,
    )  # fmt: skip
    return Child(process, log)
