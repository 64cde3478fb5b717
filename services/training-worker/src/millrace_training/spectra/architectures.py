"""The three families of nets as lists of layers, ready for `architecture.json`."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

Layer = dict[str, Any]

EPSILON = 1e-5
CNN_BLOCKS = ((16, 11, 2, 2), (32, 7, 1, 2), (64, 5, 1, 4))
"""Of each block: channels, kernel, stride, pooling."""
CNN_HIDDEN = 128
TOKENS, TOKEN_CHANNELS = 64, 16
DIM, HEADS, FEED_FORWARD, BLOCKS = 64, 4, 128, 2


def _linear(inputs: int, outputs: int) -> Layer:
    return {'type': 'linear', 'in': inputs, 'out': outputs}


def mlp(channels: int, classes: int, hidden: tuple[int, ...]) -> list[Layer]:
    """Fully connected layers with ReLU between."""
    sizes = (channels, *hidden)
    layers: list[Layer] = []
    for inputs, outputs in pairwise(sizes):
        layers += [_linear(inputs, outputs), {'type': 'relu'}]
    return [*layers, _linear(sizes[-1], classes), {'type': 'softmax'}]


def cnn1d(channels: int, classes: int) -> list[Layer]:
    """Three convolutions along the energy axis, each with batch norm and pooling, and one hidden layer."""
    layers: list[Layer] = [{'type': 'reshape', 'shape': [1, channels]}]
    inputs, length = 1, channels
    for outputs, kernel, stride, pool in CNN_BLOCKS:
        layers += [
            {
                'type': 'conv1d', 'in': inputs, 'out': outputs, 'kernel': kernel, 'stride': stride,
                'padding': kernel // 2,
            },
            {'type': 'batch_norm', 'channels': outputs, 'epsilon': EPSILON},
            {'type': 'relu'},
            {'type': 'max_pool1d', 'kernel': pool, 'stride': pool},
        ]  # fmt: skip
        inputs, length = outputs, length // stride // pool
    return [
        *layers,
        {'type': 'flatten'},
        _linear(inputs * length, CNN_HIDDEN),
        {'type': 'relu'},
        _linear(CNN_HIDDEN, classes),
        {'type': 'softmax'},
    ]


def transformer(channels: int, classes: int) -> list[Layer]:
    """Slices of 16 channels as tokens, and two encoder blocks with the norm first (Xiong et al., ICML
    2020).
    """
    norm: Layer = {'type': 'layer_norm', 'dim': DIM, 'epsilon': EPSILON}
    blocks: list[Layer] = []
    for _ in range(BLOCKS):
        feed = [dict(norm), _linear(DIM, FEED_FORWARD), {'type': 'gelu'}, _linear(FEED_FORWARD, DIM)]
        attend = [dict(norm), {'type': 'attention', 'dim': DIM, 'heads': HEADS}]
        blocks += [{'type': 'residual', 'layers': attend}, {'type': 'residual', 'layers': feed}]
    assert channels == TOKENS * TOKEN_CHANNELS
    return [
        {'type': 'reshape', 'shape': [TOKENS, TOKEN_CHANNELS]},
        _linear(TOKEN_CHANNELS, DIM),
        {'type': 'position', 'tokens': TOKENS, 'dim': DIM},
        *blocks,
        dict(norm),
        {'type': 'mean_pool'},
        _linear(DIM, classes),
        {'type': 'softmax'},
    ]


_TENSORS = {
    'linear': {'weight': 'weight', 'bias': 'bias'},
    'conv1d': {'weight': 'weight', 'bias': 'bias'},
    'layer_norm': {'weight': 'weight', 'bias': 'bias'},
    'batch_norm': {
        'weight': 'weight', 'bias': 'bias', 'mean': 'running_mean', 'variance': 'running_var',
    },
    'attention': {
        'inWeight': 'in_weight', 'inBias': 'in_bias', 'outWeight': 'out_weight', 'outBias': 'out_bias',
    },
    'position': {'value': 'value'},
}  # fmt: skip
"""Fields of a layer that name tensors, and what torch's state dict calls them."""


def with_tensor_names(layers: list[Layer], prefix: str = 'layers') -> list[Layer]:
    """The layers with the names of their tensors in."""
    named: list[Layer] = []
    for index, layer in enumerate(layers):
        path = f'{prefix}.{index}'
        entry = {
            **layer,
            **{field: f'{path}.{name}' for field, name in _TENSORS.get(layer['type'], {}).items()},
        }
        if layer['type'] == 'residual':
            entry['layers'] = with_tensor_names(layer['layers'], f'{path}.layers')
        named.append(entry)
    return named


def tensor_names(layers: list[Layer]) -> list[str]:
    """Every tensor that the named layers use, in their order."""
    names: list[str] = []
    for layer in layers:
        if layer['type'] == 'residual':
            names += tensor_names(layer['layers'])
        else:
            names += [layer[field] for field in _TENSORS.get(layer['type'], {})]
    return names
