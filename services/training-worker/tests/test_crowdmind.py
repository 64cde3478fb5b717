"""The recipe: what it exports, what it refuses before it trains, and that it repeats bit for bit."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Recorder
from millrace_training.edge.int8_model import read_int8, run_int8
from millrace_training.errors import RecipeError, Stopped
from millrace_training.jobs import run_generate, run_training
from millrace_training.recipes.base import Job
from millrace_training.recipes.crowdmind import load
from millrace_training.tabular.fit import best_epoch

QUICK: dict[str, Any] = {'epochs': 6, 'checkpointEpochs': 2}
DIGESTS = ('weightsDigest', 'frozenGraphDigest', 'tfliteDigest')
TIMEOUT_S = 120


def crowd_training(dataset: Path, work: Path, recorder: Recorder | None = None, **changes: Any) -> Any:
    job = Job('crowdmind', dataset, work, changes.pop('resume', None), 'job-1', 'crowd')
    return run_training(job, {**QUICK, **changes}, (recorder or Recorder()).report)


@pytest.fixture(scope='session')
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('crowd') / 'version'
    run_generate('crowdmind', {'samples': 700}, folder, Recorder().report)
    return folder


@pytest.fixture(scope='session')
def crowd_trained(crowd: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out, _, meta = crowd_training(crowd, tmp_path_factory.mktemp('work'))
    return out, meta


def test_meta_has_every_field_that_devices_need(
    crowd: Path, crowd_trained: tuple[Path, dict[str, Any]]
) -> None:
    out, meta = crowd_trained
    found = json.loads((out / 'edge' / 'meta.json').read_text())
    rows = (crowd / 'dataset.csv').read_bytes()
    assert found['version'] == '1.0.0' and found['timestamp'].endswith('+00:00')
    assert found['dataset'] == {'id': 'crowd', 'hash': hashlib.sha256(rows).hexdigest()}
    assert found['features']['count'] == 10 == len(found['features']['preprocessing']['scaler_mean'])
    assert found['labels']['count'] == 7 and found['labels']['mapping']['0'] == 'calm'
    assert found['model']['architecture']['hidden_layers'] == [64, 32]
    metrics = found['model']['metrics']
    assert {'test_accuracy', 'precision', 'recall', 'f1', 'confusion_matrix'} <= metrics.keys()
    assert np.array(metrics['confusion_matrix']).sum() == meta['dataset']['heldout']
    quantisation = found['quantization']
    assert [quantisation[key] for key in ('type', 'input_type', 'output_type')] == ['int8'] * 3
    model = read_int8((out / 'edge' / 'model.tflite').read_bytes())
    assert quantisation['input'] == model.input.to_json()
    assert quantisation['output'] == model.output.to_json()
    for name, digest in found['digests'].items():
        assert hashlib.sha256((out / 'edge' / name).read_bytes()).hexdigest() == digest
    assert found['digests']['model.tflite'] == meta['tfliteDigest']


def test_figures_of_int8_are_those_of_the_whole_test_split(
    crowd: Path, crowd_trained: tuple[Path, dict[str, Any]]
) -> None:
    out, meta = crowd_trained
    from millrace_training.recipes.crowdmind import CrowdMindParams

    data = load(crowd, CrowdMindParams())
    model = read_int8((out / 'edge' / 'model.tflite').read_bytes())
    raw = run_int8(model, model.input.to_int8(data.heldout.features))
    samples = np.load(out / 'samples.npz')
    edge = meta['edge']
    assert len(raw) == edge['samples'] == meta['dataset']['heldout'] == len(samples['inputs'])
    said = raw.argmax(axis=1)
    assert edge['accuracy']['int8'] == pytest.approx((said == data.heldout.labels).mean(), abs=1e-6)
    float_said = samples['outputs'].argmax(axis=1)
    assert edge['agreementWithFloat'] == pytest.approx((said == float_said).mean(), abs=0.02)
    assert edge['accuracy']['float32'] == pytest.approx(meta['accuracy'], abs=1e-6)
    assert (samples['outputs_int8'] == model.output.to_float(raw)).all()
    # Six epochs are enough to be far better than chance, and int8 must not lose it.
    assert edge['accuracy']['float32'] > 0.5
    assert abs(edge['accuracyCost']) < 0.05
    assert edge['microAgreement'] >= 0.98
    assert edge['operators'] == ['FULLY_CONNECTED'] * 3 + ['SOFTMAX']


def test_the_served_model_takes_rows_as_they_came(crowd_trained: tuple[Path, dict[str, Any]]) -> None:
    import tensorflow as tf

    out, _ = crowd_trained
    samples = np.load(out / 'samples.npz')
    served = tf.saved_model.load(str(out / 'saved_model')).signatures['serving_default']
    answers = served(input=tf.constant(samples['inputs']))['output_0'].numpy()
    assert np.abs(answers - samples['outputs']).max() < 1e-6
    assert np.abs(answers.sum(axis=1) - 1).max() < 1e-5
    assert (out / 'labels.txt').read_text().splitlines()[0] == 'calm'


def test_killed_in_the_middle_and_resumed_by_another_process_gives_the_same_bits(
    crowd: Path, crowd_trained: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    _, meta = crowd_trained

    def child(work: Path, resume: Path | None) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, '-m', 'millrace_training.child'],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        command = {
            'type': 'train',
            'jobId': 'j',
            'recipe': 'crowdmind',
            'params': QUICK,
            'datasetDir': str(crowd),
            'workDir': str(work),
            'resumeDir': resume and str(resume),
        }
        assert process.stdin
        process.stdin.write(json.dumps(command).encode() + b'\n')
        process.stdin.flush()
        return process

    first = child(tmp_path / 'first', None)
    assert first.stdout
    checkpoint = next(
        json.loads(line)['dir'] for line in first.stdout if json.loads(line)['type'] == 'checkpoint'
    )
    os.kill(first.pid, signal.SIGKILL)
    assert first.wait(TIMEOUT_S) == -signal.SIGKILL
    kept = tmp_path / 'kept'
    shutil.copytree(checkpoint, kept)
    second = child(tmp_path / 'second', kept)
    assert second.stdin and second.stdout
    events = [json.loads(line) for line in second.stdout]
    second.stdin.close()
    assert second.wait(TIMEOUT_S) == 0
    logs = [event['message'] for event in events if event['type'] == 'log']
    assert 'resumed after epoch 2' in logs
    result = events[-1]
    assert result['type'] == 'result'
    assert {key: result['meta'][key] for key in DIGESTS} == {key: meta[key] for key in DIGESTS}
    assert result['meta']['history'] == meta['history']


def test_another_seed_gives_another_model(
    crowd: Path, crowd_trained: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    _, _, meta = crowd_training(crowd, tmp_path, seed=43, epochs=1)
    assert all(meta[key] != crowd_trained[1][key] for key in DIGESTS)


def test_training_ends_early_and_keeps_the_best_weights(crowd: Path, tmp_path: Path) -> None:
    _, _, meta = crowd_training(crowd, tmp_path, epochs=400, patience=1, learningRate=0.05)
    history = meta['history']
    assert len(history) < 400
    assert best_epoch(history) == len(history) - 2
    # What was exported is the best epoch's model: the same training cut off there exports the same.
    _, _, cut = crowd_training(
        crowd, tmp_path / 'cut', epochs=best_epoch(history) + 1, patience=1, learningRate=0.05
    )
    assert {key: cut[key] for key in DIGESTS} == {key: meta[key] for key in DIGESTS}


def test_a_stop_is_heard_and_a_foreign_checkpoint_is_passed_over(crowd: Path, tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.should_stop = lambda: bool(recorder.of('checkpoint'))
    with pytest.raises(Stopped):
        crowd_training(crowd, tmp_path / 'one', recorder)
    [checkpoint] = recorder.of('checkpoint')
    other = Recorder()
    crowd_training(crowd, tmp_path / 'other', other, resume=Path(checkpoint['dir']), epochs=1)
    assert any('another params' in event['message'] for event in other.of('log'))


@pytest.mark.parametrize(
    ('changes', 'code', 'words'),
    [
        ({'activation': 'gelu'}, 'edge_operator_unsupported', 'no kernel for GELU'),
        ({'activation': 'softplus'}, 'edge_operator_unsupported', 'its kernel EXP does not take the model'),
        ({'budget': {'modelBytes': 1000}}, 'edge_budget_exceeded', r'over the budget of 1000\.'),
        ({'budget': {'arenaBytes': 64}}, 'edge_budget_exceeded', 'The arena needs .* over the budget of 64'),
        ({'calibrationSamples': 10_000}, 'calibration_unusable', 'takes 10000 rows .* has 490'),
        ({'trainRatio': 0.8}, 'invalid_params', 'add up to 1.1 instead of 1'),
        ({'hiddenLayers': []}, 'invalid_params', 'hiddenLayers'),
    ],
)
def test_what_no_device_can_run_is_refused_before_it_is_trained(
    crowd: Path, tmp_path: Path, changes: dict[str, Any], code: str, words: str
) -> None:
    recorder = Recorder()
    with pytest.raises(RecipeError, match=words) as caught:
        crowd_training(crowd, tmp_path, recorder, **changes)
    assert caught.value.code == code
    assert not [event for event in recorder.of('progress') if event['stage'] == 'train']


def test_a_latency_and_an_accuracy_over_budget_fail_after_the_training(crowd: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r'An inference takes .* over the budget') as caught:
        crowd_training(crowd, tmp_path, epochs=1, budget={'latencyMicros': 1e-6})
    assert caught.value.code == 'edge_budget_exceeded'
