"""The child process: its lines, its exit statuses, its bound of memory, and how it stops."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Bench
from local_http import LocalHttp, body_of

START_TIMEOUT_S = 60


class Child:
    """A real child process and the events it writes."""

    def __init__(self, operator: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'millrace_analysis.child'],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, 'MILLRACE_SOURCES_FILE': str(operator), 'ARROW_DEFAULT_MEMORY_POOL': 'system'},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        assert self.event()['type'] == 'ready'

    def event(self) -> dict[str, Any]:
        return json.loads(self.stdout.readline())

    def send(self, bench: Bench, source: dict[str, Any] | None = None, **options: Any) -> None:
        spec = bench.spec(source, **options).model_dump(mode='json', by_alias=True, exclude_none=True)
        work = str(bench.root / 'work')
        command = {'type': 'ingest', 'jobId': 'j', 'spec': spec, 'inputDir': work, 'workDir': work}
        self.stdin.write(json.dumps(command).encode() + b'\n')
        self.stdin.flush()

    def rest(self) -> list[dict[str, Any]]:
        """All further events, up to the end of the process."""
        events = [json.loads(line) for line in self.stdout]
        self.process.wait(START_TIMEOUT_S)
        return events


@pytest.fixture
def operator(bench: Bench) -> Path:
    path = bench.root / 'sources.json'
    path.write_text(
        json.dumps(
            {
                'folders': [str(bench.data)],
                'networks': ['127.0.0.1/32'],
                'limits': {'memoryBytesMax': 512 << 20, 'requestSecondsMax': 30},
            }
        )
    )
    return path


@pytest.fixture
def child(operator: Path) -> Iterator[Child]:
    started = Child(operator)
    yield started
    started.process.kill()
    started.process.wait()


def test_a_job_from_ready_to_result(child: Child, bench: Bench) -> None:
    bench.write('a.csv', 'x,y\n' + ''.join(f'{row},{"ab"[row % 2]}\n' for row in range(100)))
    child.send(bench, target='y')
    *before, result = child.rest()
    assert child.process.returncode == 0
    stages = [event['stage'] for event in before if event['type'] == 'progress']
    assert stages == ['fetch', 'read', 'profile', 'check', 'write']
    assert [file['path'] for file in result['files']] == [
        'dataset.json',
        'quality.html',
        'quality.json',
        'schema.json',
        'test.arrow',
        'train.arrow',
        'validation.arrow',
    ]
    assert (
        result['meta']['splits'] == {'train': 70, 'validation': 16, 'test': 14}
        or sum(result['meta']['splits'].values()) == 100
    )


def test_an_error_has_its_code_and_the_exit_status_one(child: Child, bench: Bench) -> None:
    bench.write('a.csv', 'x,y\n1\n')
    child.send(bench)
    error = child.rest()[-1]
    assert (error['type'], error['code'], child.process.returncode) == ('error', 'malformed_data', 1)


def test_a_bomb_that_only_shows_in_memory_ends_the_child_alone(child: Child, bench: Bench) -> None:
    # One text of 1 MiB, named by 4,096 rows: 1 MiB on disk and in the file's own figures, 4 GiB as a column.
    words = pa.DictionaryArray.from_arrays(pa.array([0] * 4_096, pa.int32()), pa.array(['y' * (1 << 20)]))
    pq.write_table(pa.table({'x': words}), bench.data / 'a.parquet')
    child.send(bench)
    error = child.rest()[-1]
    assert (error['type'], error['code']) == ('error', 'ingest_limit_exceeded')


def test_a_command_that_is_not_understood(child: Child) -> None:
    child.stdin.write(b'{"type": "ingest", "spec": {}}\n')
    child.stdin.flush()
    error = child.rest()[-1]
    assert (error['code'], child.process.returncode) == ('invalid_request', 1)
    assert 'jobId' in error['message']


def test_sigterm_ends_it_also_while_a_source_is_silent(child: Child, bench: Bench) -> None:
    import threading

    asked, release = threading.Event(), threading.Event()

    def silent(handler: Any, query: Any) -> None:
        asked.set()
        release.wait(60)
        body_of(b'x\n1\n')(handler, query)

    with LocalHttp({'/slow.csv': silent}) as server:
        child.send(bench, {'type': 'http', 'url': f'{server.origin}/slow.csv'})
        assert asked.wait(60)
        child.process.send_signal(signal.SIGTERM)
        events = child.rest()
        release.set()
    assert events[-1] == {'type': 'stopped'}
    assert child.process.returncode == 75


def test_it_ends_when_its_parent_is_gone(child: Child) -> None:
    child.stdin.close()
    child.process.wait(START_TIMEOUT_S)
    assert child.process.returncode == 0


def test_a_file_of_the_operator_that_is_wrong_is_told_without_its_keys(operator: Path) -> None:
    operator.write_text('{"credentials": {"a": {"type": "s3", "secretAccessKey": 12345678, "no": 1}}}')
    ended = subprocess.run(
        [sys.executable, '-m', 'millrace_analysis.worker'],
        env={**os.environ, 'MILLRACE_SOURCES_FILE': str(operator)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 78
    assert 'MILLRACE_SOURCES_FILE' in ended.stderr
    assert '12345678' not in ended.stderr
