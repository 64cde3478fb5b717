"""The training: it learns, it repeats, and nothing that happens to its process changes a bit of the
result.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from conftest import PARAMS, Recorder, Train, Trained
from millrace_training.errors import RecipeError, Stopped
from millrace_training.pytorch.augmentation import AugmentationOptions, augment
from millrace_training.spectra.files import read_dataset


def _events(text: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_it_learns_and_tells_of_every_epoch(trained: Trained) -> None:
    history = trained.meta['history']
    assert len(history) == 3
    assert history[-1]['valLoss'] < history[0]['valLoss'] < math.log(15) * 1.2
    assert trained.meta['accuracy'] > 0.15
    epochs = [event for event in trained.recorder.of('progress') if 'valLoss' in event['metrics']]
    assert [event['epoch'] for event in epochs] == [1, 2, 3]
    last = trained.recorder.of('progress')[-1]
    assert last['step'] == last['totalSteps']


def test_the_same_job_gives_the_same_bytes(train: Train, trained: Trained) -> None:
    assert train().digests() == trained.digests()


def _child(dataset: Path, work: Path, resume: Path | None, **changes: Any) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, '-m', 'millrace_training.child'], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    command = {
        'type': 'train', 'jobId': 'job-1', 'recipe': 'isotope', 'params': {**PARAMS, **changes},
        'datasetDir': str(dataset), 'workDir': str(work), 'resumeDir': resume and str(resume),
    }  # fmt: skip
    assert process.stdin
    process.stdin.write(json.dumps(command).encode() + b'\n')
    process.stdin.flush()
    return process


@pytest.mark.parametrize('architecture', ['mlp', 'cnn1d'])
def test_killed_inside_an_epoch_and_resumed_by_another_process_it_gives_the_same_bytes(
    dataset: Path, trained: Trained, train: Train, tmp_path: Path, architecture: str
) -> None:
    changes = {} if architecture == 'mlp' else {'architecture': architecture, 'epochs': 2}
    expected = trained if architecture == 'mlp' else train(**changes)
    first = _child(dataset, tmp_path / 'first', None, **changes)
    assert first.stdout
    checkpoint: dict[str, Any] = {}
    for line in first.stdout:
        event = json.loads(line)
        # The second checkpoint inside the second epoch: 15 batches an epoch, one checkpoint every 4.
        if event['type'] == 'checkpoint' and event['step'] == 23:
            checkpoint = event
            first.send_signal(signal.SIGKILL)
            break
    first.communicate()
    assert first.returncode == -signal.SIGKILL
    second = _child(dataset, tmp_path / 'second', Path(checkpoint['dir']), **changes)
    assert second.stdout
    events = [json.loads(line) for line in iter(second.stdout.readline, b'')]
    second.communicate()
    assert second.returncode == 0
    assert any(event['type'] == 'log' and 'batch 8' in event['message'] for event in events)
    steps = [event['step'] for event in events if event['type'] == 'checkpoint']
    assert min(steps) > 23
    result = events[-1]
    digests = {entry['path']: entry['sha256'] for entry in result['files'] if entry['path'] != 'meta.json'}
    assert digests == expected.digests()
    assert result['meta']['weightsDigest'] == expected.meta['weightsDigest']
    assert result['meta']['history'] == expected.meta['history']


def test_a_stop_leaves_a_checkpoint_to_go_on_from(train: Train, trained: Trained) -> None:
    recorder = Recorder()
    asked = itertools.count(1)
    recorder.should_stop = lambda: next(asked) > 9
    with pytest.raises(Stopped):
        train(recorder)
    # Every fourth batch, and once more for the stop.
    assert [event['step'] for event in recorder.of('checkpoint')] == [4, 8, 9]
    *_, last = recorder.of('checkpoint')
    resumed = train(resume=Path(last['dir']))
    assert resumed.digests() == trained.digests()


def test_a_checkpoint_of_another_training_is_passed_over(train: Train, trained: Trained) -> None:
    *_, last = trained.recorder.of('checkpoint')
    other = train(resume=Path(last['dir']), seed=6)
    [warning] = [event for event in other.recorder.of('log') if event['level'] == 'warning']
    assert 'another params' in warning['message']
    assert other.meta['weightsDigest'] != trained.meta['weightsDigest']
    assert len(other.meta['history']) == 3


def test_it_stops_early_and_keeps_the_best_weights(train: Train) -> None:
    # A rate that destroys the net after the first epoch.
    stopped = train(epochs=30, patience=2, learningRate=0.5, clipNorm=0, schedule={'type': 'constant'})
    history = stopped.meta['history']
    assert len(history) < 30
    losses = [entry['valLoss'] for entry in history]
    assert len(losses) - 1 - int(np.argmin(losses)) == 2
    assert any('stopped early' in event['message'] for event in stopped.recorder.of('log'))


@pytest.mark.parametrize(
    'schedule', ['constant', 'step_decay', 'exponential_decay', 'cosine_annealing', 'reduce_on_plateau']
)
def test_every_schedule_trains(train: Train, schedule: str) -> None:
    result = train(epochs=1, schedule={'type': schedule}, augmentation=None, sampling='balanced')
    assert result.meta['history'][0]['loss'] < math.log(15) * 1.3


def test_the_transformer_and_a_full_pipeline_train(train: Train) -> None:
    result = train(
        epochs=1,
        architecture='transformer',
        preprocessing=[
            {'step': 'noise_reduction'}, {'step': 'snip'}, {'step': 'square_root'},
            {'step': 'normalise', 'method': 'standard'},
        ],
    )  # fmt: skip
    assert math.isfinite(result.meta['history'][0]['valLoss'])


def test_a_shifted_axis_moves_counts_and_loses_none_inside() -> None:
    spectra = torch.zeros(3, 256)
    spectra[:, 100] = 50.0
    options = AugmentationOptions(gain_shift=0.05, offset_shift=3.0, scaling=0.0, noise=0.0)
    generator = torch.Generator().manual_seed(1)
    moved = augment(spectra, options, generator)
    assert moved.sum(dim=1).tolist() == pytest.approx([50.0] * 3, rel=1e-4)
    centres = ((moved * torch.arange(256)).sum(dim=1) / 50).tolist()
    assert all(90 < centre < 110 for centre in centres)
    assert len({round(centre, 3) for centre in centres}) == 3
    still = AugmentationOptions(0.0, 0.0, 0.0, 0.0)
    assert torch.equal(augment(spectra, still, generator), spectra)


def test_noise_and_scaling_change_counts_by_what_they_say() -> None:
    spectra = torch.full((200, 400), 100.0)
    generator = torch.Generator().manual_seed(1)
    noisy = augment(spectra, AugmentationOptions(0.0, 0.0, 0.0, 0.5), generator)
    assert float(noisy.std()) == pytest.approx(5.0, rel=0.05)
    scaled = augment(spectra, AugmentationOptions(0.0, 0.0, 0.3, 0.0), generator)
    factors = scaled[:, 0] / 100
    assert math.exp(-0.3) <= float(factors.min()) < 0.85 < 1.2 < float(factors.max()) <= math.exp(0.3)


def _rewrite(dataset: Path, target: Path, change: Any) -> Path:
    target.mkdir()
    for path in dataset.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    table = pa.ipc.open_file(pa.memory_map(str(dataset / 'train.arrow'))).read_all()
    changed = change(table)
    path = str(target / 'train.arrow')
    with pa.OSFile(path, 'wb') as sink, pa.ipc.new_file(sink, changed.schema) as writer:
        writer.write_table(changed)
    return target


def _with_spectrum(table: Any, values: Any) -> Any:
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
    return table.set_column(table.column_names.index('spectrum'), 'spectrum', column)


def _spectra(table: Any) -> Any:
    return np.array(table.column('spectrum').combine_chunks().flatten()).reshape(table.num_rows, -1)


def _spoil(row: int, value: float) -> Any:
    def change(table: Any) -> Any:
        values = _spectra(table)
        values[row, 7] = value
        return _with_spectrum(table, values)

    return change


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        (lambda table: table.drop_columns(['isotope']), 'no column isotope'),
        (lambda table: _with_spectrum(table, _spectra(table)[:, :512].copy()), '1024 numbers'),
        (_spoil(3, math.nan), 'look at rows 3'),
        (_spoil(5, -1.0), 'look at rows 5'),
        (lambda table: table.slice(0, 0), 'holds 0 rows'),
        (lambda table: table.take([0, 15, 30]), 'at least two isotopes'),
        (lambda table: table.filter(pa.compute.not_equal(table['isotope'], 'K-40')), 'lacks: K-40'),
    ],
)
def test_a_dataset_that_cannot_be_used_is_refused_with_the_reason(
    dataset: Path, tmp_path: Path, change: Any, reason: str
) -> None:
    with pytest.raises(RecipeError, match=reason) as caught:
        read_dataset(_rewrite(dataset, tmp_path / 'changed', change))
    assert caught.value.code == 'dataset_unusable'


def test_a_loss_that_is_no_number_fails_the_job(train: Train, dataset: Path, tmp_path: Path) -> None:
    # Counts so large that the first sums overflow.
    def change(table: Any) -> Any:
        return _with_spectrum(table, _spectra(table) + np.float32(1e38))

    huge = _rewrite(dataset, tmp_path / 'changed', change)
    with pytest.raises(RecipeError, match='lower the learning rate') as caught:
        train(data=huge, preprocessing=[], augmentation=None)
    assert caught.value.code == 'training_failed'


def test_a_file_that_is_no_arrow_file_is_refused(dataset: Path, tmp_path: Path) -> None:
    folder = _rewrite(dataset, tmp_path / 'changed', lambda table: table)
    (folder / 'test.arrow').write_bytes(b'ARROW1 not really')
    with pytest.raises(RecipeError, match=r'test\.arrow is missing or no Arrow IPC file'):
        read_dataset(folder)


def test_the_worker_of_another_framework_says_where_the_job_belongs(tmp_path: Path) -> None:
    command = {
        'type': 'train', 'jobId': 'job-1', 'recipe': 'verichain', 'params': {}, 'datasetDir': str(tmp_path),
        'workDir': str(tmp_path), 'resumeDir': None,
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, '-m', 'millrace_training.child'],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ},
    )  # fmt: skip
    assert process.stdin and process.stdout
    process.stdin.write(json.dumps(command).encode() + b'\n')
    process.stdin.flush()
    events = _events(b''.join(iter(process.stdout.readline, b'')))
    process.communicate()
    assert events[-1]['code'] == 'environment_unusable'
    assert "send it to the pool 'cpu'" in events[-1]['message']
