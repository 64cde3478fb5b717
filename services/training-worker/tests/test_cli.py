"""The stand-alone commands, and what they print."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from millrace_training.cli import DEFAULT_OUT, main
from millrace_training.errors import RecipeError
from millrace_training.progress import Console
from millrace_training.runtime import lock_file, reexec_if_needed
from millrace_training.submit import read_connection

ROOT = Path(__file__).parents[3]
Capture = pytest.CaptureFixture[str]


def _event(**fields: Any) -> dict[str, Any]:
    event = {
        'type': 'progress',
        'stage': 'train',
        'step': 5,
        'totalSteps': 10,
        'epoch': 1,
        'epochs': 2,
        'metrics': {},
    }
    return {**event, **fields}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_one_bar_and_a_line_per_epoch() -> None:
    stream = Terminal()
    console = Console(stream)
    console.emit(_event(metrics={'loss': 0.5}))
    console.emit(_event(step=6, metrics={'loss': 0.4}))
    console.emit(_event(metrics={'loss': 0.4, 'valLoss': 0.3}))
    console.emit({'type': 'checkpoint', 'step': 1, 'dir': 'x'})
    text = stream.getvalue()
    assert text.count('\n') == 1
    assert '[############............]  50%  epoch 1/2  loss 0.500' in text
    assert text.endswith('\r\x1b[Kepoch 1/2  loss 0.400  val loss 0.300  0.0 s\n')


def test_a_log_gets_plain_lines_only_where_something_ended() -> None:
    stream = io.StringIO()
    console = Console(stream)
    console.emit(_event(stage='load'))
    console.emit(_event(stage='load'))
    console.emit(_event(metrics={'loss': 0.5}))
    console.emit(_event(metrics={'valLoss': 0.3}))
    console.emit({'type': 'log', 'level': 'info', 'message': 'hello'})
    lines = stream.getvalue().splitlines()
    assert [line.split('  ')[0] for line in lines] == ['load', 'epoch 1/2', 'hello']


def test_a_model_from_nothing_and_its_status(tmp_path: Path, capsys: Capture, dataset: Path) -> None:
    assert main(['status', '--out', str(tmp_path)]) == 0
    assert 'No model yet' in capsys.readouterr().out
    (tmp_path / 'model.onnx').write_text('of an earlier model')
    (tmp_path / 'saved_model').mkdir()
    arguments = [
        '--epochs',
        '1',
        '--samples',
        '40',
        '--seed',
        '5',
        '--batch-size',
        '16',
        '--learning-rate',
        '0.01',
    ]
    command = ['train', *arguments, '--out', str(tmp_path), '--dataset', str(dataset), '--export-onnx']
    assert main(command) == 0
    text = capsys.readouterr().out
    assert f'SavedModel exported to {tmp_path / "saved_model"}' in text
    assert f'Metadata saved to {tmp_path / "meta.json"}' in text
    assert 'ONNX export skipped' in text
    assert not (tmp_path / 'model.onnx').exists()
    meta = json.loads((tmp_path / 'meta.json').read_text())
    assert (meta['params']['learningRate'], meta['jobId']) == (0.01, 'local')
    assert main(['status', '--out', str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert meta['weightsDigest'] in text
    assert 'last checkpoint: epoch-00001' in text
    assert main([*command, '--resume']) == 0
    text = capsys.readouterr().out
    assert 'resumed after epoch 1 of 1' in text
    assert json.loads((tmp_path / 'meta.json').read_text())['weightsDigest'] == meta['weightsDigest']


def test_a_dataset_is_made(tmp_path: Path, capsys: Capture) -> None:
    arguments = ['generate', '--samples', '20', '--heldout-samples', '20', '--out', str(tmp_path / 'data')]
    assert main(arguments) == 0
    assert '5 files' in capsys.readouterr().out
    manifest = json.loads((tmp_path / 'data' / 'manifest.json').read_text())
    assert manifest['generator']['params']['heldoutSamples'] == 20


def test_failures_say_what_to_do(tmp_path: Path, capsys: Capture) -> None:
    assert main(['train', '--epochs', '0', '--out', str(tmp_path)]) == 64
    assert 'invalid_params' in capsys.readouterr().out
    assert main(['train', '--dataset', str(tmp_path / 'none'), '--out', str(tmp_path / 'out')]) == 1
    assert 'generate or upload one first' in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(['train', '--recipe', 'nothing'])


def test_a_training_makes_its_dataset_and_stops_on_ctrl_c(tmp_path: Path) -> None:
    script = ROOT / 'ml' / 'train' / 'train_model.py'
    bare = {name: value for name, value in os.environ.items() if name != 'PYTHONHASHSEED'}
    process = subprocess.Popen(
        [sys.executable, str(script), '--samples', '20', '--out', str(tmp_path), '--epochs', '200'],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=bare,
    )
    assert process.stdout
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith('epoch 2/200'):
            process.send_signal(signal.SIGINT)
    assert process.wait(30) == 75
    assert lines[-1] == 'stopped; go on from the last checkpoint with --resume\n'
    [folder] = (tmp_path / 'datasets').iterdir()
    assert json.loads((folder / 'manifest.json').read_text())['generator']['params']['samples'] == 20
    assert not (tmp_path / 'meta.json').exists()


def test_without_a_platform_submitting_says_how_to_start_one(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('MILLRACE_HOME', str(tmp_path))
    assert main(['train', '--platform']) == 1
    assert 'npm run up' in capsys.readouterr().out
    (tmp_path / 'connection.json').write_text('{"gateway": "http://127.0.0.1:9", "token": "x"}')
    assert read_connection()['token'] == 'x'  # noqa: S105
    assert main(['train', '--platform']) == 1
    assert 'does not answer' in capsys.readouterr().out


def test_settings_cannot_be_mended_once_tensorflow_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    reexec_if_needed()
    monkeypatch.setenv('TF_DETERMINISTIC_OPS', '0')
    with pytest.raises(RecipeError, match='TF_DETERMINISTIC_OPS'):
        reexec_if_needed()


def test_results_lie_where_the_repository_ignores_them() -> None:
    assert ROOT / 'ml' / 'train' / 'models' == DEFAULT_OUT
    assert lock_file().name == 'requirements.txt'
