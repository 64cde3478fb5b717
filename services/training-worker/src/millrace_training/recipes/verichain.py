# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportUnknownLambdaType=false
# pyright: reportAttributeAccessIssue=false, reportUntypedFunctionDecorator=false, reportMissingImports=false
# TensorFlow and Keras ship no complete types.
"""VeriChain: does a picture come from a camera (0, "real") or from a picture generator (1, "ai")?

Model: input [n, 224, 224, 3] float32 with pixel values 0..255, output [n, 1] float32, the probability of
"ai". The picture less its own 3 x 3 mean (traces are in the fine detail), three convolutions, global average
pooling, one dense unit: 28,121 weights. The data are described in docs/verichain-data.md.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from millrace_training.rounding import rounded

from . import base
from .base import Job, json_params, place_of

if TYPE_CHECKING:
    from millrace_training.data.dataset import Dataset
    from millrace_training.events import Reporter
    from millrace_training.export import Exported

NAME = 'verichain'
VERSION = '1.0.0'
TITLE = 'Real or AI-generated: a small CNN over 224 x 224 pictures'
FRAMEWORK: base.Framework = 'tensorflow'
POOL = 'cpu'
GENERATOR = 'verichain-images'
GENERATOR_VERSION = '1'
GENERATED = 'pairs'

PARITY_SAMPLES = 32
"""Held-out images that travel with the model for the check after conversion (4.8 MB)."""

EXAMPLES = 12
"""Of them, those that are also stored as raw pixels, for showing (1.8 MB)."""


class VeriChainParams(base.Params):
    """Parameters of a training."""

    epochs: int = Field(5, ge=1, le=200, description='Passes over the training images')
    samples: int = Field(
        500, ge=20, le=20_000, description='Train and validation images used at most, 80 to 20'
    )
    seed: int = Field(1, ge=0, le=2**32 - 1, description='Weights, order and augmentation follow from it')
    batch_size: int = Field(32, ge=1, le=256, description='Images in a step')
    learning_rate: float = Field(0.004, gt=0, le=1, description='Peak of the cosine schedule of Adam')
    deterministic: bool = Field(True, description='Only operations that repeat bit for bit')


class VeriChainDatasetParams(base.Params):
    """Parameters of the dataset generator."""

    samples: int = Field(1_000, ge=20, le=20_000, description='Train and validation images, 80 to 20')
    heldout_samples: int = Field(600, ge=20, le=4_000, description='Held-out images')
    seed: int = Field(7, ge=0, le=2**32 - 1, description='Scenes, cuts, noise and traces follow from it')


Params = VeriChainParams
DatasetParams = VeriChainDatasetParams


def generate(params: VeriChainDatasetParams, out_dir: Path, report: Reporter) -> dict[str, Any]:
    """Write a dataset version into `out_dir` and return its manifest; equal parameters give equal bytes."""
    from millrace_training.data.manifest import SCHEMA, schema, write_manifest
    from millrace_training.data.shards import write_shard
    from millrace_training.data.synthesis import SPLITS, plan_groups, synthesise_split
    from millrace_training.digests import canonical_json

    pairs = params.samples // 2
    train = round(pairs * 0.8)
    groups = plan_groups(
        {'train': train, 'validation': pairs - train, 'heldout': params.heldout_samples // 2}
    )
    report.total_steps = sum(group.views for group in groups)
    out_dir.mkdir(parents=True, exist_ok=True)
    counts: dict[str, Any] = {}

    def on_group(group: Any) -> None:
        report.check_stop()
        report.step += group.views
        report.progress('generate', {})

    workers = min(len(os.sched_getaffinity(0)), 8)
    for split in SPLITS:
        chosen = [group for group in groups if group.split == split]
        images = synthesise_split(chosen, params.seed, workers, on_group)
        write_shard(out_dir / f'{split}.npz', images)
        counts[split] = {
            'images': len(images),
            'real': int((images.labels == 0).sum()),
            'ai': int((images.labels == 1).sum()),
            'scenes': sum(group.source == 'scene' for group in chosen),
            'photographs': sorted(group.name for group in chosen if group.source == 'photograph'),
        }
    (out_dir / SCHEMA).write_bytes(canonical_json(schema()) + b'\n')
    generator = {'name': GENERATOR, 'version': GENERATOR_VERSION, 'params': json_params(params)}
    report.progress('generate', {}, force=True)
    return write_manifest(out_dir, generator, counts)


def load(folder: Path, params: VeriChainParams) -> Dataset:
    """The dataset version in `folder`, checked; raises `dataset_unusable`."""
    from millrace_training.data.dataset import load_dataset

    return load_dataset(folder, params.samples)


def batches_per_epoch(data: Dataset, params: VeriChainParams) -> int:
    """Full batches in an epoch."""
    from millrace_training.training import batches_per_epoch as batches

    return batches(len(data.train), params.batch_size)


class Augmentation:
    """Random mirroring of every image of a batch, and a small turn and zoom of a quarter of them.

    Turning and zooming resample the pixels and so wipe out the very traces to be learned; three quarters keep
    them.
    """

    def __init__(self, seed: int) -> None:
        import keras

        self.flip = keras.layers.RandomFlip('horizontal_and_vertical', seed=seed)
        self.rotation = keras.layers.RandomRotation(0.02, fill_mode='reflect', seed=seed)
        self.zoom = keras.layers.RandomZoom(0.05, fill_mode='reflect', seed=seed)
        self.layers = [self.flip, self.rotation, self.zoom]

    def __call__(self, images: Any, training: bool) -> Any:
        """Images [n, 224, 224, 3] in, the same shape out."""
        import keras

        part = images.shape[0] // 4
        if training and part:
            moved = self.zoom(self.rotation(images[:part], training=True), training=True)
            images = keras.ops.concatenate([moved, images[part:]], axis=0)
        return self.flip(images, training=training)


def build(_data: Dataset, params: VeriChainParams) -> tuple[Any, Augmentation]:
    """The model with weights drawn from the seed, and the augmentation to train it with (never part of the
    model).
    """
    import keras

    layers = keras.layers
    pixels = keras.Input((224, 224, 3), name='input')
    image = layers.Rescaling(1 / 255, name='rescaling')(pixels)
    mean = layers.AveragePooling2D(3, 1, 'same', name='local_mean')(image)
    x = layers.Rescaling(10.0, name='detail')(layers.Subtract(name='residual')([image, mean]))
    plan = ((24, 6, 4), (32, 3, 2), (64, 3, 1))
    for index, (filters, size, stride) in enumerate(plan, start=1):
        initial: Any = keras.initializers.GlorotUniform(seed=params.seed % 2**31 + index)
        x = layers.Conv2D(
            filters,
            size,
            stride,
            'same',
            activation='relu',
            kernel_initializer=initial,
            name=f'conv_{index}',
        )(x)
    x = layers.GlobalAveragePooling2D(name='pool')(x)
    initial = keras.initializers.GlorotUniform(seed=params.seed % 2**31)
    output = layers.Dense(1, activation='sigmoid', kernel_initializer=initial, name='output_0')(x)
    return keras.Model(pixels, output, name=NAME), Augmentation(params.seed % 2**31)


def train(
    model: tuple[Any, Augmentation], data: Dataset, params: VeriChainParams, job: Job, report: Reporter
) -> list[dict[str, float]]:
    """Train `model` in place, from the checkpoint of `job` if it names one; returns the metrics of each
    epoch.
    """
    from millrace_training.training import Examples, FitOptions, fit

    sets = [
        Examples(images.pixels(), images.labels.astype('float32')[:, None])
        for images in (data.train, data.validation)
    ]
    options = FitOptions(params.epochs, params.batch_size, params.learning_rate, params.seed)
    network, augmentation = model
    place = place_of(job, f'{NAME}@{VERSION}', params, data.digest)
    return fit(network, augmentation, sets[0], sets[1], options, place, report)


def evaluate(model: tuple[Any, Augmentation], data: Dataset, report: Reporter) -> dict[str, Any]:
    """Accuracy on the held-out images with its 95 % Wilson interval, in all and by source and trace."""
    from millrace_training.metrics import wilson_interval
    from millrace_training.training import binary_metrics, predict

    heldout = data.heldout
    labels = heldout.labels.astype('float32')[:, None]
    outputs = predict(model[0], heldout.pixels(), report.check_stop)
    loss, _ = binary_metrics(outputs, labels)
    said = outputs[:, 0] > 0.5
    right = said == (heldout.labels == 1)

    def part(mask: Any) -> dict[str, Any]:
        successes, trials = int(right[mask].sum()), int(mask.sum())
        low, high = wilson_interval(successes, trials)
        return {
            'accuracy': rounded(successes / trials),
            'interval95': [rounded(low), rounded(high)],
            'images': trials,
        }

    return {
        **part(heldout.labels >= 0),
        'loss': rounded(loss),
        'groups': len(set(heldout.groups.tolist())),
        'confusion': {
            'realAsReal': int((~said & (heldout.labels == 0)).sum()),
            'realAsAi': int((said & (heldout.labels == 0)).sum()),
            'aiAsReal': int((~said & (heldout.labels == 1)).sum()),
            'aiAsAi': int((said & (heldout.labels == 1)).sum()),
        },
        'bySource': {name: part(heldout.sources == name) for name in sorted(set(heldout.sources.tolist()))},
        'byTrace': {
            name: part(heldout.traces == name) for name in sorted(set(heldout.traces.tolist())) if name
        },
    }


def export(model: tuple[Any, Augmentation], data: Dataset, out_dir: Path) -> Exported:
    """Write the model and held-out samples of both classes and all sources into `out_dir`."""
    import numpy as np

    from millrace_training.export import Samples, export_model
    from millrace_training.training import predict

    heldout = data.heldout
    # Sources and classes take turns, so that the first few images already show all of them.
    ranks: dict[tuple[str, int], int] = {}
    keys: list[tuple[int, str, int, int]] = []
    spread = np.random.Generator(np.random.PCG64(0)).permutation(len(heldout))
    for index in spread.tolist():
        kind = (str(heldout.sources[index]), int(heldout.labels[index]))
        ranks[kind] = ranks.get(kind, -1) + 1
        keys.append((ranks[kind], *kind, index))
    chosen = np.array([key[3] for key in sorted(keys)[:PARITY_SAMPLES]])
    images = heldout.take(chosen)
    pixels = images.pixels()
    samples = Samples(pixels, images.labels, images.groups, images.sources, predict(model[0], pixels))
    return export_model(model[0], out_dir, samples, EXAMPLES)


def write_report(
    _model: tuple[Any, Augmentation],
    _data: Dataset,
    _params: VeriChainParams,
    _result: dict[str, Any],
    _out_dir: Path,
) -> None:
    """None beside `meta.json`, which has every figure."""
