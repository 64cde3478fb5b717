"""The factory: from rows behind an API to an uploaded model, through faults, kills and datasets that
change.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dataset_api import DATASET, TOKEN, Peer, serve
from millrace_factory import cli
from millrace_factory.api import ATTEMPTS, PAUSE_MAX_S, DatasetApi
from millrace_factory.errors import ExitCode, FactoryError
from millrace_training.tabular.crowd import FEATURES, draw_rows
from millrace_training.tabular.table import write_table

SCRIPT = Path(__file__).parents[3] / 'ml' / 'crowdmind' / 'scripts' / 'train_and_upload.py'
QUICK = {'training': {'epochs': 4, 'checkpoint_epochs': 1}}
TIMEOUT_S = 120


@pytest.fixture(scope='module')
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('files')
    write_table(folder, FEATURES, 'state', *draw_rows(420, 5))
    return folder


@pytest.fixture
def peer(files: Path) -> Iterator[Peer]:
    peer = Peer((files / 'dataset.csv').read_bytes(), (files / 'schema.json').read_bytes())
    server = serve(peer)
    yield peer
    server.shutdown()
    server.server_close()


def _arguments(peer: Peer, folder: Path, settings: dict[str, Any] | None = None, **changes: str) -> list[str]:
    path = folder / 'train.yaml'
    path.write_text(yaml.safe_dump(QUICK if settings is None else settings))
    options = {
        'dataset-id': DATASET,
        'config': str(path),
        'api-base': peer.origin,
        'token': TOKEN,
        'runs-dir': str(folder / 'runs'),
        **{name.replace('_', '-'): value for name, value in changes.items()},
    }
    return [text for name, value in options.items() for text in (f'--{name}', value)]


def _runs(folder: Path) -> list[Path]:
    return sorted((folder / 'runs').glob('run_*'))


def test_one_command_goes_from_rows_to_an_uploaded_model(
    peer: Peer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(_arguments(peer, tmp_path)) == ExitCode.OK
    [run] = _runs(tmp_path)
    names = {path.relative_to(run).as_posix() for path in run.rglob('*') if path.is_file()}
    assert {
        'data/dataset.csv',
        'data/schema.json',
        'checkpoints/best_model.keras',
        'output/model.tflite',
        'output/meta.json',
        'output/edge_model.c',
        'logs/run.log',
    } <= names
    [upload] = peer.uploads
    assert upload['model.tflite'] == (run / 'output' / 'model.tflite').read_bytes()
    meta = json.loads(upload['meta.json'])
    assert meta['dataset'] == {'id': DATASET, 'hash': hashlib.sha256(peer.rows).hexdigest()}
    assert meta['training']['epochs_run'] == 4
    assert peer.asked == ['health', 'download', 'schema', 'schema', 'models']
    said = capsys.readouterr()
    assert 'epoch 4/4' in said.out and 'uploaded as crowd v1' in said.out
    # The secret is in no file and was not printed.
    texts = [path.read_bytes() for path in run.rglob('*') if path.is_file()]
    assert not any(TOKEN.encode() in text for text in texts)
    assert TOKEN not in said.out + said.err


def test_it_stands_apart_from_the_backend() -> None:
    code = (
        'import sys; import millrace_factory.cli, millrace_factory.pipeline, millrace_training.jobs; '
        'print({name.partition(".")[0] for name in sys.modules} & {"millrace_worker", "nats", "boto3"})'
    )
    source = Path(__file__).parents[1] / 'src'
    environment = {**os.environ, 'PYTHONPATH': str(source)}
    assert subprocess.check_output([sys.executable, '-c', code], env=environment).strip() == b'set()'


def test_faults_that_pass_are_waited_out(peer: Peer, tmp_path: Path) -> None:
    peer.faults = {'health': [503], 'download': ['cut', 503, 'cut'], 'schema': [502], 'models': [503]}
    assert cli.main(_arguments(peer, tmp_path)) == ExitCode.OK
    assert peer.asked.count('download') == 4
    assert len(peer.uploads) == 1
    [run] = _runs(tmp_path)
    assert (run / 'data' / 'dataset.csv').read_bytes() == peer.rows


def test_an_api_that_goes_down_after_the_training_costs_no_second_training(
    peer: Peer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    peer.faults = {'models': [503] * ATTEMPTS}
    assert cli.main(_arguments(peer, tmp_path)) == ExitCode.UNAVAILABLE
    assert 'goes on where this one stopped' in capsys.readouterr().err
    [run] = _runs(tmp_path)
    model = (run / 'output' / 'model.tflite').read_bytes()
    assert cli.main(_arguments(peer, tmp_path)) == ExitCode.OK
    assert _runs(tmp_path) == [run]
    assert peer.uploads[0]['model.tflite'] == model
    assert 'epoch' not in capsys.readouterr().out
    assert peer.asked.count('download') == 1
    # A run that is done is not gone on with.
    assert json.loads((run / 'run.json').read_text())['state'] == 'uploaded'


def test_an_address_where_nobody_answers(peer: Peer, tmp_path: Path) -> None:
    pauses: list[float] = []
    api = DatasetApi('http://127.0.0.1:9', TOKEN, DATASET, pauses.append)
    with pytest.raises(FactoryError, match=f'in {ATTEMPTS} attempts') as caught:
        api.check_health()
    assert caught.value.exit_code == ExitCode.UNAVAILABLE
    assert pauses == [0.5, 1, 2, 4, 8]
    peer.faults = {'health': [429]}
    DatasetApi(peer.origin, TOKEN, DATASET, pauses.append).check_health()
    assert max(pauses) <= PAUSE_MAX_S
    assert cli.main(_arguments(peer, tmp_path, api_base='ftp://somewhere')) == ExitCode.USAGE


def test_a_killed_run_is_gone_on_with_to_the_same_model(peer: Peer, tmp_path: Path) -> None:
    config = {'training': {'epochs': 60, 'patience': 0, 'checkpoint_epochs': 1}}
    for name in ('straight', 'killed'):
        (tmp_path / name).mkdir()
    command = [sys.executable, str(SCRIPT), *_arguments(peer, tmp_path / 'killed', config)]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + TIMEOUT_S
    while not [*(tmp_path / 'killed').glob('runs/run_*/checkpoints/epoch-*')]:
        assert time.monotonic() < deadline and first.poll() is None
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert not peer.uploads
    second = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert second.returncode == 0, second.stderr
    assert 'going on with' in second.stderr and 'resumed after epoch' in second.stdout
    assert peer.asked.count('download') == 1
    # A third process, straight through.
    assert cli.main(_arguments(peer, tmp_path / 'straight', config)) == ExitCode.OK
    resumed, whole = peer.uploads
    assert resumed['model.tflite'] == whole['model.tflite']
    one, other = (json.loads(upload['meta.json']) for upload in (resumed, whole))
    for meta in (one, other):
        del meta['timestamp']
    assert one == other


def test_sigterm_stops_with_its_own_code(peer: Peer, tmp_path: Path) -> None:
    config = {'training': {'epochs': 10_000, 'patience': 0}}
    command = [sys.executable, str(SCRIPT), *_arguments(peer, tmp_path, config)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    for line in process.stdout:
        if line.startswith('epoch 2/'):
            break
    process.terminate()
    _, said = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == ExitCode.STOPPED
    assert 'goes on from the last checkpoint' in said


@pytest.mark.parametrize('etag', ['"version-1"', None])
def test_a_dataset_that_changed_meanwhile_gets_no_model(
    peer: Peer, tmp_path: Path, capsys: pytest.CaptureFixture[str], etag: str | None
) -> None:
    peer.etag = etag
    peer.faults = {'models': [503] * ATTEMPTS}
    assert cli.main(_arguments(peer, tmp_path)) == ExitCode.UNAVAILABLE
    header, *rows = peer.rows.split(b'\r\n')
    peer.change(b'\r\n'.join([header, *rows[7:]]))
    assert cli.main(_arguments(peer, tmp_path)) == ExitCode.DATASET_CHANGED
    assert 'no longer the one that was trained on' in capsys.readouterr().err
    assert not peer.uploads
    # The next command begins anew, with the new rows.
    assert cli.main(_arguments(peer, tmp_path)) == ExitCode.OK
    assert len(_runs(tmp_path)) == 2
    assert (
        json.loads(peer.uploads[0]['meta.json'])['dataset']['hash'] == hashlib.sha256(peer.rows).hexdigest()
    )


def test_rows_that_were_changed_on_disk_are_not_trained_on(peer: Peer, tmp_path: Path) -> None:
    peer.faults = {'models': [503] * ATTEMPTS}
    cli.main(_arguments(peer, tmp_path))
    [run] = _runs(tmp_path)
    state = json.loads((run / 'run.json').read_text())
    (run / 'run.json').write_text(json.dumps({**state, 'state': 'downloaded'}))
    (run / 'data' / 'dataset.csv').write_bytes(peer.rows + b'1,2\r\n')
    assert cli.main(_arguments(peer, tmp_path)) == ExitCode.UNUSABLE_DATA
    assert cli.main([*_arguments(peer, tmp_path), '--fresh']) == ExitCode.OK


@pytest.mark.parametrize(
    ('changes', 'code', 'words'),
    [
        ({'token': 'wrong'}, ExitCode.NO_PERMISSION, 'Check --token'),
        ({'dataset_id': 'other'}, ExitCode.NO_DATASET, 'Check --dataset-id'),
        ({'config': '/nowhere.yaml'}, ExitCode.CONFIGURATION, 'cannot be read'),
    ],
)
def test_what_the_api_refuses(
    peer: Peer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str],
    code: ExitCode,
    words: str,
) -> None:
    assert cli.main(_arguments(peer, tmp_path, **changes)) == code
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ('rows', 'schema', 'code', 'words'),
    [
        (b'a,state\r\n1,x\r\n2,y\r\n', None, ExitCode.UNUSABLE_DATA, 'they lack'),
        (b'a,label\r\n' + b'1,x\r\n' * 40, 'label', ExitCode.UNUSABLE_DATA, 'has 1 class'),
        (b'a,label\r\n' + b'1,x\r\n' * 40 + b'2,y\r\n', 'label', ExitCode.UNUSABLE_DATA, "'y' has 1 rows"),
        (b'a,label\r\n' + b'1,x\r\n2,y\r\n' * 8, 'label', ExitCode.UNUSABLE_DATA, 'calibration takes 100'),
    ],
)
def test_rows_that_cannot_be_trained_on(
    peer: Peer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    rows: bytes,
    schema: str | None,
    code: ExitCode,
    words: str,
) -> None:
    peer.rows = rows
    if schema is not None:
        columns = [{'name': 'a', 'type': 'float64'}, {'name': schema, 'type': 'string'}]
        peer.schema = json.dumps({'columns': columns, 'target': schema}).encode()
    assert cli.main(_arguments(peer, tmp_path)) == code
    assert words in capsys.readouterr().err
    assert not peer.uploads


def test_a_model_over_its_budget_is_not_uploaded(
    peer: Peer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {**QUICK, 'budget': {'model_bytes': 1000}}
    assert cli.main(_arguments(peer, tmp_path, config)) == ExitCode.DOES_NOT_FIT
    assert 'over the budget of 1000' in capsys.readouterr().err
    assert not peer.uploads


def test_missing_arguments_end_with_the_code_of_wrong_usage() -> None:
    ran = subprocess.run([sys.executable, str(SCRIPT), '--dataset-id', 'x'], capture_output=True, text=True)
    assert ran.returncode == ExitCode.USAGE
    assert '--config' in ran.stderr
    helped = subprocess.run([sys.executable, str(SCRIPT), '--help'], capture_output=True, text=True)
    assert '76  dataset changed' in helped.stdout
