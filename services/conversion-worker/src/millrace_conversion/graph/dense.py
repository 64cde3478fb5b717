"""Layers of plain networks: linear, activations, reshaping."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from millrace_conversion.runtime import load

from .emitter import Emitter
from .layer import RANK_MAX, SIZE_MAX, Layer, Shape, Size, TensorName, Tensors, Values, expect, wide


class Linear(Layer):
    """x Wᵀ + b over the last axis; `weight` [out, in], or [in, out] where `transposed` says so."""

    type: Literal['linear']
    inputs: Size = Field(alias='in')
    outputs: Size = Field(alias='out')
    weight: TensorName
    bias: TensorName | None = None
    transposed: bool = False

    def tensors(self, _given: Shape) -> dict[str, Shape]:
        sizes = (self.inputs, self.outputs) if self.transposed else (self.outputs, self.inputs)
        bias = {} if self.bias is None else {self.bias: (self.outputs,)}
        return {self.weight: sizes, **bias}

    def shape(self, given: Shape, place: str) -> Shape:
        expect(place, given[-1:] == (self.inputs,), f'takes {self.inputs} values, but gets {list(given)}')
        return (*given[:-1], self.outputs)

    def emit(self, graph: Emitter, value: str, place: str, _given: Shape, tensors: Tensors) -> str:
        matrix = tensors[self.weight] if self.transposed else tensors[self.weight].T
        product = graph.node('MatMul', [value, graph.constant(self.weight, matrix)], place)
        if self.bias is None:
            return product
        return graph.node('Add', [product, graph.constant(self.bias, tensors[self.bias])], place)

    def answer(self, values: Values, tensors: Tensors) -> Values:
        weight = wide(tensors[self.weight])
        bias = 0.0 if self.bias is None else wide(tensors[self.bias])
        return values @ (weight if self.transposed else weight.T) + bias


class Relu(Layer):
    """max(x, 0)."""

    type: Literal['relu']

    def emit(self, graph: Emitter, value: str, place: str, _given: Shape, _tensors: Tensors) -> str:
        return graph.node('Relu', [value], place)

    def answer(self, values: Values, _tensors: Tensors) -> Values:
        return np.maximum(values, 0)


class Gelu(Layer):
    """x Φ(x), by the error function."""

    type: Literal['gelu']

    def emit(self, graph: Emitter, value: str, place: str, _given: Shape, _tensors: Tensors) -> str:
        # the operator Gelu exists from opset 20 on
        root = graph.shared('gelu/root_half', np.array(math.sqrt(0.5), np.float32))
        one = graph.shared('gelu/one', np.array(1, np.float32))
        half = graph.shared('gelu/half', np.array(0.5, np.float32))
        error = graph.node('Erf', [graph.node('Mul', [value, root], place, '_root')], place)
        share = graph.node('Mul', [graph.node('Add', [error, one], place), half], place, '_share')
        return graph.node('Mul', [value, share], place)

    def answer(self, values: Values, _tensors: Tensors) -> Values:
        return values * load('scipy.special').ndtr(values)


class Softmax(Layer):
    """exp(x) / Σ exp(x) over the last axis."""

    type: Literal['softmax']

    def emit(self, graph: Emitter, value: str, place: str, _given: Shape, _tensors: Tensors) -> str:
        return graph.node('Softmax', [value], place, axis=-1)

    def answer(self, values: Values, _tensors: Tensors) -> Values:
        return softmax(values)


def softmax(values: Values) -> Values:
    """Over the last axis."""
    powers = np.exp(values - values.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


class Reshape(Layer):
    """[n, …shape], C order."""

    type: Literal['reshape']
    sizes: Annotated[list[Size], Field(alias='shape', min_length=1, max_length=RANK_MAX)]

    def shape(self, given: Shape, place: str) -> Shape:
        count = math.prod(given)
        expect(place, math.prod(self.sizes) == count, f'cannot make {self.sizes} of {list(given)}')
        return tuple(self.sizes)

    def emit(self, graph: Emitter, value: str, place: str, _given: Shape, _tensors: Tensors) -> str:
        # a size of 0 takes over the batch
        sizes = graph.constant(f'{place}/sizes', np.array([0, *self.sizes], np.int64))
        return graph.node('Reshape', [value, sizes], place)

    def answer(self, values: Values, _tensors: Tensors) -> Values:
        return values.reshape(len(values), *self.sizes)


class Flatten(Layer):
    """[n, product of the sizes]."""

    type: Literal['flatten']

    def shape(self, given: Shape, place: str) -> Shape:
        count = math.prod(given)
        expect(place, count <= SIZE_MAX, f'makes {count} values; at most {SIZE_MAX} are taken')
        return (count,)

    def emit(self, graph: Emitter, value: str, place: str, _given: Shape, _tensors: Tensors) -> str:
        return graph.node('Flatten', [value], place, axis=1)

    def answer(self, values: Values, _tensors: Tensors) -> Values:
        return values.reshape(len(values), -1)
