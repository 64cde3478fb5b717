"""Layers of Transformer encoders, on values [n, tokens, dim], and the residual connection."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from .dense import softmax
from .emitter import OPSET_LAYER_NORMALIZATION, Emitter
from .layer import VALUES_MAX, Epsilon, Layer, Shape, Size, TensorName, Tensors, Values, expect, wide

HEADS_MAX = 1024


class Position(Layer):
    """x + value, one row a token."""

    type: Literal['position']
    tokens: Size
    dim: Size
    value: TensorName

    def tensors(self, _given: Shape) -> dict[str, Shape]:
        return {self.value: (self.tokens, self.dim)}

    def shape(self, given: Shape, place: str) -> Shape:
        expect(
            place,
            given == (self.tokens, self.dim),
            f'takes {[self.tokens, self.dim]}, but gets {list(given)}',
        )
        return given

    def emit(self, graph: Emitter, value: str, place: str, _given: Shape, tensors: Tensors) -> str:
        return graph.node('Add', [value, graph.constant(self.value, tensors[self.value])], place)

    def answer(self, values: Values, tensors: Tensors) -> Values:
        return values + wide(tensors[self.value])


class LayerNorm(Layer):
    """(x - mean) / √(variance + ε) · weight + bias over the last axis, with the biased variance."""

    type: Literal['layer_norm']
    dim: Size
    epsilon: Epsilon = 1e-5
    weight: TensorName
    bias: TensorName

    def tensors(self, _given: Shape) -> dict[str, Shape]:
        return {self.weight: (self.dim,), self.bias: (self.dim,)}

    def shape(self, given: Shape, place: str) -> Shape:
        expect(place, given[-1:] == (self.dim,), f'takes {self.dim} values, but gets {list(given)}')
        return given

    def emit(self, graph: Emitter, value: str, place: str, _given: Shape, tensors: Tensors) -> str:
        weight = graph.constant(self.weight, tensors[self.weight])
        bias = graph.constant(self.bias, tensors[self.bias])
        if graph.opset >= OPSET_LAYER_NORMALIZATION:
            return graph.node(
                'LayerNormalization', [value, weight, bias], place, axis=-1, epsilon=self.epsilon
            )
        mean = graph.reduce('ReduceMean', value, -1, f'{place}/mean', keep=True)
        centred = graph.node('Sub', [value, mean], place)
        square = graph.node('Mul', [centred, centred], place, '_square')
        variance = graph.reduce('ReduceMean', square, -1, f'{place}/variance', keep=True)
        epsilon = graph.constant(f'{place}/epsilon', np.array(self.epsilon, np.float32))
        root = graph.node('Sqrt', [graph.node('Add', [variance, epsilon], place, '_epsilon')], place)
        scaled = graph.node('Mul', [graph.node('Div', [centred, root], place), weight], place)
        return graph.node('Add', [scaled, bias], place)

    def answer(self, values: Values, tensors: Tensors) -> Values:
        centred = values - values.mean(-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(-1, keepdims=True) + self.epsilon)
        return centred / scale * wide(tensors[self.weight]) + wide(tensors[self.bias])


class Attention(Layer):
    """Multi-head self-attention without a mask; the rows of `inWeight` are query, key and value."""

    type: Literal['attention']
    dim: Size
    heads: Annotated[int, Field(strict=True, ge=1, le=HEADS_MAX)]
    in_weight: TensorName = Field(alias='inWeight')
    in_bias: TensorName = Field(alias='inBias')
    out_weight: TensorName = Field(alias='outWeight')
    out_bias: TensorName = Field(alias='outBias')

    def tensors(self, _given: Shape) -> dict[str, Shape]:
        rows = 3 * self.dim
        return {
            self.in_weight: (rows, self.dim),
            self.in_bias: (rows,),
            self.out_weight: (self.dim, self.dim),
            self.out_bias: (self.dim,),
        }

    def shape(self, given: Shape, place: str) -> Shape:
        fits = len(given) == 2 and given[1] == self.dim
        expect(place, fits, f'takes [tokens, {self.dim}], but gets {list(given)}')
        expect(place, self.dim % self.heads == 0, f'cannot split {self.dim} into {self.heads} heads')
        scores = given[0] ** 2 * self.heads
        expect(place, scores <= VALUES_MAX, f'makes {scores} scores a row; at most {VALUES_MAX} are taken')
        return given

    def emit(self, graph: Emitter, value: str, place: str, given: Shape, tensors: Tensors) -> str:
        (tokens, dim), heads = given, self.heads
        both = self._project(graph, value, f'{place}/in', (self.in_weight, self.in_bias), tensors)
        sizes = graph.constant(f'{place}/split', np.array([dim, dim, dim], np.int64))
        parts = graph.nodes('Split', [both, sizes], place, ['_query', '_key', '_value'], axis=2)
        by_head = graph.constant(f'{place}/by_head', np.array([0, tokens, heads, dim // heads], np.int64))
        joined = graph.constant(f'{place}/joined', np.array([0, tokens, dim], np.int64))
        orders = {'query': [0, 2, 1, 3], 'key': [0, 2, 3, 1], 'value': [0, 2, 1, 3]}
        query, key, rows = (
            graph.node(
                'Transpose',
                [graph.node('Reshape', [part, by_head], f'{place}/{name}')],
                f'{place}/{name}',
                perm=order,
            )
            for part, (name, order) in zip(parts, orders.items(), strict=True)
        )
        root = graph.constant(f'{place}/scale', np.array(1 / math.sqrt(dim / heads), np.float32))
        scores = graph.node('Mul', [graph.node('MatMul', [query, key], place, '_scores'), root], place)
        mixed = graph.node('MatMul', [graph.node('Softmax', [scores], place, axis=-1), rows], place, '_mixed')
        flat = graph.node(
            'Reshape', [graph.node('Transpose', [mixed], place, perm=[0, 2, 1, 3]), joined], place
        )
        return self._project(graph, flat, f'{place}/out', (self.out_weight, self.out_bias), tensors)

    def _project(
        self, graph: Emitter, value: str, place: str, names: tuple[str, str], tensors: Tensors
    ) -> str:
        weight, bias = names
        product = graph.node('MatMul', [value, graph.constant(weight, tensors[weight].T)], place)
        return graph.node('Add', [product, graph.constant(bias, tensors[bias])], place)

    def answer(self, values: Values, tensors: Tensors) -> Values:
        both = values @ wide(tensors[self.in_weight]).T + wide(tensors[self.in_bias])
        width = self.dim // self.heads
        mixed = np.empty_like(values)
        for head in range(self.heads):
            query, key, rows = (
                both[..., part * self.dim + head * width : part * self.dim + (head + 1) * width]
                for part in range(3)
            )
            shares = softmax(query @ key.swapaxes(1, 2) / math.sqrt(width))
            mixed[..., head * width : (head + 1) * width] = shares @ rows
        return mixed @ wide(tensors[self.out_weight]).T + wide(tensors[self.out_bias])


class MeanPool(Layer):
    """[tokens, dim] to [dim]."""

    type: Literal['mean_pool']

    def shape(self, given: Shape, place: str) -> Shape:
        expect(place, len(given) == 2, f'takes [tokens, dim], but gets {list(given)}')
        return given[1:]

    def emit(self, graph: Emitter, value: str, place: str, _given: Shape, _tensors: Tensors) -> str:
        return graph.reduce('ReduceMean', value, 1, place, keep=False)

    def answer(self, values: Values, _tensors: Tensors) -> Values:
        return values.mean(1)
