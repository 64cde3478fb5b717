"""The commands of `ml/` for the models of VEID: what they leave, what they measure again, how they refuse."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import Recorder
from millrace_training.jobs import run_generate
from millrace_training.keras_file import normalise_keras
from millrace_training.veid.command import PLACES, Place, dataset_of, metrics_main, train_main, write_sums

ROOT = Path(__file__).parents[3]
MODEL = 'liveness_detection'


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('command') / 'data'
    run_generate('veid-liveness', {'samples': 40, 'heldoutSamples': 24}, folder, Recorder().report)
    return folder


@pytest.fixture(scope='module')
def weights(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp('weights')
    arguments = ['--seed', '3', '--export-format', 'savedmodel', '--epochs', '1', '--dataset', str(data)]
    assert train_main(MODEL, [*arguments, '--out', str(out)]) == 0
    return out


def test_training_fills_the_weights_tree(weights: Path) -> None:
    found = {path.name for path in weights.iterdir()}
    assert found >= {
        'liveness_model', 'liveness_model_frozen.pb', 'liveness_model.weights.h5', 'metrics.json',
        'report.json', 'meta.json', 'SHA256SUMS',
    }  # fmt: skip
    assert json.loads((weights / 'metrics.json').read_text())['training_config']['seed'] == 3
    (weights / 'liveness_model.onnx').write_bytes(b'graph')
    write_sums(weights, 'liveness')
    lines = (weights / 'SHA256SUMS').read_text().splitlines()
    assert [line.split('  ')[1] for line in lines] == [
        'liveness_model_frozen.pb', 'liveness_model.weights.h5', 'liveness_model.onnx',
    ]  # fmt: skip


def test_resuming_a_finished_training_exports_the_same_bits(
    weights: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (weights / 'liveness_model_frozen.pb').read_bytes()
    arguments = ['--seed', '3', '--epochs', '1', '--dataset', str(data), '--out', str(weights), '--resume']
    assert train_main(MODEL, arguments) == 0
    assert 'resumed after epoch 1 of 1' in capsys.readouterr().out
    assert (weights / 'liveness_model_frozen.pb').read_bytes() == before
    assert not (weights / 'liveness_model.onnx').exists()


def test_measuring_again_finds_the_same_figures(weights: Path, data: Path) -> None:
    before = json.loads((weights / 'metrics.json').read_text())
    (weights / 'metrics.json').unlink()
    assert metrics_main(['--model', MODEL, '--weights', str(weights), '--dataset', str(data)]) == 0
    again = json.loads((weights / 'metrics.json').read_text())
    assert again['metrics'] == before['metrics']
    assert again.keys() == before.keys()


def test_what_cannot_be_trained_or_measured_is_refused(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_main(MODEL, ['--epochs', '0', '--out', str(tmp_path)]) == 64
    assert train_main(MODEL, ['--dataset', str(tmp_path / 'nowhere'), '--out', str(tmp_path)]) == 1
    assert metrics_main(['--model', MODEL, '--weights', str(tmp_path)]) == 1
    assert 'run train.py first' in capsys.readouterr().out
    # A model is only measured on the split that its training held out.
    assert metrics_main(['--model', MODEL, '--weights', str(weights)]) == 1
    assert 'name it by --dataset' in capsys.readouterr().out


@pytest.mark.parametrize('name', sorted(PLACES))
def test_each_model_has_its_command(name: str) -> None:
    import sys

    command = [sys.executable, str(ROOT / 'ml' / name / 'train.py'), '--help']
    assert '--export-format' in subprocess.check_output(command, text=True)


def test_two_saves_of_one_model_are_equal_files(weights: Path, tmp_path: Path) -> None:
    import keras

    model = keras.models.load_model(weights / 'work' / 'out' / 'model.keras')
    assert model is not None
    copies = [tmp_path / name / 'model.keras' for name in ('one', 'two')]
    for copy in copies:
        copy.parent.mkdir()
        model.save(copy)
        normalise_keras(copy)
    assert copies[0].read_bytes() == copies[1].read_bytes()
    assert keras.models.load_model(copies[0]) is not None
    shutil.rmtree(copies[0].parent)


def test_the_deterministic_requirements_are_the_lock_of_the_worker() -> None:
    file = ROOT / 'ml' / 'requirements-deterministic.txt'
    included = [line.removeprefix('-r ') for line in file.read_text().splitlines() if line.startswith('-r ')]
    assert '--require-hashes' in file.read_text().splitlines()
    [lock] = [(file.parent / name).resolve() for name in included]
    assert lock == ROOT / 'services' / 'training-worker' / 'requirements.txt'


def test_a_dataset_that_was_left_half_way_is_made_again(tmp_path: Path) -> None:
    place = Place('veid-liveness', 'liveness', {}, {'samples': 40, 'heldoutSamples': 24})
    folder = dataset_of(place, tmp_path, None, True, Recorder().report)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name in ('manifest.json', 'heldout.npz'):
        (folder / name).unlink()
    assert dataset_of(place, tmp_path, None, True, Recorder().report) == folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
