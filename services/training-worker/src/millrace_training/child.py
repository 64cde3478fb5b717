"""`python -m millrace_training.child`: an idle process with its framework loaded that does one job and ends.

It reads one command, a JSON object on one line of stdin, and writes events, one JSON object a line, to the
file descriptor MILLRACE_CHILD_FD (default: stdout; everything else that prints goes to stderr).

Commands: `{"type":"train","jobId","recipe","params","datasetDir","workDir","resumeDir"}` and
`{"type":"generate","recipe","params","outDir"}`.
Events: ready, progress, log, checkpoint, result, stopped, error. Exit codes: 0 after result (or when stdin
ends before a command), 1 after error, 75 after stopped (SIGTERM; resume from the last checkpoint).

Stdin must stay open: its end means that the parent is gone, and the child ends too.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, cast

from . import runtime
from .errors import RecipeError, Stopped
from .events import Reporter

EXIT_OK = 0
EXIT_ERROR = 1
EXIT_STOPPED = 75
EXIT_ORPHANED = 76

STOP_GRACE_S = 4.0
"""After SIGTERM: a batch that takes longer than this is not waited for; the last checkpoint holds."""

MAX_COMMAND_BYTES = 1 << 20
"""A longer command line is refused."""


class Wire:
    """The event stream to the parent; lines never mix, whichever thread writes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def emit(self, event: dict[str, Any]) -> None:
        """Write one event; a parent that no longer reads ends the process."""
        line = json.dumps(event, ensure_ascii=False, allow_nan=False).encode() + b'\n'
        with self._lock:
            try:
                while line:
                    line = line[os.write(self._descriptor, line) :]
            except (BrokenPipeError, ConnectionResetError):
                os._exit(EXIT_ORPHANED)


def _open_wire() -> Wire:
    """Take over the event descriptor and send everything else that prints to stderr."""
    text = os.environ.get('MILLRACE_CHILD_FD', '')
    if text and not text.isdigit():
        raise SystemExit(f'MILLRACE_CHILD_FD is {text!r}; set the number of an open file descriptor.')
    descriptor = os.dup(int(text) if text else 1)
    os.dup2(2, 1)
    return Wire(descriptor)


class StopSignal:
    """Turns SIGTERM into a request to stop, and enforces it after STOP_GRACE_S."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._requested = threading.Event()
        self._busy = False

    def install(self) -> None:
        """Handle SIGTERM from now on."""
        signal.signal(signal.SIGTERM, self._on_signal)

    def begin_job(self) -> None:
        """From now on a stop waits for the batch in work."""
        self._busy = True

    def requested(self) -> bool:
        """Whether the job should end at the next chance."""
        return self._requested.is_set()

    def finish(self) -> None:
        """Say that the job stopped, and end the process."""
        self._wire.emit({'type': 'stopped'})
        os._exit(EXIT_STOPPED)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._requested.set()
        # A thread of its own: this one may hold the wire's lock right now.
        timer = threading.Timer(STOP_GRACE_S if self._busy else 0.0, self.finish)
        timer.daemon = True
        timer.start()


def _watch_parent() -> None:
    """End the process when stdin ends; extra lines are ignored."""
    while os.read(0, 4096):
        pass
    os._exit(EXIT_ORPHANED)


def _read_command() -> dict[str, Any] | None:
    """The command line as an object, None at the end of stdin; raises `invalid_command`."""
    received = bytearray()
    while b'\n' not in received:
        part = os.read(0, 1 << 16)
        if not part:
            return None
        received += part
        if len(received) > MAX_COMMAND_BYTES:
            raise RecipeError('invalid_command', f'The command is longer than {MAX_COMMAND_BYTES} bytes.')
    try:
        # What may follow the first line means nothing, here as later.
        command = json.loads(received.partition(b'\n')[0])
    except ValueError as error:
        raise RecipeError('invalid_command', f'The command is not JSON: {error}.') from error
    if not isinstance(command, dict):
        raise RecipeError('invalid_command', 'The command is not a JSON object.')
    return cast('dict[str, Any]', command)


def _field(command: dict[str, Any], name: str, kind: type, *, optional: bool = False) -> Any:
    value = command.get(name)
    if value is None and optional:
        return None
    if not isinstance(value, kind):
        raise RecipeError('invalid_command', f'The command needs {name} as {kind.__name__}.')
    return value


def run_command(command: dict[str, Any], report: Reporter) -> dict[str, Any]:
    """Do the job and return its result event; raises RecipeError and Stopped."""
    from .jobs import run_generate, run_training
    from .recipes.base import Job

    kind = command.get('type')
    if kind == 'generate':
        folder = Path(_field(command, 'outDir', str))
        files, meta = run_generate(
            _field(command, 'recipe', str), _field(command, 'params', dict), folder, report
        )
    elif kind == 'train':
        resume = _field(command, 'resumeDir', str, optional=True)
        job = Job(
            _field(command, 'recipe', str),
            Path(_field(command, 'datasetDir', str)),
            Path(_field(command, 'workDir', str)),
            Path(resume) if resume else None,
            _field(command, 'jobId', str),
            _field(command, 'datasetId', str, optional=True) or '',
        )
        folder, files, meta = run_training(job, _field(command, 'params', dict), report)
    else:
        raise RecipeError('invalid_command', f'The command {kind!r} is not known; send train or generate.')
    return {'type': 'result', 'outDir': str(folder), 'files': files, 'meta': meta}


def _get_ready(wire: Wire) -> None:
    """Load the framework, unless MILLRACE_CHILD_LIGHT says that the job will need none."""
    if os.environ.get('MILLRACE_CHILD_LIGHT') == '1':
        wire.emit({'type': 'ready', 'importSeconds': 0.0, 'devices': []})
        return
    # A wrong setting is said now, not seconds later.
    runtime.threads_from_env()
    from millrace_worker.memory import release_program_code

    from .jobs import framework_module

    framework = framework_module(runtime.installed_framework())
    devices = framework.configure()
    release_program_code()
    wire.emit({'type': 'ready', 'importSeconds': framework.IMPORT_SECONDS, 'devices': devices})


def _error_event(error: BaseException) -> dict[str, Any]:
    if isinstance(error, RecipeError):
        return {'type': 'error', 'code': error.code, 'message': error.message, 'retryable': error.retryable}
    if isinstance(error, MemoryError) or type(error).__name__ == 'ResourceExhaustedError':
        text = 'The training ran out of memory; lower batchSize or samples, or use a larger worker.'
        return {'type': 'error', 'code': 'training_failed', 'message': text, 'retryable': True}
    if isinstance(error, OSError):
        text = f'The worker could not read or write a file: {error.strerror}.'
        return {'type': 'error', 'code': 'training_failed', 'message': text, 'retryable': True}
    text = f'The training raised {type(error).__name__}: {error}'
    return {'type': 'error', 'code': 'training_failed', 'message': text, 'retryable': False}


def main() -> int:
    """Load the framework, wait for the command, do it; returns the exit code."""
    runtime.die_with_parent()
    runtime.reexec_if_needed()
    wire = _open_wire()
    stop = StopSignal(wire)
    stop.install()
    report = Reporter(wire.emit, stop.requested)
    try:
        _get_ready(wire)
        command = _read_command()
        if command is None:
            return EXIT_OK
        stop.begin_job()
        threading.Thread(target=_watch_parent, name='watch-parent', daemon=True).start()
        wire.emit(run_command(command, report))
        return EXIT_OK
    except Stopped:
        wire.emit({'type': 'stopped'})
        return EXIT_STOPPED
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        wire.emit(_error_event(error))
        return EXIT_ERROR


if __name__ == '__main__':
    code = main()
    sys.stderr.flush()
    # Without the interpreter's clean-up: TensorFlow's takes seconds, and everything is on disk.
    os._exit(code)
