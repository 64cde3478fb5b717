"""The idle conversion process: imports everything once, then converts one model that its parent names.

JSON lines. In, on stdin, one command:
`{"type":"convert","jobId","sourceDir","outDir","format"?,"opset"?,"tag"?,"signature"?,"tolerance"?,"graph"?,
"quantization"?}`.
Out, on the file descriptor MILLRACE_CHILD_FD (default: what stdout was at the start; fds 1 and 2 then both
go to stderr, so that no library's print can break a line): `ready`, `progress`, `log`, then one of
`result`, `error`, `stopped`. Exit status 0, 1 or 75. It ends when its parent ends: by PDEATHSIG on Linux,
else by the end of stdin.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from millrace_worker.memory import release_program_code
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .convert import OPSET_DEFAULT, SIGNATURE_DEFAULT, TAG_DEFAULT
from .digests import list_files
from .errors import ConversionError
from .graph_request import GraphRequest
from .parity import TOLERANCE_DEFAULT
from .quantisation_request import QuantisationRequest
from .report import Options, run_conversion
from .runtime import load, load_all
from .sources import SourceFormat

EXIT_OK = 0
EXIT_ERROR = 1
EXIT_STOPPED = 75
COMMAND_BYTES_MAX = 1 << 20
_PR_SET_PDEATHSIG = 1
_STAGES = ('load', 'convert', 'check', 'parity', 'measure')


class ConvertCommand(BaseModel):
    """What the parent asks for; paths are folders on this machine."""

    model_config = ConfigDict(extra='forbid')

    type: str = Field(pattern='^convert$')
    jobId: str = Field(min_length=1, max_length=128)
    sourceDir: Path
    outDir: Path
    format: SourceFormat = 'saved_model'
    opset: int = OPSET_DEFAULT
    tag: str = Field(TAG_DEFAULT, min_length=1, max_length=64)
    signature: str = Field(SIGNATURE_DEFAULT, min_length=1, max_length=64)
    tolerance: float = Field(TOLERANCE_DEFAULT, gt=0, le=1)
    graph: GraphRequest = Field(default_factory=GraphRequest)
    quantization: QuantisationRequest | None = None


class Events:
    """Writes events as JSON lines; safe to call from several threads and from a signal handler."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def emit(self, kind: str, **fields: Any) -> None:
        """Writes one event in one go."""
        data = json.dumps({'type': kind, **fields}, separators=(',', ':'), allow_nan=False).encode() + b'\n'
        while data:
            data = data[os.write(self._fd, data) :]


def take_event_fd() -> int:
    """The descriptor for events; afterwards stdout goes where stderr goes."""
    named = os.environ.get('MILLRACE_CHILD_FD')
    fd = int(named) if named else os.dup(1)
    os.set_inheritable(fd, False)
    os.dup2(2, 1)
    return fd


def die_with_parent() -> None:
    """Asks Linux to kill this process when its parent ends, also by SIGKILL."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(EXIT_ERROR)


def read_command(line: bytes) -> ConvertCommand:
    """Parses the parent's line; `invalid_command` naming the fields that are wrong."""
    try:
        return ConvertCommand.model_validate_json(line)
    except ValidationError as error:
        faults = '; '.join(
            f'{".".join(str(part) for part in fault["loc"]) or "line"}: {fault["msg"]}'
            for fault in error.errors()
        )
        raise ConversionError('invalid_command', f'The command is not understood: {faults}') from error


def convert(command: ConvertCommand, events: Events) -> None:
    """Runs the command and emits its `result`; raises ConversionError."""

    def progress(stage: str) -> None:
        step = _STAGES.index(stage)
        events.emit('progress', stage=stage, step=step, totalSteps=len(_STAGES), metrics={})

    options = Options(
        command.opset,
        command.tag,
        command.signature,
        command.tolerance,
        command.format,
        command.graph.build_options(),
        command.graph.hiddenLayers,
        command.quantization,
    )
    report = run_conversion(command.sourceDir, command.outDir, options, progress)
    for layer in report['strippedLayers']:
        events.emit('log', level='info', message=f'Took out augmentation layer {layer}.')
    metrics = {
        'maxAbsDiff': report['parity']['maxAbsDiff'],
        'meanAbsDiff': report['parity']['meanAbsDiff'],
        'latencyMsP50': report['latencyMsP50'],
    }
    events.emit('progress', stage='done', step=len(_STAGES), totalSteps=len(_STAGES), metrics=metrics)
    events.emit('result', outDir=str(command.outDir), files=list_files(command.outDir), meta=report)


def _watch_stdin(fd: int) -> None:
    while os.read(fd, 4096):
        pass
    os._exit(EXIT_ERROR)


def _stop(events: Events) -> NoReturn:
    events.emit('stopped')
    os._exit(EXIT_STOPPED)


def run(events: Events) -> int:
    """The life of the child: import, `ready`, one command, its end. Returns the exit status."""

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        # Nothing of a conversion is worth keeping half done, so it stops where it is.
        threading.Thread(target=_stop, args=(events,), daemon=True).start()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    started = time.monotonic()
    versions = load_all()
    load('tf2onnx.convert')
    release_program_code()
    events.emit('ready', importSeconds=round(time.monotonic() - started, 3), devices=['cpu'], tools=versions)
    line = sys.stdin.buffer.readline(COMMAND_BYTES_MAX)
    if not line:
        return EXIT_OK
    threading.Thread(target=_watch_stdin, args=(sys.stdin.fileno(),), daemon=True).start()
    try:
        convert(read_command(line), events)
        return EXIT_OK
    except ConversionError as error:
        events.emit('error', code=error.code, message=error.message, retryable=error.retryable)
    except Exception as error:
        traceback.print_exc()
        events.emit(
            'error', code='conversion_failed', message=f'{type(error).__name__}: {error}', retryable=False
        )
    return EXIT_ERROR


def main() -> None:
    """Entry point of `python -m millrace_conversion.child`."""
    die_with_parent()
    status = run(Events(take_event_fd()))
    sys.stderr.flush()
    # TensorFlow's threads take up to a second to end; nothing is left to flush.
    os._exit(status)


if __name__ == '__main__':
    main()
