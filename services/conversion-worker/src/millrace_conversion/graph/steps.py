"""Steps of preprocessing, on raw counts [n, channels]; c counts channels from 0. "Edges repeat" means that
before the first channel stands the first, and after the last the last.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto
from pydantic import BaseModel, ConfigDict, Field

from .emitter import Emitter
from .layer import VALUES_MAX, Layer, Shape, TensorName, Tensors, Values, expect, wide

WINDOW_MAX = 4095
ITERATIONS_MAX = 512
SMALLEST_MAXIMUM = 1e-6
Window = Annotated[int, Field(strict=True, ge=1, le=WINDOW_MAX)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Step(Layer):
    """A step that gives a spectrum of as many channels as it takes."""

    def shape(self, given: Shape, place: str) -> Shape:
        expect(place, len(given) == 1, f'takes [channels], but gets {list(given)}')
        return given


class Calibration(BaseModel):
    """Energy of channel c: offset + gain · c, in keV."""

    model_config = ConfigDict(extra='forbid', frozen=True)
    gain: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    offset: Finite


class EnergyCalibration(Step):
    """The spectrum at the channels of another calibration, by linear interpolation, counts per keV kept."""

    step: Literal['energy_calibration']
    source: Calibration = Field(alias='from')
    target: Calibration = Field(alias='to')

    def _neighbours(self, channels: int) -> tuple[NDArray[np.int64], list[Values]]:
        energies = self.target.offset + self.target.gain * np.arange(channels)
        at = (energies - self.source.offset) / self.source.gain
        # far outside is as good as just outside, and fits an integer
        low = np.clip(np.floor(at), -2, channels).astype(np.int64)
        share = at - np.floor(at)
        scale = self.target.gain / self.source.gain
        both = np.stack([low, low + 1])
        is_inside = (both >= 0) & (both < channels)
        weights = [
            np.where(inside, part * scale, 0)
            for inside, part in zip(is_inside, (1 - share, share), strict=True)
        ]
        return np.clip(both, 0, channels - 1), weights

    def emit(self, graph: Emitter, value: str, place: str, given: Shape, _tensors: Tensors) -> str:
        indices, weights = self._neighbours(given[0])
        parts: list[str] = []
        for side, index, weight in zip(('low', 'high'), indices, weights, strict=True):
            own = f'{place}/{side}'
            taken = graph.node('Gather', [value, graph.constant(f'{own}/channels', index)], own, axis=1)
            share = graph.constant(f'{own}/shares', weight.astype(np.float32))
            parts.append(graph.node('Mul', [taken, share], own))
        return graph.node('Add', parts, place)

    def answer(self, values: Values, _tensors: Tensors) -> Values:
        (low, high), (first, second) = self._neighbours(values.shape[1])
        return values[:, low] * first + values[:, high] * second


def _windows(values: Values, window: int) -> Values:
    """[n, channels, window], edges repeated."""
    half = window // 2
    padded = np.pad(values, ((0, 0), (half, half)), mode='edge')
    return np.lib.stride_tricks.sliding_window_view(padded, window, axis=1)


def _with_edges(graph: Emitter, value: str, window: int, place: str) -> str:
    """[n, 1, channels + window - 1], edges repeated: what pooling and convolution take."""
    axis = graph.shared('axes/1', np.array([1], np.int64))
    row = graph.node('Unsqueeze', [value, axis], place)
    if window == 1:
        return row
    half = window // 2
    pads = graph.constant(f'{place}/pads', np.array([0, 0, half, 0, 0, half], np.int64))
    return graph.node('Pad', [row, pads], place, mode='edge')


def _without_row(graph: Emitter, value: str, place: str) -> str:
    return graph.node('Squeeze', [value, graph.shared('axes/1', np.array([1], np.int64))], place)


def _average(graph: Emitter, value: str, window: int, place: str) -> str:
    padded = _with_edges(graph, value, window, place)
    return _without_row(graph, graph.node('AveragePool', [padded], place, kernel_shape=[window]), place)


class _Windowed(Step):
    window: Window

    def shape(self, given: Shape, place: str) -> Shape:
        expect(place, self.window % 2 == 1, f'has an even window, {self.window}')
        made = super().shape(given, place)
        work = made[0] * self.window
        expect(place, work <= VALUES_MAX, f'has {work} values in its windows; at most {VALUES_MAX} are taken')
        return made


class MovingAverage(_Windowed):
    """Mean of `window` channels around each; edges repeat."""

    step: Literal['moving_average']

    def emit(self, graph: Emitter, value: str, place: str, _given: Shape, _tensors: Tensors) -> str:
        return _average(graph, value, self.window, place)

    def answer(self, values: Values, _tensors: Tensors) -> Values:
        return _windows(values, self.window).mean(-1)


class NoiseReduction(_Windowed):
    """Savitzky-Golay: Σ kernel[i] x[c - half + i], then max(y, 0); edges repeat."""

    step: Literal['noise_reduction']
    order: Annotated[int, Field(strict=True, ge=0, le=16)]
    kernel: Annotated[list[Finite], Field(min_length=1, max_length=WINDOW_MAX)]

    def shape(self, given: Shape, place: str) -> Shape:
        expect(
            place,
            len(self.kernel) == self.window,
            f'has {len(self.kernel)} weights for {self.window} channels',
        )
        return super().shape(given, place)

    def emit(self, graph: Emitter, value: str, place: str, _given: Shape, _tensors: Tensors) -> str:
        weights = np.array(self.kernel, np.float32).reshape(1, 1, -1)
        kernel = graph.constant(f'{place}/kernel', weights)
        padded = _with_edges(graph, value, self.window, place)
        smooth = graph.node('Conv', [padded, kernel], place, kernel_shape=[self.window])
        return graph.node('Relu', [_without_row(graph, smooth, place)], place)

    def answer(self, values: Values, _tensors: Tensors) -> Values:
        return np.maximum(_windows(values, self.window) @ np.array(self.kernel), 0)


class RollingBaseline(_Windowed):
    """max(x - b, 0), where b is the rolling minimum and then its moving average; edges repeat both times."""

    step: Literal['rolling_baseline']

    def emit(self, graph: Emitter, value: str, place: str, _given: Shape, _tensors: Tensors) -> str:
        own = f'{place}/minimum'
        turned = _with_edges(graph, graph.node('Neg', [value], own), self.window, own)
        highest = graph.node('MaxPool', [turned], own, kernel_shape=[self.window])
        lowest = graph.node('Neg', [_without_row(graph, highest, own)], own, '_back')
        return _above(graph, value, _average(graph, lowest, self.window, f'{place}/average'), place)

    def answer(self, values: Values, _tensors: Tensors) -> Values:
        lowest = _windows(values, self.window).min(-1)
        return np.maximum(values - _windows(lowest, self.window).mean(-1), 0)


def _above(graph: Emitter, value: str, baseline: str, place: str) -> str:
    return graph.node('Relu', [graph.node('Sub', [value, baseline], place)], place)


class Snip(Step):
    """Background by SNIP (Ryan et al., NIM B 34, 1988; Morháč et al., NIM A 401, 1997), taken off.

    v = ln(ln(√(x + 1) + 1) + 1); for p from `iterations` down to 1 each v[c] with p ≤ c < C - p becomes
    min(v[c], (v[c - p] + v[c + p]) / 2), all at once; the background is (exp(exp(v) - 1) - 1)² - 1. The graph
    computes it in float64: where nothing is clipped, x less its background is zero but for rounding, which a
    root or a scaling behind it would blow up.
    """

    step: Literal['snip']
    iterations: Annotated[int, Field(strict=True, ge=1, le=ITERATIONS_MAX)]

    def emit(self, graph: Emitter, value: str, place: str, given: Shape, _tensors: Tensors) -> str:
        one = graph.shared('snip/one', np.array(1, np.float64))
        counts = graph.node('Cast', [value], place, '_wide', to=TensorProto.DOUBLE)
        current = counts
        for index, operator in enumerate(('Sqrt', 'Log', 'Log')):
            current = graph.node('Add', [current, one], place, f'_{index}')
            current = graph.node(operator, [current], place, f'_{index}')
        for distance in range(self.iterations, 0, -1):
            current = _clip_once(graph, current, distance, given[0], f'{place}/{distance}')
        for index in range(2):
            current = graph.node(
                'Sub', [graph.node('Exp', [current], place, f'_{index}'), one], place, f'_{index}'
            )
        square = graph.node('Mul', [current, current], place)
        net = _above(graph, counts, graph.node('Sub', [square, one], place, '_2'), f'{place}/above')
        return graph.node('Cast', [net], place, to=TensorProto.FLOAT)

    def answer(self, values: Values, _tensors: Tensors) -> Values:
        state = np.log(np.log(np.sqrt(values + 1) + 1) + 1)
        channels = state.shape[1]
        for distance in range(self.iterations, 0, -1):
            if 2 * distance < channels:
                inner = slice(distance, channels - distance)
                mean = (state[:, : channels - 2 * distance] + state[:, 2 * distance :]) / 2
                state[:, inner] = np.minimum(state[:, inner], mean)
        return np.maximum(values - ((np.exp(np.exp(state) - 1) - 1) ** 2 - 1), 0)


def _clip_once(graph: Emitter, value: str, distance: int, channels: int, place: str) -> str:
    inner = channels - 2 * distance
    if inner <= 0:
        return value

    def part(name: str, start: int, length: int) -> str:
        bounds = [graph.shared(f'snip/at/{at}', np.array([at], np.int64)) for at in (start, start + length)]
        axis = graph.shared('axes/1', np.array([1], np.int64))
        return graph.node('Slice', [value, *bounds, axis], place, f'_{name}')

    first, last = part('first', 0, distance), part('last', channels - distance, distance)
    low, centre, high = (
        part(name, start, inner) for name, start in (('low', 0), ('centre', distance), ('high', 2 * distance))
    )
    half = graph.shared('snip/half', np.array(0.5, np.float64))
    mean = graph.node('Mul', [graph.node('Add', [low, high], place), half], place)
    lower = graph.node('Min', [centre, mean], place)
    return graph.node('Concat', [first, lower, last], place, axis=1)


class SquareRoot(Step):
    """√max(x, 0)."""

    step: Literal['square_root']

    def emit(self, graph: Emitter, value: str, place: str, _given: Shape, _tensors: Tensors) -> str:
        return graph.node('Sqrt', [graph.node('Relu', [value], place)], place)

    def answer(self, values: Values, _tensors: Tensors) -> Values:
        return np.sqrt(np.maximum(values, 0))


class Normalise(Step):
    """`max`: by the largest channel, at least 1e-6. `standard`: (x - mean) / std by channel, from tensors."""

    step: Literal['normalise']
    method: Literal['max', 'standard']
    mean: TensorName | None = None
    std: TensorName | None = None

    def _moments(self) -> tuple[str, str]:
        assert self.mean is not None and self.std is not None
        return self.mean, self.std

    def tensors(self, given: Shape) -> dict[str, Shape]:
        return {} if self.method == 'max' else dict.fromkeys(self._moments(), given)

    def shape(self, given: Shape, place: str) -> Shape:
        has_both = self.mean is not None and self.std is not None
        has_none = self.mean is None and self.std is None
        fits = has_none if self.method == 'max' else has_both
        expect(place, fits, 'must name mean and std for the method standard, and neither for max')
        return super().shape(given, place)

    def emit(self, graph: Emitter, value: str, place: str, _given: Shape, tensors: Tensors) -> str:
        if self.method == 'max':
            largest = graph.reduce('ReduceMax', value, 1, place, keep=True)
            smallest = graph.constant(f'{place}/smallest', np.array(SMALLEST_MAXIMUM, np.float32))
            return graph.node('Div', [value, graph.node('Max', [largest, smallest], place)], place)
        mean, std = (graph.constant(name, tensors[name]) for name in self._moments())
        return graph.node('Div', [graph.node('Sub', [value, mean], place), std], place)

    def answer(self, values: Values, tensors: Tensors) -> Values:
        if self.method == 'max':
            return values / np.maximum(values.max(1, keepdims=True), SMALLEST_MAXIMUM)
        mean, std = self._moments()
        return (values - wide(tensors[mean])) / wide(tensors[std])


AnyStep = Annotated[
    EnergyCalibration | MovingAverage | NoiseReduction | RollingBaseline | Snip | SquareRoot | Normalise,
    Field(discriminator='step'),
]
