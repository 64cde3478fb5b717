# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingImports=false
# pyright: reportPrivateImportUsage=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false
# The development environment has no torch.
"""Nets built from the very list of layers that `architecture.json` holds; docs/weights.md defines each
layer.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional

Layer = dict[str, Any]


class Attention(nn.Module):
    """Multi-head self-attention over [n, tokens, dim], query, key and value in one matrix."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_weight = nn.Parameter(torch.empty(dim, dim))
        self.out_bias = nn.Parameter(torch.zeros(dim))
        nn.init.xavier_uniform_(self.in_weight)
        nn.init.xavier_uniform_(self.out_weight)

    def forward(self, x: Any) -> Any:
        n, tokens, dim = x.shape
        size = dim // self.heads
        parts = functional.linear(x, self.in_weight, self.in_bias)
        query, key, value = (
            part.reshape(n, tokens, self.heads, size).transpose(1, 2) for part in parts.split(dim, dim=-1)
        )
        scores = query @ key.transpose(-2, -1) / math.sqrt(size)
        mixed = (torch.softmax(scores, dim=-1) @ value).transpose(1, 2).reshape(n, tokens, dim)
        return functional.linear(mixed, self.out_weight, self.out_bias)


class Position(nn.Module):
    """A learned value [tokens, dim] added to every token."""

    def __init__(self, tokens: int, dim: int) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.empty(tokens, dim))
        nn.init.normal_(self.value, std=0.02)

    def forward(self, x: Any) -> Any:
        return x + self.value


class Shape(nn.Module):
    """The layers that have no weights and only move numbers."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self._layer = layer

    def forward(self, x: Any) -> Any:
        match self._layer['type']:
            case 'reshape':
                return x.reshape(x.shape[0], *self._layer['shape'])
            case 'flatten':
                return x.flatten(1)
            case 'global_average_pool':
                return x.mean(dim=-1)
            case _:
                return x.mean(dim=1)


class Residual(nn.Module):
    """x + layers(x)."""

    def __init__(self, layers: list[Layer], dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList([_module(layer, dropout) for layer in layers])

    def forward(self, x: Any) -> Any:
        y = x
        for layer in self.layers:
            y = layer(y)
        return x + y


class Activation(nn.Module):
    """ReLU or GELU, and dropout while training."""

    def __init__(self, kind: str, dropout: float) -> None:
        super().__init__()
        self._function = functional.relu if kind == 'relu' else functional.gelu
        self._dropout = dropout

    def forward(self, x: Any) -> Any:
        return functional.dropout(self._function(x), self._dropout, self.training)


def _module(layer: Layer, dropout: float) -> Any:
    match layer['type']:
        case 'linear':
            return nn.Linear(layer['in'], layer['out'])
        case 'conv1d':
            return nn.Conv1d(
                layer['in'], layer['out'], layer['kernel'], layer['stride'], padding=layer['padding']
            )
        case 'batch_norm':
            return nn.BatchNorm1d(layer['channels'], eps=layer['epsilon'])
        case 'layer_norm':
            return nn.LayerNorm(layer['dim'], eps=layer['epsilon'])
        case 'max_pool1d':
            return nn.MaxPool1d(layer['kernel'], layer['stride'])
        case 'attention':
            return Attention(layer['dim'], layer['heads'])
        case 'position':
            return Position(layer['tokens'], layer['dim'])
        case 'residual':
            return Residual(layer['layers'], dropout)
        case 'relu' | 'gelu' as kind:
            return Activation(kind, dropout)
        case 'softmax':
            return nn.Softmax(dim=-1)
        case _:
            return Shape(layer)


class Net(nn.Module):
    """Raw counts [n, channels] to probabilities [n, classes]; `logits` stops before the softmax."""

    def __init__(self, preprocessing: nn.Module, layers: list[Layer], dropout: float) -> None:
        super().__init__()
        self.preprocessing = preprocessing
        self.layers = nn.ModuleList([_module(layer, dropout) for layer in layers])

    def logits(self, spectra: Any) -> Any:
        """What the last layer before the softmax gives."""
        x = self.preprocessing(spectra)
        for layer in list(self.layers)[:-1]:
            x = layer(x)
        return x

    def forward(self, spectra: Any) -> Any:
        return torch.softmax(self.logits(spectra), dim=-1)
