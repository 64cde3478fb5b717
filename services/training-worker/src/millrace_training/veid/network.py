# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingImports=false
# pyright: reportUnknownLambdaType=false
# TensorFlow and Keras ship no complete types.
"""What the networks of VEID share: layers by seed, mirroring, the results' files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from millrace_training.framework import accelerators, framework_versions

from .dataset import VeidDataset
from .report import latency_ms, write_metrics, write_report


class Augmentation:
    """Random layers that act on training batches only and are no part of the model; may be none."""

    def __init__(self, layers: list[Any]) -> None:
        self.layers = layers

    def __call__(self, images: Any, training: bool) -> Any:
        """Images [n, ...] in, the same shape out."""
        for layer in self.layers:
            images = layer(images, training=training)
        return images


@dataclass(frozen=True)
class Network:
    """A Keras model and the augmentation to train it with."""

    model: Any
    augmentation: Augmentation


def mirrored(seed: int) -> Augmentation:
    """Random mirroring from left to right."""
    return Augmentation([keras.layers.RandomFlip('horizontal', seed=seed % 2**31)])


def _initial(seed: int, number: int) -> Any:
    return keras.initializers.HeNormal(seed=seed % 2**31 + number)


def convolution(
    x: Any, filters: int, kernel: int | tuple[int, int], stride: int | tuple[int, int], seed: int, number: int
) -> Any:
    """Convolution without bias, batch normalisation, ReLU; `number` names layers and seeds weights."""
    layers = keras.layers
    x = layers.Conv2D(
        filters,
        kernel,
        stride,
        'same',
        use_bias=False,
        kernel_initializer=_initial(seed, number),
        name=f'conv_{number}',
    )(x)
    x = layers.BatchNormalization(momentum=0.9, name=f'norm_{number}')(x)
    return layers.ReLU(name=f'relu_{number}')(x)


def dense(x: Any, units: int, activation: str | None, seed: int, name: str) -> Any:
    """A dense layer whose weights follow from the seed."""
    initial: Any = keras.initializers.GlorotUniform(seed=seed % 2**31 + 101)
    return keras.layers.Dense(units, activation=activation, kernel_initializer=initial, name=name)(x)


def in_turn(kinds: NDArray[np.str_], count: int) -> NDArray[np.int64]:
    """Indices of at most `count` rows, one of each kind after the other."""
    ranks = np.zeros(len(kinds), np.int64)
    for kind in np.unique(kinds):
        mine = np.flatnonzero(kinds == kind)
        ranks[mine] = np.arange(len(mine))
    return np.lexsort((kinds, ranks))[:count]


def write_results(
    model: Any,
    inputs: NDArray[np.uint8],
    data: VeidDataset,
    params: dict[str, Any],
    result: dict[str, Any],
    baselines: dict[str, float],
    about: dict[str, str],
    out_dir: Path,
) -> None:
    """Write `metrics.json` and `report.json`; `inputs` are what the model is timed on, one at a time."""
    answer = tf.function(lambda images: model(images, training=False), reduce_retracing=True)
    latency = latency_ms(lambda one: answer(tf.constant(one, tf.float32)).numpy(), inputs)
    sizes = {name: len(getattr(data, name)) for name in ('train', 'validation', 'heldout')}
    write_metrics(
        out_dir,
        name=about['name'],
        version=about['version'],
        framework_version=framework_versions()['tensorflow'],
        evaluation=result['evaluation'],
        latency=latency,
        params=params,
        sizes=sizes,
        accelerators=accelerators(),
    )
    write_report(
        out_dir,
        {
            'generator': data.generator,
            'datasetDigest': data.digest,
            'evaluation': result['evaluation'],
            'baselines': baselines,
            'history': result['history'],
        },
    )
