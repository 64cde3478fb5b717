"""Training: the same bits again, also after a kill, and honest ends."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PARAMS, Recorder, Train, Trained
from millrace_training.checkpoints import (
    Checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from millrace_training.errors import RecipeError, Stopped
from millrace_training.recipes import get_recipe
from millrace_training.training import (
    Examples,
    FitOptions,
    Place,
    augmentation_seeds,
    batches_per_epoch,
    binary_metrics,
    epoch_order,
    fit,
    learning_rate_at,
)


def test_the_same_seed_gives_the_same_model(train: Train, trained: Trained) -> None:
    again = train()
    assert again.meta['weightsDigest'] == trained.meta['weightsDigest']
    assert again.meta['frozenGraphDigest'] == trained.meta['frozenGraphDigest']
    assert again.meta['history'] == trained.meta['history']
    for name in ('frozen_graph.pb', 'model.weights.h5', 'samples.npz', 'examples.json', 'examples.u8'):
        assert (again.out / name).read_bytes() == (trained.out / name).read_bytes()


def test_another_seed_gives_another_model(train: Train, trained: Trained) -> None:
    assert train(seed=6).meta['weightsDigest'] != trained.meta['weightsDigest']


def test_resuming_after_a_stop_gives_the_model_of_the_straight_run(train: Train, tmp_path: Path) -> None:
    straight = train(epochs=4)
    recorder = Recorder()
    # Asked to stop within the epoch after the second checkpoint, so that half an epoch is thrown away.
    seen: list[int] = []

    def should_stop() -> bool:
        if len(recorder.of('checkpoint')) == 2:
            seen.append(1)
        return len(seen) > 1

    recorder.should_stop = should_stop
    with pytest.raises(Stopped):
        train(recorder, work=tmp_path / 'first', epochs=4)
    last = Path(recorder.of('checkpoint')[-1]['dir'])
    assert last.name == 'epoch-00002'
    kept = shutil.copytree(last, tmp_path / 'fetched')
    resumed = train(Recorder(), resume=kept, work=tmp_path / 'second', epochs=4)
    assert [event['step'] for event in resumed.recorder.of('checkpoint')] == [3, 4]
    assert resumed.meta['weightsDigest'] == straight.meta['weightsDigest']
    assert resumed.meta['frozenGraphDigest'] == straight.meta['frozenGraphDigest']
    assert resumed.meta['history'] == straight.meta['history']


def test_resuming_after_the_last_epoch_only_exports(train: Train, trained: Trained, tmp_path: Path) -> None:
    last = Path(trained.recorder.of('checkpoint')[-1]['dir'])
    again = train(resume=last, work=tmp_path)
    assert again.recorder.of('checkpoint') == []
    assert again.meta['weightsDigest'] == trained.meta['weightsDigest']


@pytest.mark.parametrize('damage', ['state', 'description', 'params', 'missing'])
def test_a_checkpoint_that_does_not_fit_is_passed_over(
    train: Train, trained: Trained, tmp_path: Path, damage: str
) -> None:
    folder = tmp_path / 'resume'
    if damage != 'missing':
        shutil.copytree(Path(trained.recorder.of('checkpoint')[-1]['dir']), folder)
    if damage == 'state':
        (folder / 'state.npz').write_bytes(b'nothing')
    if damage == 'description':
        (folder / 'checkpoint.json').write_text('{"format": "other"}')
    seed = 7 if damage == 'params' else PARAMS['seed']
    recorder = Recorder()
    result = train(recorder, resume=folder, work=tmp_path / 'work', seed=seed)
    [warning] = [event['message'] for event in recorder.of('log') if event['level'] == 'warning']
    assert 'starting anew' in warning
    assert len(recorder.of('checkpoint')) == PARAMS['epochs']
    if damage != 'params':
        assert result.meta['weightsDigest'] == trained.meta['weightsDigest']


def test_progress_counts_up_to_the_total(trained: Trained) -> None:
    progress = trained.recorder.of('progress')
    steps = [event['step'] for event in progress]
    assert steps == sorted(steps)
    assert progress[0]['stage'] == 'load'
    assert progress[-1]['step'] == progress[-1]['totalSteps'] == 2 * 2 + 3
    ends = [event for event in progress if 'valLoss' in event['metrics']]
    assert [event['epoch'] for event in ends] == [1, 2]
    assert ends[-1]['metrics'] == trained.meta['history'][-1]


def test_only_two_checkpoints_stay(train: Train, tmp_path: Path) -> None:
    (tmp_path / 'checkpoints' / 'epoch-00009').mkdir(parents=True)
    train(work=tmp_path, epochs=3)
    left = sorted(path.name for path in (tmp_path / 'checkpoints').iterdir())
    assert left == ['epoch-00002', 'epoch-00003']


def test_a_checkpoint_holds_no_pickle_and_gives_back_its_state(tmp_path: Path) -> None:
    state = {'model/000': np.arange(6, dtype=np.float32).reshape(2, 3)}
    folder = write_checkpoint(tmp_path, {'recipe': 'x'}, Checkpoint(3, state, [{'loss': 0.5}]))
    found = read_checkpoint(folder, {'recipe': 'x'})
    assert (found.epoch, found.history) == (3, [{'loss': 0.5}])
    np.testing.assert_array_equal(found.state['model/000'], state['model/000'])
    with pytest.raises(RecipeError, match='another recipe'):
        read_checkpoint(folder, {'recipe': 'y'})
    description = json.loads((folder / 'checkpoint.json').read_text())
    assert description['format'] == 'millrace-checkpoint-v1'


def _tiny(labels: Any, tmp_path: Path, resume: Path | None = None) -> list[dict[str, float]]:
    recipe = get_recipe('verichain')
    params: Any = recipe.Params.model_validate({'epochs': 1})
    model, augmentation = recipe.build(None, params)
    images = np.random.default_rng(0).integers(0, 255, (8, 224, 224, 3), np.uint8)
    examples = Examples(images, labels)
    options = FitOptions(1, 4, 0.001, 1)
    place = Place(tmp_path, resume, {})
    return fit(model, augmentation, examples, examples, options, place, Recorder().report)


def test_a_loss_that_is_no_number_fails_the_training(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match='lower the learning rate') as caught:
        _tiny(np.full((8, 1), np.nan, np.float32), tmp_path)
    assert caught.value.code == 'training_failed'
    assert not (tmp_path / 'checkpoints').exists()


def test_a_checkpoint_of_another_model_is_passed_over(tmp_path: Path) -> None:
    other = write_checkpoint(tmp_path / 'other', {}, Checkpoint(1, {'model/000': np.zeros(3)}, [{}]))
    history = _tiny(np.array([[0], [1]] * 4, np.float32), tmp_path / 'work', other)
    assert len(history) == 1


def test_without_the_settings_a_repeatable_training_is_refused(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv('TF_ENABLE_ONEDNN_OPTS')
    with pytest.raises(RecipeError, match='TF_ENABLE_ONEDNN_OPTS') as caught:
        train()
    assert caught.value.code == 'environment_unusable'


def test_random_numbers_follow_from_seed_epoch_and_batch() -> None:
    assert sorted(epoch_order(1, 0, 50).tolist()) == list(range(50))
    orders = {tuple(epoch_order(seed, epoch, 50).tolist()) for seed in (1, 2) for epoch in (0, 1)}
    assert len(orders) == 4
    seeds = {augmentation_seeds(1, epoch, batch, 3).tobytes() for epoch in (0, 1) for batch in (0, 1)}
    assert len(seeds) == 4
    assert augmentation_seeds(1, 0, 0, 3).min() >= 0


def test_the_learning_rate_falls_from_its_peak_to_nothing() -> None:
    rates = [learning_rate_at(step, 100, 0.004) for step in range(101)]
    assert rates[0] == 0.004
    assert rates == sorted(rates, reverse=True)
    assert rates[100] == pytest.approx(0, abs=1e-12)


def test_batches_and_metrics_by_hand() -> None:
    assert [batches_per_epoch(count, 32) for count in (10, 32, 63, 64)] == [1, 1, 1, 2]
    outputs, labels = np.array([[0.9], [0.4]], np.float32), np.array([[1], [1]], np.float32)
    loss, accuracy = binary_metrics(outputs, labels)
    assert loss == pytest.approx(-(np.log(0.9) + np.log(0.4)) / 2, rel=1e-6)
    assert accuracy == 0.5
