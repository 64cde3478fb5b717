"""Layers of 1-D convolutional networks, on values [n, channels, length]."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from .emitter import Emitter
from .layer import Epsilon, Layer, Shape, Size, TensorName, Tensors, Values, expect, wide

KERNEL_MAX = 65_536
Kernel = Annotated[int, Field(strict=True, ge=1, le=KERNEL_MAX)]


class Conv1d(Layer):
    """Cross-correlation over the last axis, zeros at both ends; `weight` [out, in, kernel]."""

    type: Literal['conv1d']
    inputs: Size = Field(alias='in')
    outputs: Size = Field(alias='out')
    kernel: Kernel
    stride: Kernel = 1
    padding: Annotated[int, Field(strict=True, ge=0, le=KERNEL_MAX)] = 0
    weight: TensorName
    bias: TensorName | None = None

    def tensors(self, _given: Shape) -> dict[str, Shape]:
        bias = {} if self.bias is None else {self.bias: (self.outputs,)}
        return {self.weight: (self.outputs, self.inputs, self.kernel), **bias}

    def shape(self, given: Shape, place: str) -> Shape:
        fits = len(given) == 2 and given[0] == self.inputs
        expect(place, fits, f'takes [{self.inputs}, length], but gets {list(given)}')
        expect(place, self.padding < self.kernel, 'pads a whole kernel or more')
        room = given[1] + 2 * self.padding - self.kernel
        expect(place, room >= 0, f'has a kernel of {self.kernel}, longer than its input')
        return (self.outputs, room // self.stride + 1)

    def emit(self, graph: Emitter, value: str, place: str, _given: Shape, tensors: Tensors) -> str:
        inputs = [value, graph.constant(self.weight, tensors[self.weight])]
        if self.bias is not None:
            inputs.append(graph.constant(self.bias, tensors[self.bias]))
        pads = [self.padding, self.padding]
        return graph.node('Conv', inputs, place, kernel_shape=[self.kernel], strides=[self.stride], pads=pads)

    def answer(self, values: Values, tensors: Tensors) -> Values:
        padded = np.pad(values, ((0, 0), (0, 0), (self.padding, self.padding)))
        weight = wide(tensors[self.weight])
        span = padded.shape[2] - self.kernel + 1
        result = np.zeros((len(values), (span - 1) // self.stride + 1, self.outputs))
        for tap in range(self.kernel):
            result += padded[:, :, tap : tap + span : self.stride].swapaxes(1, 2) @ weight[:, :, tap].T
        bias = 0.0 if self.bias is None else wide(tensors[self.bias])
        return (result + bias).swapaxes(1, 2)


class BatchNorm(Layer):
    """(x - mean) / √(variance + ε) · weight + bias by channel; each tensor is [channels]."""

    type: Literal['batch_norm']
    channels: Size
    epsilon: Epsilon = 1e-5
    weight: TensorName
    bias: TensorName
    mean: TensorName
    variance: TensorName

    def tensors(self, _given: Shape) -> dict[str, Shape]:
        return dict.fromkeys(self._names(), (self.channels,))

    def _names(self) -> tuple[str, str, str, str]:
        return self.weight, self.bias, self.mean, self.variance

    def shape(self, given: Shape, place: str) -> Shape:
        fits = len(given) in (1, 2) and given[0] == self.channels
        expect(place, fits, f'takes [{self.channels}] or [{self.channels}, length], but gets {list(given)}')
        return given

    def emit(self, graph: Emitter, value: str, place: str, _given: Shape, tensors: Tensors) -> str:
        names = [graph.constant(name, tensors[name]) for name in self._names()]
        return graph.node('BatchNormalization', [value, *names], place, epsilon=self.epsilon)

    def answer(self, values: Values, tensors: Tensors) -> Values:
        shape = (-1,) + (1,) * (values.ndim - 2)
        weight, bias, mean, variance = (wide(tensors[name]).reshape(shape) for name in self._names())
        return (values - mean) / np.sqrt(variance + self.epsilon) * weight + bias


class MaxPool1d(Layer):
    """Maximum over windows of the last axis; incomplete windows are left out."""

    type: Literal['max_pool1d']
    kernel: Kernel
    stride: Kernel

    def shape(self, given: Shape, place: str) -> Shape:
        expect(place, len(given) == 2, f'takes [channels, length], but gets {list(given)}')
        expect(place, given[1] >= self.kernel, f'has a kernel of {self.kernel}, longer than its input')
        return (given[0], (given[1] - self.kernel) // self.stride + 1)

    def emit(self, graph: Emitter, value: str, place: str, _given: Shape, _tensors: Tensors) -> str:
        return graph.node('MaxPool', [value], place, kernel_shape=[self.kernel], strides=[self.stride])

    def answer(self, values: Values, _tensors: Tensors) -> Values:
        windows = np.lib.stride_tricks.sliding_window_view(values, self.kernel, axis=2)
        return windows[:, :, :: self.stride].max(-1)


class GlobalAveragePool(Layer):
    """[channels, length] to [channels]."""

    type: Literal['global_average_pool']

    def shape(self, given: Shape, place: str) -> Shape:
        expect(place, len(given) == 2, f'takes [channels, length], but gets {list(given)}')
        return given[:1]

    def emit(self, graph: Emitter, value: str, place: str, _given: Shape, _tensors: Tensors) -> str:
        return graph.node('Flatten', [graph.node('GlobalAveragePool', [value], place)], place, axis=1)

    def answer(self, values: Values, _tensors: Tensors) -> Values:
        return values.mean(2)
