# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingImports=false
# pyright: reportPrivateImportUsage=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false
# The development environment has no torch.
"""Preprocessing in torch, step by step the same as the numpy reference; differentiable, so it can be
explained.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from millrace_training.spectra import steps as declared
from millrace_training.spectra.preprocessing import (
    MIN_SCALE,
    FittedStep,
    calibration_table,
    smoothing_kernel,
)


def _padded(x: Any, window: int) -> Any:
    return functional.pad(x[:, None], (window // 2, window // 2), mode='replicate')


def _moving_average(x: Any, window: int) -> Any:
    return functional.avg_pool1d(_padded(x, window), window, 1)[:, 0]


def _rolling_minimum(x: Any, window: int) -> Any:
    return -functional.max_pool1d(_padded(-x, window), window, 1)[:, 0]


def _snip(x: Any, iterations: int) -> Any:
    exact = x.double()
    v = torch.log(torch.log(torch.sqrt(exact + 1) + 1) + 1)
    for p in range(min(iterations, (x.shape[1] - 1) // 2), 0, -1):
        clipped = torch.minimum(v[:, p:-p], (v[:, : -2 * p] + v[:, 2 * p :]) / 2)
        v = torch.cat([v[:, :p], clipped, v[:, -p:]], dim=1)
    baseline = torch.square(torch.exp(torch.exp(v) - 1) - 1) - 1
    return torch.relu(exact - baseline).to(x.dtype)


class Preprocessing(nn.Module):
    """The fitted steps as one module: raw counts [n, channels] to what the net takes."""

    def __init__(self, fitted: Sequence[FittedStep], channels: int) -> None:
        super().__init__()
        self._fitted = list(fitted)
        # Not among the weights: these follow from the declared steps alone.
        for index, item in enumerate(self._fitted):
            for name, value in _constants(item, channels).items():
                self.register_buffer(f'{name}_{index}', torch.from_numpy(value), persistent=False)

    def _constant(self, name: str, index: int) -> Any:
        return getattr(self, f'{name}_{index}')

    def forward(self, x: Any) -> Any:
        """All steps on raw counts [n, channels]."""
        for index, item in enumerate(self._fitted):
            x = self._step(item.step, index, x)
        return x

    def _step(self, step: Any, index: int, x: Any) -> Any:
        match step:
            case declared.EnergyCalibration():
                low = self._constant('low', index)
                first, second = self._constant('first', index), self._constant('second', index)
                return x[:, low] * first + x[:, low + 1] * second
            case declared.MovingAverage(window=window):
                return _moving_average(x, window)
            case declared.NoiseReduction(window=window):
                kernel = self._constant('kernel', index)[None, None]
                return torch.relu(functional.conv1d(_padded(x, window), kernel)[:, 0])
            case declared.RollingBaseline(window=window):
                return torch.relu(x - _moving_average(_rolling_minimum(x, window), window))
            case declared.Snip(iterations=iterations):
                return _snip(x, iterations)
            case declared.SquareRoot():
                return torch.sqrt(torch.relu(x))
            case declared.Normalise(method='max'):
                return x / torch.clamp(x.amax(dim=1, keepdim=True), min=MIN_SCALE)
            case declared.Normalise():
                return (x - self._constant('mean', index)) / self._constant('std', index)
            case _:
                raise AssertionError(f'no such step: {step!r}')


def _constants(item: FittedStep, channels: int) -> dict[str, Any]:
    if isinstance(item.step, declared.EnergyCalibration):
        low, first, second = calibration_table(item.step, channels)
        return {'low': low, 'first': first, 'second': second}
    if isinstance(item.step, declared.NoiseReduction):
        return {'kernel': smoothing_kernel(item.step)}
    if item.mean is not None and item.std is not None:
        return {'mean': item.mean, 'std': item.std}
    return {}
