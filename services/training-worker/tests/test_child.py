"""The child process: its lines, its exit codes, its stops, and that it never outlives its parent."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import PARAMS, Trained

TIMEOUT_S = 90
LIGHT = {'MILLRACE_CHILD_LIGHT': '1'}


class Child:
    """A real child process and the events it writes."""

    def __init__(self, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'millrace_training.child'],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
        )
        assert self.process.stdin and self.process.stdout and self.process.stderr
        self.stdin, self.stdout, self.stderr = self.process.stdin, self.process.stdout, self.process.stderr

    def event(self) -> dict[str, Any]:
        return json.loads(self.stdout.readline())

    def until(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Reads on to an event of this kind with these fields."""
        while True:
            event = self.event()
            if event['type'] == kind and fields.items() <= event.items():
                return event

    def send(self, **command: Any) -> None:
        self.raw(json.dumps(command, default=str).encode() + b'\n')

    def raw(self, data: bytes) -> None:
        self.stdin.write(data)
        self.stdin.flush()

    def rest(self) -> list[dict[str, Any]]:
        """All further events, up to the end of the process."""
        events = [json.loads(line) for line in self.stdout]
        self.process.wait(TIMEOUT_S)
        return events

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.stdin, self.stdout, self.stderr):
            with contextlib.suppress(BrokenPipeError):
                stream.close()


@pytest.fixture
def light() -> Iterator[Child]:
    child = Child(**LIGHT)
    yield child
    child.end()


def _train(dataset: Path, work: Path, resume: Path | None = None, **changes: Any) -> dict[str, Any]:
    return {
        'type': 'train',
        'jobId': 'job-1',
        'recipe': 'verichain',
        'params': {**PARAMS, **changes},
        'datasetDir': str(dataset),
        'datasetDigest': 'of the platform',
        'workDir': str(work),
        'resumeDir': resume and str(resume),
    }


def test_killed_after_an_epoch_and_resumed_elsewhere_gives_the_same_model(
    dataset: Path, trained: Trained, tmp_path: Path
) -> None:
    # Started without its settings, as by hand: it must mend that itself before TensorFlow loads.
    bare = dict.fromkeys(('PYTHONHASHSEED', 'TF_DETERMINISTIC_OPS', 'TF_ENABLE_ONEDNN_OPTS'), '')
    first, second = Child(**bare), Child()
    try:
        ready = first.event()
        assert (ready['type'], ready['devices']) == ('ready', ['CPU:0'])
        assert ready['importSeconds'] > 0
        first.send(**_train(dataset, tmp_path / 'first'))
        checkpoint = Path(first.until('checkpoint', step=1)['dir'])
        first.process.kill()
        assert second.event()['type'] == 'ready'
        second.send(**_train(dataset, tmp_path / 'second', checkpoint))
        *events, result = second.rest()
        assert second.process.returncode == 0
        assert [event['step'] for event in events if event['type'] == 'checkpoint'] == [2]
        assert result['meta']['weightsDigest'] == trained.meta['weightsDigest']
        assert result['meta']['frozenGraphDigest'] == trained.meta['frozenGraphDigest']
        assert result['outDir'] == str(tmp_path / 'second' / 'out')
        names = {entry['path'] for entry in result['files']}
        assert names == {entry['path'] for entry in trained.files}
    finally:
        first.end()
        second.end()


def test_sigterm_stops_a_training_soon_and_keeps_its_checkpoint(dataset: Path, tmp_path: Path) -> None:
    child = Child()
    try:
        child.until('ready')
        child.send(**_train(dataset, tmp_path, epochs=200))
        checkpoint = Path(child.until('checkpoint', step=1)['dir'])
        asked = time.monotonic()
        child.process.send_signal(signal.SIGTERM)
        events = child.rest()
        assert time.monotonic() - asked < 5
        assert child.process.returncode == 75
        assert events[-1] == {'type': 'stopped'}
        assert (checkpoint / 'state.npz').exists()
    finally:
        child.end()


def test_a_generator_needs_no_tensorflow(light: Child, tmp_path: Path) -> None:
    assert light.event() == {'type': 'ready', 'importSeconds': 0.0, 'devices': []}
    params = {'samples': 20, 'heldoutSamples': 20}
    light.send(type='generate', jobId='j', recipe='verichain', params=params, outDir=tmp_path / 'out')
    # Extra lines mean nothing, and the open stdin keeps the child alive.
    light.raw(b'{"type":"checkpointAccepted"}\n')
    *events, result = light.rest()
    assert light.process.returncode == 0
    assert [entry['path'] for entry in result['files']] == [
        'heldout.npz',
        'manifest.json',
        'schema.json',
        'train.npz',
        'validation.npz',
    ]
    assert result['meta']['counts']['train']['real'] == 8
    progress = [event for event in events if event['type'] == 'progress']
    assert progress[-1]['step'] == progress[-1]['totalSteps'] == 20


def test_sigterm_before_any_command_ends_the_child(light: Child) -> None:
    light.event()
    light.process.send_signal(signal.SIGTERM)
    assert light.rest() == [{'type': 'stopped'}]
    assert light.process.returncode == 75


def test_the_end_of_stdin_before_a_command_is_no_failure(light: Child) -> None:
    light.event()
    light.stdin.close()
    assert light.rest() == []
    assert light.process.returncode == 0


def test_the_end_of_stdin_during_a_job_ends_it(light: Child, tmp_path: Path) -> None:
    light.event()
    params = {'samples': 4_000, 'heldoutSamples': 20}
    light.send(type='generate', recipe='verichain', params=params, outDir=tmp_path)
    light.until('progress')
    light.stdin.close()
    light.rest()
    assert light.process.returncode == 76


def test_nobody_listening_ends_the_job(light: Child, tmp_path: Path) -> None:
    light.event()
    light.stdout.close()
    params = {'samples': 4_000, 'heldoutSamples': 20}
    light.send(type='generate', recipe='verichain', params=params, outDir=tmp_path)
    assert light.process.wait(TIMEOUT_S) == 76


@pytest.mark.parametrize(
    ('line', 'code', 'words'),
    [
        (b'not json\n', 'invalid_command', 'not JSON'),
        (b'[1]\n', 'invalid_command', 'not a JSON object'),
        (b'x' * (1 << 20) + b'xx\n', 'invalid_command', 'longer than'),
        (b'{"type":"bake"}\n', 'invalid_command', "'bake' is not known"),
        (b'{"type":"generate","recipe":"verichain","params":{}}\n', 'invalid_command', 'needs outDir as str'),
        (b'{"type":"generate","recipe":"x","params":{},"outDir":"/tmp/x"}\n', 'unknown_recipe', 'known are'),
        (
            b'{"type":"generate","recipe":"verichain","params":{"samples":1},"outDir":"/tmp/x"}\n',
            'invalid_params',
            'samples',
        ),
        (
            b'{"type":"train","jobId":"j","recipe":"verichain","params":{},"datasetDir":"/nowhere","workDir":"/tmp"}\n',
            'dataset_unusable',
            'empty',
        ),
        (
            b'{"type":"generate","recipe":"verichain","params":{},"outDir":"/proc/x"}\n',
            'training_failed',
            'could not read or write',
        ),
    ],
)
def test_bad_commands_get_an_error_event(light: Child, line: bytes, code: str, words: str) -> None:
    light.event()
    with contextlib.suppress(BrokenPipeError):
        light.raw(line)
    *_, error = light.rest()
    assert (error['type'], error['code']) == ('error', code)
    assert words in error['message']
    assert light.process.returncode == 1


def test_events_go_to_the_named_descriptor() -> None:
    read_end, write_end = os.pipe()
    process = subprocess.Popen(
        [sys.executable, '-m', 'millrace_training.child'],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        pass_fds=(write_end,),
        env={**os.environ, **LIGHT, 'MILLRACE_CHILD_FD': str(write_end)},
    )
    os.close(write_end)
    with os.fdopen(read_end) as events:
        assert json.loads(events.readline())['type'] == 'ready'
    assert process.communicate(timeout=TIMEOUT_S) == (b'', None)


def test_a_descriptor_that_is_no_number_is_named() -> None:
    child = Child(**LIGHT, MILLRACE_CHILD_FD='x')
    try:
        assert child.rest() == []
        assert child.process.returncode == 1
        assert b'MILLRACE_CHILD_FD' in child.stderr.read()
    finally:
        child.end()


def test_threads_that_are_no_number_are_named() -> None:
    child = Child(MILLRACE_TRAIN_INTRA_THREADS='many')
    try:
        [error] = child.rest()
        assert error['code'] == 'environment_unusable'
        assert 'MILLRACE_TRAIN_INTRA_THREADS' in error['message']
    finally:
        child.end()


def test_the_child_dies_with_its_parent() -> None:
    # The grandchild's stdin is held open by this test, so only the kernel's signal can end it.
    read_end, write_end = os.pipe()
    code = (
        'import subprocess, sys, time\n'
        f'child = subprocess.Popen([sys.executable, "-m", "millrace_training.child"], stdin={read_end},'
        ' stdout=subprocess.PIPE)\n'
        'child.stdout.readline()\n'
        'print(child.pid, flush=True)\n'
        'time.sleep(60)\n'
    )
    parent = subprocess.Popen(
        [sys.executable, '-c', code],
        stdout=subprocess.PIPE,
        pass_fds=(read_end,),
        env={**os.environ, **LIGHT},
    )
    assert parent.stdout
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    assert psutil.wait_procs([child], timeout=5)[1] == []
    os.close(read_end)
    os.close(write_end)
    parent.stdout.close()
