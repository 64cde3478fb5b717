"""The generators of VEID, their files, and a user's own folder in their place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Recorder
from millrace_training.errors import RecipeError, Stopped
from millrace_training.jobs import run_generate
from millrace_training.recipes import get_recipe
from millrace_training.recipes.base import parse_params
from millrace_training.veid import attacks, cameras, documents, faces, folders, portraits, presentations
from millrace_training.veid.dataset import VeidDataset
from PIL import Image

TINY: dict[str, dict[str, Any]] = {
    'veid-face': {'identities': 12, 'heldoutIdentities': 4, 'views': 4},
    'veid-liveness': {'samples': 40, 'heldoutSamples': 24},
    'veid-ocr': {'samples': 40, 'heldoutSamples': 16},
}
RECIPES = sorted(TINY)


def _load(name: str, folder: Path) -> VeidDataset:
    recipe = get_recipe(name)
    return recipe.load(folder, parse_params(recipe.Params, {}))


@pytest.fixture(scope='module', params=RECIPES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Any]:
    folder = tmp_path_factory.mktemp('data') / request.param
    _, manifest = run_generate(request.param, TINY[request.param], folder, Recorder().report)
    return request.param, folder, manifest


def test_equal_parameters_give_equal_bytes(made: tuple[str, Path, Any], tmp_path: Path) -> None:
    name, _, manifest = made
    _, again = run_generate(name, TINY[name], tmp_path / 'again', Recorder().report)
    assert again == manifest
    _, other = run_generate(name, {**TINY[name], 'seed': 8}, tmp_path / 'other', Recorder().report)
    assert other['contentDigest'] != manifest['contentDigest']


def test_splits_share_no_group_and_load_as_they_were_written(made: tuple[str, Path, Any]) -> None:
    name, folder, manifest = made
    data = _load(name, folder)
    assert data.digest == manifest['contentDigest']
    splits = (data.train, data.validation, data.heldout)
    assert [len(split) for split in splits] == [
        manifest['counts'][split]['images'] for split in ('train', 'validation', 'heldout')
    ]
    groups = [{*split.groups.tolist()} for split in splits]
    assert groups[0].isdisjoint(groups[2]) and groups[1].isdisjoint(groups[2])
    for split in splits:
        # Pictures of something: neither black nor white nor the same again.
        assert 20 < split.images.mean() < 235
        assert len({image.tobytes() for image in split.images}) == len(split)


@pytest.mark.parametrize('damage', ['cut', 'format', 'shared', 'empty', 'shape'])
def test_a_damaged_dataset_is_refused(made: tuple[str, Path, Any], tmp_path: Path, damage: str) -> None:
    name, folder, _ = made
    copy = tmp_path / 'copy'
    copy.mkdir()
    if damage != 'empty':
        for path in folder.iterdir():
            (copy / path.name).write_bytes(path.read_bytes())
    if damage == 'cut':
        (copy / 'train.npz').write_bytes((folder / 'train.npz').read_bytes()[:-9])
    if damage == 'format':
        name = RECIPES[RECIPES.index(name) - 1]
    if damage in ('shared', 'shape'):
        _rewrite(copy, name, damage)
    with pytest.raises(RecipeError) as caught:
        _load(name, copy)
    assert caught.value.code == 'dataset_unusable'


def _rewrite(folder: Path, name: str, damage: str) -> None:
    """Writes the dataset anew with a manifest that fits: only its content is at fault."""
    from dataclasses import replace

    from millrace_training.veid.dataset import write_dataset

    data = _load(name, folder)
    form = {'veid-face': portraits, 'veid-liveness': presentations, 'veid-ocr': documents}[name].FORMAT
    heldout = data.heldout
    if damage == 'shared':
        heldout = replace(heldout, groups=np.array([data.train.groups[0]] * len(heldout)))
    else:
        heldout = replace(heldout, images=heldout.images[:, :-1])
    splits = {'train': data.train, 'validation': data.validation, 'heldout': heldout}
    write_dataset(folder, splits, {}, {}, form)


def test_a_generator_stops_when_asked(tmp_path: Path) -> None:
    recorder = Recorder(should_stop=lambda: True)
    for name in RECIPES:
        with pytest.raises(Stopped):
            run_generate(name, TINY[name], tmp_path / name, recorder.report)


def test_devices_and_fonts_of_the_splits_are_disjoint() -> None:
    for numbers in (presentations.CAMERAS, presentations.INSTRUMENTS, documents.FONTS):
        sets = [{*part} for part in numbers.values()]
        assert len(set.union(*sets)) == sum(map(len, sets))


def _scene(seed: int) -> attacks.Scene:
    rng = np.random.Generator(np.random.PCG64(seed))
    grey = np.full(3, 0.3, np.float32)
    return attacks.Scene(faces.draw_identity(rng), faces.draw_view(rng), grey, 64)


@pytest.mark.parametrize('kind', ['print', 'screen'])
def test_a_pattern_adds_detail_at_its_own_pitch(kind: str) -> None:
    scene = _scene(5)
    plain, shown = attacks.live(scene), attacks.attack(kind, 3, scene, np.random.default_rng(1))
    assert plain.shape == shown.shape == (192, 192, 3)

    def fine(picture: Any) -> float:
        spectrum = np.abs(np.fft.fft2(picture[..., 1] - picture[..., 1].mean())) ** 2
        away = np.hypot(*np.meshgrid(np.fft.fftfreq(192), np.fft.fftfreq(192)))
        return float(spectrum[away > 0.12].sum() / spectrum.sum())

    assert fine(shown) > 5 * fine(plain)


def test_a_mask_is_smoother_than_skin_and_has_seams() -> None:
    scene = _scene(6)
    plain, worn = attacks.live(scene), attacks.attack('mask', 2, scene, np.random.default_rng(1))
    cheek = (slice(110, 135), slice(65, 85), 1)
    assert np.diff(worn[cheek], axis=1).std() / worn[cheek].mean() < (
        np.diff(plain[cheek], axis=1).std() / plain[cheek].mean()
    )


def test_a_camera_leaves_neither_mean_nor_contrast_to_tell() -> None:
    picture = attacks.live(_scene(7))
    means = []
    for factor in (0.2, 1.0, 5.0):
        rng = np.random.default_rng(4)
        shot = cameras.shoot(np.asarray(picture * np.float32(factor)), cameras.camera(1), 64, rng)
        assert shot.shape == (64, 64, 3)
        means.append(shot.mean())
    assert np.ptp(means) < 3


def test_views_of_one_identity_are_nearer_than_other_people_on_average() -> None:
    draw = portraits.sampler('train', 7, 6)
    images = np.stack([draw(number).image for number in range(48)]).reshape(8, 6, -1).astype(float)
    images -= images.mean(axis=2, keepdims=True)
    own = np.mean([np.abs(one - one.mean(axis=0)).mean() for one in images])
    others = np.abs(images - images.mean(axis=(0, 1))).mean()
    assert own < others


def test_genuine_and_impostor_pairs_take_turns(made: tuple[str, Path, Any]) -> None:
    name, folder, _ = made
    if name != 'veid-face':
        return
    heldout = _load(name, folder).heldout
    indices, labels = portraits.pairs(heldout, 30, 0)
    same = heldout.groups[indices[:, 0]] == heldout.groups[indices[:, 1]]
    np.testing.assert_array_equal(same, labels == 1)
    assert np.all(indices[:, 0] != indices[:, 1])
    order = portraits.chunked_order(1, 0, heldout.labels)
    assert sorted(order.tolist()) == list(range(len(heldout)))
    assert len(set(heldout.labels[order[: portraits.CHUNK]].tolist())) == 1
    with pytest.raises(RecipeError, match='two identities'):
        portraits.pairs(heldout.take([0, 1]), 4, 0)


@pytest.mark.parametrize('kind', documents.KINDS)
def test_texts_keep_to_the_charset(kind: str) -> None:
    rng = np.random.default_rng(2)
    for _ in range(200):
        text = documents.draw_text(kind, rng)
        assert documents.MIN_CHARS <= len(text) <= documents.MAX_CHARS
        assert set(text) <= set(documents.CHARSET)


def test_ink_stands_where_the_text_is() -> None:
    rng = np.random.default_rng(3)
    texts = ('ABCDEF', 'ABCDEFGHIJKLMN')
    short, long = (documents.render_line(text, 'DejaVuSans', rng, 0.2) for text in texts)
    dark = [int((picture < picture.mean() - 40).any(axis=0).sum()) for picture in (short, long)]
    assert dark[1] > 1.5 * dark[0]


def _write(path: Path, value: int, size: tuple[int, int] = (80, 100)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(value).integers(0, 255, (*size, 3), np.uint8)
    Image.fromarray(noise).save(path)


def test_own_pictures_are_split_by_group(tmp_path: Path) -> None:
    for device in range(6):
        for number in range(2):
            value = 100 * device + number
            _write(tmp_path / 'liveness' / 'live' / f'cam-{device}' / f'{number}.png', value)
            _write(tmp_path / 'liveness' / 'screen' / f'tv-{device}' / f'{number}.jpg', value + 9)
            _write(tmp_path / 'face' / f'person-{device}' / f'{number}.png', value)
    _write(tmp_path / 'liveness' / 'notes.png', 1)
    lines = ['file,text,group']
    for number in range(10):
        _write(tmp_path / 'ocr' / f'{number}.png', number, (30, 240))
        lines.append(f'{number}.png,AB{number}-12,card-{number // 2}')
    (tmp_path / 'ocr' / 'labels.csv').write_text('\n'.join(lines))

    liveness = _load('veid-liveness', tmp_path / 'liveness')
    assert liveness.generator is None
    assert {*liveness.heldout.kinds.tolist()} == {'live', 'screen'}
    assert len(liveness.train) + len(liveness.validation) + len(liveness.heldout) == 24
    face = _load('veid-face', tmp_path / 'face')
    assert len({*face.train.groups.tolist()}) == 4
    assert face.train.images.shape[1:] == (64, 64, 1)
    ocr = _load('veid-ocr', tmp_path / 'ocr')
    assert all(text.startswith('AB') for text in ocr.heldout.texts)
    # The same folder again is the same dataset; another text is another one.
    assert _load('veid-ocr', tmp_path / 'ocr').digest == ocr.digest
    (tmp_path / 'ocr' / 'labels.csv').write_text('\n'.join(lines).replace('AB0', 'AC0'))
    assert _load('veid-ocr', tmp_path / 'ocr').digest != ocr.digest


def test_own_pictures_that_cannot_be_used_are_refused_with_the_reason(tmp_path: Path) -> None:
    def refused(name: str, folder: str, words: str) -> None:
        with pytest.raises(RecipeError, match=words) as caught:
            _load(name, tmp_path / folder)
        assert caught.value.code == 'dataset_unusable'

    _write(tmp_path / 'one' / 'live' / 'cam' / '1.png', 1)
    refused('veid-liveness', 'one', 'needs pictures in live')
    _write(tmp_path / 'few' / 'live' / 'cam' / '1.png', 1)
    _write(tmp_path / 'few' / 'mask' / 'resin' / '1.png', 2)
    refused('veid-liveness', 'few', 'it needs 5')
    for person in range(6):
        _write(tmp_path / 'single' / f'p{person}' / '1.png', person)
    refused('veid-face', 'single', 'holds one picture')
    _write(tmp_path / 'text' / '1.png', 1)
    refused('veid-ocr', 'text', 'labels.csv is missing')
    (tmp_path / 'text' / 'labels.csv').write_text('file,text\n1.png,small letters\n')
    refused('veid-ocr', 'text', '1 to 14 characters')
    (tmp_path / 'text' / 'labels.csv').write_text('file,text\n2.png,ABC\n')
    refused('veid-ocr', 'text', 'has no line')
    (tmp_path / 'text' / 'labels.csv').write_text('name\nx\n')
    refused('veid-ocr', 'text', 'columns file and text')
    (tmp_path / 'none').mkdir()
    (tmp_path / 'none' / 'readme.txt').write_text('nothing')
    refused('veid-face', 'none', 'holds no picture')
    (tmp_path / 'broken.png').write_bytes(b'not a picture')
    with pytest.raises(RecipeError, match='not a readable image'):
        folders.read_picture(tmp_path / 'broken.png', (64, 64, 3))
    wide = Image.new('L', (9_000, 5_000))
    wide.save(tmp_path / 'wide.png')
    with pytest.raises(RecipeError, match='make it smaller'):
        folders.read_picture(tmp_path / 'wide.png', (64, 64, 3))
