"""`python -m millrace_analysis.child`: a process that does one ingestion and ends.

It reads one command, a JSON object on one line of stdin, `{"type":"ingest","jobId","spec","inputDir",
"workDir"}`, and writes events, one JSON object a line, to the file descriptor MILLRACE_CHILD_FD (default:
stdout; everything else that prints goes to stderr): ready, progress, then result, error or stopped. Exit
codes: 0 after result, 1 after error, 75 after stopped. It ends when stdin ends: its parent is gone then.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from millrace_worker.contracts.models import SourceIngestSpec
from millrace_worker.storage import digest_of
from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import IngestError, Stopped
from .ingest import STAGES, run_ingest
from .operator_file import OperatorFile, read_operator_file

EXIT_OK = 0
EXIT_ERROR = 1
EXIT_STOPPED = 75
COMMAND_BYTES_MAX = 4 << 20
PROGRESS_INTERVAL_S = 0.5
STOP_GRACE_S = 3.0
_PR_SET_PDEATHSIG = 1


class IngestCommand(BaseModel):
    """What the parent asks for; the folders are on this machine."""

    model_config = ConfigDict(extra='forbid')

    type: str
    jobId: str
    spec: SourceIngestSpec
    inputDir: Path
    workDir: Path


class Events:
    """Writes events as JSON lines, each in one go."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()

    def emit(self, kind: str, **fields: Any) -> None:
        """Writes one event."""
        data = json.dumps({'type': kind, **fields}, allow_nan=False).encode() + b'\n'
        with self._lock:
            while data:
                data = data[os.write(self._fd, data) :]


class Progress:
    """Tells how far the ingestion is, and ends it when it was asked to stop."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._last = 0.0
        self._stage = ''
        self.is_stopping = False

    def tell(self, stage: str, done: int) -> None:
        """Raises Stopped."""
        if self.is_stopping:
            raise Stopped
        now = time.monotonic()
        if stage == self._stage and now - self._last < PROGRESS_INTERVAL_S:
            return
        self._last, self._stage = now, stage
        unit = 'bytes' if stage == 'fetch' else 'rows'
        number = STAGES.index(stage)
        self._events.emit(
            'progress', stage=stage, step=number, totalSteps=len(STAGES), metrics={unit: float(done)}
        )


def read_command(line: bytes) -> IngestCommand:
    """Parses the parent's line; `invalid_command` naming the fields that are wrong."""
    try:
        return IngestCommand.model_validate_json(line)
    except ValidationError as error:
        faults = '; '.join(
            f'{".".join(str(part) for part in fault["loc"])}: {fault["msg"]}' for fault in error.errors()
        )
        raise IngestError('invalid_request', f'The ingestion is not understood: {faults}') from error


def bound_memory(limit: int) -> None:
    """Lets the kernel refuse private memory over the bound: the child fails alone, with its reason."""
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def ingest(command: IngestCommand, operator: OperatorFile, events: Events, progress: Progress) -> None:
    """Does the ingestion and emits its result; raises IngestError and Stopped."""
    done = run_ingest(command.spec, command.inputDir, command.workDir, operator, progress.tell)
    files: list[dict[str, Any]] = []
    for path in sorted(done.folder.iterdir()):
        sha256, size = digest_of(path)
        files.append({'path': path.name, 'sha256': sha256, 'sizeBytes': size})
    events.emit('result', outDir=str(done.folder), files=files, meta=done.meta)


def failure(error: BaseException, memory_max: int) -> IngestError:
    """Any failure as one with a code."""
    if isinstance(error, IngestError):
        return error
    if isinstance(error, MemoryError):
        return IngestError('ingest_limit_exceeded', f'The data need more than memoryBytesMax = {memory_max}.')
    if isinstance(error, OSError):
        return IngestError(
            'internal', f'The worker could not read or write a file: {error.strerror}.', retryable=True
        )
    return IngestError('internal', f'The ingestion raised {type(error).__name__}: {error}')


def run(events: Events) -> int:
    """The life of the child; returns the exit status."""
    progress = Progress(events)

    def on_signal(_number: int, _frame: object) -> None:
        progress.is_stopping = True
        # Whoever waits for a slow source does not look at the flag.
        timer = threading.Timer(STOP_GRACE_S, lambda: (events.emit('stopped'), os._exit(EXIT_STOPPED)))
        timer.daemon = True
        timer.start()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    operator = read_operator_file()
    events.emit('ready', importSeconds=0.0, devices=['cpu'])
    line = sys.stdin.buffer.readline(COMMAND_BYTES_MAX)
    if not line:
        return EXIT_OK
    threading.Thread(target=_watch_stdin, daemon=True).start()
    bound_memory(operator.limits.memoryBytesMax)
    try:
        ingest(read_command(line), operator, events, progress)
        return EXIT_OK
    except Stopped:
        events.emit('stopped')
        return EXIT_STOPPED
    except Exception as error:
        traceback.print_exc()
        known = failure(error, operator.limits.memoryBytesMax)
        events.emit('error', code=known.code, message=known.message, retryable=known.retryable)
        return EXIT_ERROR


def _watch_stdin() -> None:
    while os.read(0, 4096):
        pass
    os._exit(EXIT_ERROR)


def _take_event_fd() -> int:
    named = os.environ.get('MILLRACE_CHILD_FD')
    fd = int(named) if named else os.dup(1)
    os.set_inheritable(fd, False)
    os.dup2(2, 1)
    return fd


def _die_with_parent() -> None:
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(EXIT_ERROR)


def main() -> None:
    """Entry point of `python -m millrace_analysis.child`."""
    _die_with_parent()
    status = run(Events(_take_event_fd()))
    sys.stderr.flush()
    os._exit(status)


if __name__ == '__main__':
    main()
