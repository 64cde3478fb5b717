"""A dataset version on disk: every kind of damage is noticed and named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SAMPLES
from millrace_training.data.dataset import load_dataset
from millrace_training.data.images import ImageSet
from millrace_training.data.manifest import write_manifest
from millrace_training.data.shards import read_shard, write_shard
from millrace_training.errors import RecipeError


@pytest.fixture
def copy(dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dataset, tmp_path / 'copy'))


def _change(folder: Path, split: str, **changes: Any) -> None:
    """Rewrites columns of a shard and makes the manifest agree, as a faulty generator would."""
    path = folder / f'{split}.npz'
    with np.load(path, allow_pickle=False) as archive:
        columns: dict[str, Any] = {name: archive[name] for name in archive.files}
    for name, change in changes.items():
        columns[name] = change(columns[name])
    np.savez(path, **{name: value for name, value in columns.items() if value is not None})
    write_manifest(folder, {}, {})


def _manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / 'manifest.json'
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def _flip_byte(folder: Path) -> None:
    path = folder / 'train.npz'
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _truncate(folder: Path) -> None:
    path = folder / 'heldout.npz'
    path.write_bytes(path.read_bytes()[:-100])


def _shared_scene(folder: Path) -> None:
    shutil.copy(folder / 'train.npz', folder / 'validation.npz')
    write_manifest(folder, {}, {})


def _pickled(folder: Path) -> None:
    _change(folder, 'train', groups=lambda groups: groups.astype(object))


def _damaged_jpeg(column: Any) -> Any:
    changed = column.copy()
    changed[:200] = 0
    return changed


def _not_zip(folder: Path) -> None:
    (folder / 'train.npz').write_bytes(b'nothing')
    write_manifest(folder, {}, {})


def _no_shard(folder: Path) -> None:
    (folder / 'train.npz').unlink()
    write_manifest(folder, {}, {})


@pytest.mark.parametrize(
    ('damage', 'words'),
    [
        (lambda folder: [path.unlink() for path in folder.iterdir()], 'is empty'),
        (_flip_byte, 'corrupted'),
        (_truncate, 'cut short'),
        (_shared_scene, 'is in the splits train and validation'),
        (_pickled, 'corrupted'),
        (_not_zip, 'corrupted'),
        (_no_shard, 'is missing'),
        (lambda folder: (folder / 'schema.json').unlink(), 'missing or cut short'),
        (lambda folder: (folder / 'manifest.json').write_text('{'), 'unreadable'),
        (lambda folder: _manifest(folder, lambda m: m.pop('files')), 'unreadable'),
        (lambda folder: _manifest(folder, lambda m: m.update(format='v0')), 'format v0'),
        (lambda folder: _manifest(folder, lambda m: m.update(contentDigest='0')), 'has been changed'),
        (
            lambda folder: _manifest(folder, lambda m: m['files'][0].update(path='../x')),
            'outside the dataset',
        ),
        (lambda folder: _change(folder, 'train', labels=np.zeros_like), 'no image of the class ai'),
        (lambda folder: _change(folder, 'heldout', labels=np.ones_like), 'no image of the class real'),
        (lambda folder: _change(folder, 'train', labels=lambda a: a + 3), 'labels outside'),
        (lambda folder: _change(folder, 'train', labels=lambda a: a[:-1]), 'not of the shape'),
        (lambda folder: _change(folder, 'train', labels=lambda a: a.astype(np.int64)), 'labels outside'),
        (lambda folder: _change(folder, 'train', offsets=lambda a: a[::-1].copy()), 'do not fit'),
        (lambda folder: _change(folder, 'train', offsets=lambda a: a[:1]), 'is empty'),
        (lambda folder: _change(folder, 'train', encoded=lambda a: a.astype(np.int16)), 'wrong type'),
        (lambda folder: _change(folder, 'train', traces=lambda _: None), 'lacks the column traces'),
    ],
)
def test_damage_is_named(copy: Path, damage: Callable[[Path], Any], words: str) -> None:
    damage(copy)
    with pytest.raises(RecipeError, match=words) as caught:
        load_dataset(copy, SAMPLES)
    assert caught.value.code == 'dataset_unusable'


def test_a_damaged_picture_is_named(copy: Path) -> None:
    _change(copy, 'heldout', encoded=_damaged_jpeg)
    with pytest.raises(RecipeError, match='image 0'):
        load_dataset(copy, SAMPLES).heldout.pixels()


def test_a_missing_folder_is_an_empty_dataset(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match='empty'):
        load_dataset(tmp_path / 'nowhere', SAMPLES)


def test_fewer_samples_are_spread_over_scenes_and_stay_balanced(dataset: Path) -> None:
    data = load_dataset(dataset, 20)
    assert (len(data.train), len(data.validation)) == (16, 4)
    assert data.train.labels.sum() == 8
    assert len(set(data.train.groups.tolist())) > 4


def test_a_shard_gives_back_what_was_written(tmp_path: Path) -> None:
    text = np.array(['a', 'b'])
    images = ImageSet([b'one', b'three'], np.array([0, 1], np.uint8), text, text, text)
    write_shard(tmp_path / 'x.npz', images)
    again = read_shard(tmp_path / 'x.npz')
    assert again.encoded == images.encoded
    assert again.groups.tolist() == ['a', 'b']
    write_shard(tmp_path / 'y.npz', images)
    assert (tmp_path / 'x.npz').read_bytes() == (tmp_path / 'y.npz').read_bytes()
