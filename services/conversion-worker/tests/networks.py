"""Small networks of each family: an architecture as JSON, seeded weights, and files of both."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

Arrays = dict[str, NDArray[Any]]


def linear(index: int, before: int, after: int) -> dict[str, Any]:
    """The layer at `layers.<index>`."""
    name = f'layers.{index}'
    return {'type': 'linear', 'in': before, 'out': after, 'weight': f'{name}.weight', 'bias': f'{name}.bias'}


def network(family: str, channels: int, layers: list[Any], classes: int, steps: list[Any]) -> dict[str, Any]:
    """An architecture.json."""
    return {
        'format': 1,
        'family': family,
        'input': {'name': 'spectrum', 'shape': [None, channels]},
        'output': {
            'name': 'probabilities',
            'shape': [None, classes],
            'classes': [f'class {index}' for index in range(classes)],
        },
        'preprocessing': steps,
        'layers': [*layers, {'type': 'softmax'}],
    }


def mlp(channels: int = 64, hidden: tuple[int, ...] = (32, 16), classes: int = 5) -> dict[str, Any]:
    """Linear layers with ReLU, behind a root and a scaling."""
    sizes = [channels, *hidden, classes]
    layers: list[Any] = []
    for before, after in itertools.pairwise(sizes):
        layers += [{'type': 'relu'}] if layers else []
        layers.append(linear(len(layers), before, after))
    return network(
        'mlp', channels, layers, classes, [{'step': 'square_root'}, {'step': 'normalise', 'method': 'max'}]
    )


def cnn1d() -> dict[str, Any]:
    """Convolution, batch normalisation, pooling; standardised by tensors."""
    layers = [
        {'type': 'reshape', 'shape': [1, 64]},
        {'type': 'conv1d', 'in': 1, 'out': 4, 'kernel': 5, 'stride': 1, 'padding': 2,
         'weight': 'layers.1.weight', 'bias': 'layers.1.bias'},
        {'type': 'batch_norm', 'channels': 4, 'epsilon': 1e-5, 'weight': 'layers.2.weight',
         'bias': 'layers.2.bias', 'mean': 'layers.2.running_mean', 'variance': 'layers.2.running_var'},
        {'type': 'relu'},
        {'type': 'max_pool1d', 'kernel': 3, 'stride': 2},
        {'type': 'conv1d', 'in': 4, 'out': 8, 'kernel': 3, 'stride': 2, 'padding': 1,
         'weight': 'layers.5.weight', 'bias': 'layers.5.bias'},
        {'type': 'relu'},
        {'type': 'global_average_pool'},
        linear(8, 8, 5),
    ]  # fmt: skip
    steps = [
        {'step': 'moving_average', 'window': 5},
        {
            'step': 'normalise',
            'method': 'standard',
            'mean': 'preprocessing.1.mean',
            'std': 'preprocessing.1.std',
        },
    ]
    return network('cnn1d', 64, layers, 5, steps)


def transformer() -> dict[str, Any]:
    """One encoder block over eight tokens of eight channels."""

    def norm(place: str) -> dict[str, Any]:
        return {
            'type': 'layer_norm',
            'dim': 12,
            'epsilon': 1e-5,
            'weight': f'{place}.weight',
            'bias': f'{place}.bias',
        }

    inner = 'layers.3.layers.1'
    attention = {
        'type': 'attention', 'dim': 12, 'heads': 3,
        'inWeight': f'{inner}.inWeight', 'inBias': f'{inner}.inBias',
        'outWeight': f'{inner}.outWeight', 'outBias': f'{inner}.outBias',
    }  # fmt: skip
    layers = [
        {'type': 'reshape', 'shape': [8, 8]},
        linear(1, 8, 12),
        {'type': 'position', 'tokens': 8, 'dim': 12, 'value': 'layers.2.value'},
        {'type': 'residual', 'layers': [norm('layers.3.layers.0'), attention]},
        {
            'type': 'residual',
            'layers': [norm('layers.4.layers.0'), linear(40, 12, 24), {'type': 'gelu'}, linear(41, 24, 12)],
        },
        {'type': 'mean_pool'},
        linear(6, 12, 5),
    ]
    return network('transformer', 64, layers, 5, [{'step': 'snip', 'iterations': 6}, {'step': 'square_root'}])


FAMILIES: Mapping[str, Any] = {'mlp': mlp, 'cnn1d': cnn1d, 'transformer': transformer}


def weights(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> Arrays:
    """Seeded values of these shapes; variances and deviations are positive."""
    random = np.random.default_rng(seed)
    made: Arrays = {}
    for name, shape in shapes.items():
        scale = 1 / np.sqrt(shape[-1]) if len(shape) > 1 else 0.1
        values = random.normal(scale=scale, size=shape)
        made[name] = (np.abs(values) + 0.5 if name.endswith(('running_var', '.std')) else values).astype(
            np.float32
        )
    return made


def write(folder: Path, architecture: Any, tensors: Arrays) -> Path:
    """`model.safetensors` and `architecture.json`, as a training leaves them."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / 'model.safetensors')
    if architecture is not None:
        text = json.dumps(architecture, sort_keys=True, separators=(',', ':'))
        (folder / 'architecture.json').write_text(f'{text}\n')
    return folder


def spectra(rows: int, channels: int = 64, seed: int = 1) -> NDArray[np.float32]:
    """Poisson counts with a peak for each row's class."""
    random = np.random.default_rng(seed)
    centres = 5 + 11 * (np.arange(rows) % 5)
    peaks = np.exp(-((np.arange(channels) - centres[:, None]) ** 2) / 8)
    return random.poisson(20 + 300 * peaks).astype(np.float32)
