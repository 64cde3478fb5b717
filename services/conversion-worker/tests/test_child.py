"""The child process: its lines, its exit statuses, and that it never outlives its parent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from millrace_conversion.child import ConvertCommand, Events, convert, read_command
from millrace_conversion.errors import ConversionError

Job = Callable[[str], Path]
START_TIMEOUT_S = 60


class Child:
    """A real child process and the events it writes."""

    def __init__(self) -> None:
        command = [sys.executable, '-m', 'millrace_conversion.child']
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    def event(self) -> dict[str, Any]:
        return json.loads(self.stdout.readline())

    def send(self, **command: Any) -> None:
        self.stdin.write(json.dumps(command, default=str).encode() + b'\n')
        self.stdin.flush()

    def rest(self) -> list[dict[str, Any]]:
        """All further events, up to the end of the process."""
        events = [json.loads(line) for line in self.stdout]
        self.process.wait(START_TIMEOUT_S)
        return events


@pytest.fixture
def child() -> Iterator[Child]:
    started = Child()
    yield started
    started.process.kill()
    started.process.wait()


def test_a_job_from_ready_to_result(child: Child, job: Job, tmp_path: Path) -> None:
    ready = child.event()
    assert ready['type'] == 'ready'
    assert ready['tools']['onnxruntime'] == '1.30.0'
    child.send(
        type='convert',
        jobId='j1',
        sourceDir=job('augmented'),
        outDir=tmp_path / 'out',
        opset=17,
        tolerance=1e-5,
    )
    *before, result = child.rest()
    assert child.process.returncode == 0
    assert [event['stage'] for event in before if event['type'] == 'progress'] == [
        'load',
        'convert',
        'check',
        'parity',
        'measure',
        'done',
    ]
    assert any('random_flip' in event['message'] for event in before if event['type'] == 'log')
    assert [file['path'] for file in result['files']] == ['conversion.json', 'model.onnx']
    assert result['meta']['digests']['model.onnx'] == result['files'][1]['sha256']


def test_a_failure_is_one_error_event_with_its_code(child: Child, tmp_path: Path) -> None:
    child.send(type='convert', jobId='j1', sourceDir=tmp_path, outDir=tmp_path / 'out')
    error = child.rest()[-1]
    assert (error['type'], error['code'], error['retryable']) == ('error', 'conversion_failed', False)
    assert child.process.returncode == 1


def test_sigterm_stops_at_once(child: Child) -> None:
    child.event()
    before = time.monotonic()
    child.process.send_signal(signal.SIGTERM)
    assert child.rest() == [{'type': 'stopped'}]
    assert child.process.returncode == 75
    assert time.monotonic() - before < 5


def test_the_end_of_stdin_ends_an_idle_child(child: Child) -> None:
    child.event()
    child.stdin.close()
    child.process.wait(START_TIMEOUT_S)
    assert child.process.returncode == 0


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    """The parent holds the child's stdin open elsewhere, so only the death signal can end it."""
    pid_file = tmp_path / 'pid'
    script = (
        'import os, subprocess, sys, time\n'
        'read, write = os.pipe()\n'
        'child = subprocess.Popen([sys.executable, "-m", "millrace_conversion.child"],'
        ' stdin=read, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)\n'
        'child.stdout.readline()\n'
        f'open({str(pid_file)!r}, "w").write(str(child.pid))\n'
        'time.sleep(600)\n'
    )
    parent = subprocess.Popen([sys.executable, '-c', script])
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (pid_file.exists() and pid_file.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        pid = int(pid_file.read_text())
        assert psutil.pid_exists(pid)
    finally:
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 5
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, 'the child outlived its parent'
        time.sleep(0.05)


@pytest.mark.parametrize(
    ('line', 'fault'),
    [
        (b'not json\n', 'Invalid JSON'),
        (b'{"type":"train","jobId":"j","sourceDir":"/a","outDir":"/b"}', 'type'),
        (b'{"type":"convert","jobId":"j","sourceDir":"/a"}', 'outDir'),
        (b'{"type":"convert","jobId":"j","sourceDir":"/a","outDir":"/b","shell":"x"}', 'shell'),
        (b'{"type":"convert","jobId":"j","sourceDir":"/a","outDir":"/b","tolerance":0}', 'tolerance'),
    ],
)
def test_a_command_that_is_not_understood_names_its_fault(line: bytes, fault: str) -> None:
    with pytest.raises(ConversionError, match=fault) as caught:
        read_command(line)
    assert caught.value.code == 'invalid_command'


def test_events_are_whole_lines() -> None:
    read, write = os.pipe()
    Events(write).emit('log', level='info', message='a\nb')
    assert json.loads(os.read(read, 4096)) == {'type': 'log', 'level': 'info', 'message': 'a\nb'}


def test_the_result_names_every_file_that_was_written(job: Job, tmp_path: Path) -> None:
    read, write = os.pipe()
    command = ConvertCommand(type='convert', jobId='j1', sourceDir=job('plain'), outDir=tmp_path / 'out')
    convert(command, Events(write))
    os.close(write)
    with os.fdopen(read, 'rb') as lines:
        result = json.loads(lines.readlines()[-1])
    written = {path.name: path.stat().st_size for path in (tmp_path / 'out').iterdir()}
    assert {file['path']: file['sizeBytes'] for file in result['files']} == written
    assert result['meta']['strippedLayers'] == []
