"""The three models of VEID, trained tiny: the same bits in every process, and forms that answer alike."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from conftest import Recorder
from millrace_training.jobs import run_generate, run_training
from millrace_training.recipes.base import Job
from millrace_training.runtime import determinism, training_environment
from millrace_training.veid.command import PLACES, publish

TIMEOUT_S = 240
ROOT = Path(__file__).parents[3]
DATA: dict[str, dict[str, Any]] = {
    'veid-face': {'identities': 20, 'heldoutIdentities': 6, 'views': 4},
    'veid-liveness': {'samples': 64, 'heldoutSamples': 24},
    'veid-ocr': {'samples': 64, 'heldoutSamples': 16},
}
RECIPES = sorted(DATA)
PARAMS = {'epochs': 3, 'batchSize': 16, 'filters': 8, 'seed': 5, 'baselines': False}
REPEATING = (
    'model.keras',
    'frozen_graph.pb',
    'model.weights.h5',
    'samples.npz',
    'examples.json',
    'examples.u8',
)
NEVER_REPEATING = ('saved_model/saved_model.pb', 'saved_model/fingerprint.pb')


@dataclass(frozen=True)
class Made:
    """A dataset and a training of it that nobody disturbed."""

    dataset: Path
    out: Path
    meta: dict[str, Any]
    digests: dict[str, str]


@pytest.fixture(scope='module')
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    found: dict[str, Made] = {}
    for name in RECIPES:
        folder = tmp_path_factory.mktemp(name)
        run_generate(name, DATA[name], folder / 'data', Recorder().report)
        job = Job(name, folder / 'data', folder / 'work', None, 'job')
        # Only this one has the baselines: they are about the data and decide nothing about the model.
        out, files, meta = run_training(job, {**PARAMS, 'baselines': True}, Recorder().report)
        digests = {entry['path']: entry['sha256'] for entry in files}
        found[name] = Made(folder / 'data', out, meta, digests)
    return found


def _start(jobs: list[dict[str, Any]]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name('veid_runs.py')), json.dumps(jobs, default=str)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **training_environment()},
    )


def test_killed_in_the_middle_and_resumed_elsewhere_every_model_has_the_same_bits(
    made: dict[str, Made], tmp_path: Path
) -> None:
    def job(name: str, place: str, resume: Path | None) -> dict[str, Any]:
        return {
            'recipe': name,
            'dataset': made[name].dataset,
            'work': tmp_path / f'{name}-{place}',
            'resume': resume,
            'params': {**PARAMS, 'baselines': True},
        }

    results: dict[str, dict[str, Any]] = {}
    left: Path | None = None
    # Each process resumes the model that the one before it was killed in, then starts the next one.
    for number, name in enumerate([*RECIPES, None]):
        jobs = [job(RECIPES[number - 1], 'second', left)] if number else []
        jobs += [job(name, 'first', None)] if name else []
        process = _start(jobs)
        assert process.stdout
        for line in process.stdout:
            event = json.loads(line)
            if event['type'] == 'result':
                results[event['recipe']] = event
            elif event['recipe'] == name and event['step'] == 2:
                process.kill()
                left = shutil.copytree(event['dir'], tmp_path / f'kept-{name}')
        process.wait(TIMEOUT_S)
        assert process.returncode == (-9 if name else 0)
    for name in RECIPES:
        straight, resumed = made[name], results[name]
        assert resumed['meta']['weightsDigest'] == straight.meta['weightsDigest']
        assert resumed['meta']['frozenGraphDigest'] == straight.meta['frozenGraphDigest']
        assert resumed['meta']['history'] == straight.meta['history']
        assert {file: resumed['files'][file] for file in REPEATING} == {
            file: straight.digests[file] for file in REPEATING
        }
        # The form that is left out of a model's identity is left out for a reason.
        for file in NEVER_REPEATING:
            assert resumed['files'][file] != straight.digests[file]


@pytest.mark.parametrize('name', RECIPES)
def test_every_form_scores_pictures_alike_and_not_with_zeros(made: dict[str, Made], name: str) -> None:
    out = made[name].out
    with np.load(out / 'samples.npz', allow_pickle=False) as archive:
        inputs, outputs = archive['inputs'], archive['outputs']
    images = tf.constant(inputs, tf.float32)
    served = tf.saved_model.load(str(out / 'saved_model')).signatures['serving_default']
    answer = served(input=images)['output_0'].numpy()
    np.testing.assert_allclose(answer, outputs, atol=1e-5)
    assert np.all(answer > 0)
    assert np.ptp(answer) > 0
    graph = tf.compat.v1.GraphDef.FromString((out / 'frozen_graph.pb').read_bytes())
    wrapped = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=''), [])
    ends = [wrapped.graph.get_tensor_by_name(f'{end}:0') for end in ('input', 'output_0')]
    np.testing.assert_allclose(wrapped.prune(*ends)(images), outputs, atol=1e-5)


@pytest.mark.parametrize('name', RECIPES)
def test_metrics_have_every_field_that_validators_compare(made: dict[str, Made], name: str) -> None:
    metrics = json.loads((made[name].out / 'metrics.json').read_text())
    assert metrics.keys() == {
        'model_name', 'version', 'training_date', 'framework', 'framework_version', 'metrics',
        'inference_latency_ms', 'training_config', 'dataset', 'determinism',
    }  # fmt: skip
    assert metrics['metrics'].keys() == {'accuracy', 'precision', 'recall', 'f1_score', 'auc_roc'}
    assert metrics['metrics']['accuracy'] == made[name].meta['accuracy']
    assert all(0 <= value <= 1 for value in metrics['metrics'].values())
    latency = metrics['inference_latency_ms']
    assert 0 < latency['p50'] <= latency['p95'] <= latency['p99']
    assert metrics['training_config'] == {
        'epochs': 3, 'batch_size': 16, 'learning_rate': metrics['training_config']['learning_rate'],
        'optimizer': 'adam', 'seed': 5,
    }  # fmt: skip
    counts = made[name].meta['dataset']
    assert metrics['dataset'] == {
        'train_samples': counts['train'],
        'validation_samples': counts['validation'],
        'test_samples': counts['heldout'],
    }
    assert metrics['determinism']['tf_deterministic_ops'] is True
    assert metrics['determinism']['cpu_only'] is True
    assert metrics['determinism']['random_seed'] == 5
    report = json.loads((made[name].out / 'report.json').read_text())
    assert report['baselines']['chance'] <= 0.6
    assert [point['level'] for point in report['evaluation']['corruption']] == [0, 1, 2, 3, 4]
    assert report['evaluation']['corruption'][0]['accuracy'] == metrics['metrics']['accuracy']


@pytest.mark.parametrize('name', RECIPES)
def test_meta_states_all_that_decides_about_the_bits(made: dict[str, Made], name: str) -> None:
    meta = made[name].meta
    assert meta['determinism'] == determinism(5, True)
    pinned = training_environment()
    assert meta['determinism']['environment'] == dict(sorted(pinned.items()))
    assert str(meta['determinism']['threads']['openmp']) == pinned['OMP_NUM_THREADS']
    assert {'cpu', 'features', 'classDigest', 'threads'} <= meta['machine'].keys()
    assert len(meta['environment']['sha256']) == len(meta['dataset']['contentDigest']) == 64


def test_the_weights_tree_is_checked_by_sha256sum(made: dict[str, Made], tmp_path: Path) -> None:
    place = PLACES['liveness_detection']
    publish(made['veid-liveness'].out, tmp_path, place.short)
    assert (tmp_path / 'liveness_model' / 'saved_model.pb').is_file()
    frozen = tmp_path / 'liveness_model_frozen.pb'
    assert hashlib.sha256(frozen.read_bytes()).hexdigest() == made['veid-liveness'].meta['frozenGraphDigest']

    def check() -> int:
        command = ['sha256sum', '--check', '--strict', '--quiet', 'SHA256SUMS']
        return subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode

    assert check() == 0
    frozen.write_bytes(frozen.read_bytes()[:-1] + b'x')
    assert check() == 1


def test_a_c_program_scores_by_the_library_in_the_wheel(made: dict[str, Made], tmp_path: Path) -> None:
    compiler = shutil.which('cc')
    if compiler is None:
        pytest.skip('there is no C compiler here')
    package, program = Path(tf.__file__).parent, tmp_path / 'score'
    libraries = ['-l:libtensorflow_cc.so.2', '-l:libtensorflow_framework.so.2', f'-Wl,-rpath,{package}']
    source = [str(ROOT / 'ml' / 'native' / 'score.c'), f'-I{package / "include"}', f'-L{package}']
    flags = ['-O2', '-Wall', '-Wextra', '-Werror', '-o', str(program)]
    subprocess.run([compiler, *flags, *source, *libraries], check=True)
    out = made['veid-liveness'].out
    with np.load(out / 'samples.npz', allow_pickle=False) as archive:
        (tmp_path / 'picture.u8').write_bytes(archive['inputs'][0].tobytes())
        expected = archive['outputs'][0]

    def score(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(program), *arguments], capture_output=True, text=True, check=False)

    for form, path in (('saved-model', 'saved_model'), ('frozen-graph', 'frozen_graph.pb')):
        done = score(form, str(out / path), str(tmp_path / 'picture.u8'), '64', '64', '3')
        assert done.returncode == 0, done.stderr
        np.testing.assert_allclose([float(line) for line in done.stdout.split()], expected, atol=1e-5)
    wrong = score('frozen-graph', str(out / 'frozen_graph.pb'), str(tmp_path / 'picture.u8'), '64', '64')
    assert (wrong.returncode, 'as many bytes' in wrong.stderr) == (64, True)
    absent = score('frozen-graph', str(out / 'nothing.pb'), str(tmp_path / 'picture.u8'), '64', '64', '3')
    assert (absent.returncode, 'cannot be opened' in absent.stderr) == (1, True)
