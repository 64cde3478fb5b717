"""The generated dataset: repeatable, balanced, split by scene, and matched between its classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from conftest import HELDOUT, SAMPLES, Recorder
from millrace_training.baselines import LIMIT, linear_baselines, main
from millrace_training.data.dataset import load_dataset
from millrace_training.data.generator import FAMILIES, upsample
from millrace_training.data.images import decode
from millrace_training.data.photographs import PHOTOGRAPHS, read_photograph
from millrace_training.data.scenes import draw_scene
from millrace_training.data.synthesis import plan_groups, synthesise_split
from millrace_training.digests import list_files
from millrace_training.errors import Stopped
from millrace_training.jobs import run_generate


def test_equal_parameters_give_equal_bytes(dataset: Path, tmp_path: Path) -> None:
    run_generate(
        'verichain', {'samples': SAMPLES, 'heldoutSamples': HELDOUT}, tmp_path / 'again', Recorder().report
    )
    assert list_files(tmp_path / 'again') == list_files(dataset)


def test_another_seed_gives_other_pictures(dataset: Path, tmp_path: Path) -> None:
    params = {'samples': SAMPLES, 'heldoutSamples': HELDOUT, 'seed': 8}
    _, manifest = run_generate('verichain', params, tmp_path / 'other', Recorder().report)
    other = load_dataset(tmp_path / 'other', SAMPLES)
    here = load_dataset(dataset, SAMPLES)
    assert other.digest == manifest['contentDigest'] != here.digest
    assert not set(other.heldout.encoded) & set(here.heldout.encoded)


def test_the_number_of_threads_does_not_matter() -> None:
    groups = plan_groups({'train': 12, 'validation': 0, 'heldout': 0})
    one = synthesise_split(groups, 3, 1, lambda _: None)
    three = synthesise_split(groups, 3, 3, lambda _: None)
    assert one.encoded == three.encoded


def test_heldout_pictures_do_not_depend_on_the_training_size(dataset: Path, tmp_path: Path) -> None:
    run_generate(
        'verichain', {'samples': 60, 'heldoutSamples': HELDOUT}, tmp_path / 'more', Recorder().report
    )
    assert (tmp_path / 'more' / 'heldout.npz').read_bytes() == (dataset / 'heldout.npz').read_bytes()


def test_full_size_holds_out_enough_scenes_and_all_its_photographs() -> None:
    groups = plan_groups({'train': 400, 'validation': 100, 'heldout': 300})
    heldout = [group for group in groups if group.split == 'heldout']
    assert sum(group.views for group in heldout) * 2 == 600
    assert sum(group.source == 'scene' for group in heldout) >= 40
    assert {group.name for group in heldout if group.source == 'photograph'} == {
        name for name, (_, _, split) in PHOTOGRAPHS.items() if split == 'heldout'
    }
    homes = {(group.source, group.name): group.split for group in groups}
    assert len(homes) == len(groups)


def test_classes_come_in_pairs_of_nearly_equal_size(dataset: Path) -> None:
    data = load_dataset(dataset, SAMPLES)
    for images in (data.train, data.validation, data.heldout):
        assert images.labels.tolist() == [0, 1] * (len(images) // 2)
        assert set(images.traces[images.labels == 1].tolist()) <= set(FAMILIES)
        pixels = images.pixels().astype(np.float64)
        difference = pixels[0::2].mean(axis=(1, 2, 3)) - pixels[1::2].mean(axis=(1, 2, 3))
        assert np.abs(difference).max() < 8
        sizes = np.log([len(data) for data in images.encoded])
        assert abs(np.mean(sizes[0::2] - sizes[1::2])) < 0.1


def test_every_photograph_is_in_the_environment() -> None:
    for name in PHOTOGRAPHS:
        picture = read_photograph(name)
        assert picture.dtype == np.uint8
        assert picture.shape[2] == 3
        assert min(picture.shape[:2]) >= 240


def test_every_kind_of_scene_fills_its_picture() -> None:
    for kind in range(5):
        scene = draw_scene(np.random.default_rng(kind), kind)
        assert scene.shape == (512, 512, 3)
        assert np.isfinite(scene).all()
        assert scene.std() > 0.02


def test_upsampling_is_a_transposed_convolution() -> None:
    rng = np.random.default_rng(1)
    latent = rng.random((10, 10, 3), dtype=np.float32)
    kernels = rng.random((2, 2, 3, 3), dtype=np.float32)
    grown = upsample(latent, kernels)
    # The phase kernels correlate; the transposed convolution spreads, so each is turned round and
    # interleaved.
    whole = np.zeros((6, 6), np.float32)
    for row in (0, 1):
        for column in (0, 1):
            whole[row::2, column::2] = kernels[row, column][::-1, ::-1]
    spread = tf.nn.conv2d_transpose(
        latent.transpose(2, 0, 1)[..., None], whole[:, :, None, None], [3, 24, 24, 1], 2, 'VALID'
    )
    expected = spread.numpy()[..., 0].transpose(1, 2, 0)[2:-2, 2:-2]
    np.testing.assert_allclose(grown[2:-2, 2:-2], expected[2:-2, 2:-2], rtol=1e-4)


def test_a_generation_stops_when_asked(tmp_path: Path) -> None:
    recorder = Recorder(should_stop=lambda: True)
    with pytest.raises(Stopped):
        run_generate('verichain', {'samples': 40, 'heldoutSamples': 20}, tmp_path / 'x', recorder.report)
    assert not (tmp_path / 'x' / 'manifest.json').exists()


def test_linear_models_learn_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / 'baselines'
    run_generate('verichain', {'samples': 300, 'heldoutSamples': 400}, folder, Recorder().report)
    scores = linear_baselines(folder, 300)
    assert max(scores.values()) < LIMIT, scores
    assert main([str(folder), '--samples', '40']) in (0, 1)
    assert 'file size' in capsys.readouterr().out


def test_a_dataset_that_gives_its_labels_away_is_noticed(tmp_path: Path) -> None:
    from test_uploads import write_images

    write_images(tmp_path, real=30, ai=30, brighter=60)
    assert linear_baselines(tmp_path, 200)['channel means and deviations'] > LIMIT


def test_generated_files_are_plain_jpeg(dataset: Path) -> None:
    first = load_dataset(dataset, SAMPLES).heldout.encoded[0]
    assert first[:2] == b'\xff\xd8'
    assert decode(first, 'first').shape == (224, 224, 3)
