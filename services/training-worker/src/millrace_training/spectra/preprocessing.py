"""The reference of every preprocessing step, in numpy on float32; docs/weights.md has the definitions.

`fit` turns declared steps into fitted ones (a standard normalisation learns from the training split), `apply`
runs them, `describe` writes them as `architecture.json` has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import steps as declared

MIN_SCALE = 1e-6
"""What a spectrum is divided by at least."""

MIN_DEVIATION = 1e-4
"""A channel that deviates by less than this share of the one that deviates most is not scaled."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class FittedStep:
    """A declared step with what it learned: mean and std [channels] float32 of a standard normalisation."""

    step: Any
    mean: Array | None = None
    std: Array | None = None


def calibration_table(
    step: declared.EnergyCalibration, channels: int
) -> tuple[NDArray[np.int64], Array, Array]:
    """Where each channel of an energy calibration comes from: lower channel [channels], its weight and the
    weight of the next one. Lower channels are clipped to 0..channels - 2; weights outside are 0.
    """
    source, target = step.source, step.target
    position = (target.offset + target.gain * np.arange(channels) - source.offset) / source.gain
    low = np.floor(position)
    share = position - low
    scale = target.gain / source.gain
    inside_low = (low >= 0) & (low <= channels - 1)
    inside_high = (low + 1 >= 0) & (low + 1 <= channels - 1)
    clipped = np.clip(low, 0, channels - 2).astype(np.int64)
    first = np.where(inside_low, (1 - share) * scale, 0.0)
    second = np.where(inside_high, share * scale, 0.0)
    # At both ends the clipping moved the pair by one channel.
    at_top = low == channels - 1
    below = low == -1
    first, second = (
        np.where(at_top, 0.0, np.where(below, second, first)),
        np.where(at_top, first, np.where(below, 0.0, second)),
    )
    return clipped, first.astype(np.float32), second.astype(np.float32)


def smoothing_kernel(step: declared.NoiseReduction) -> Array:
    """Coefficients [window] of the Savitzky-Golay filter (Anal. Chem. 36, 1964), in the order of the
    channels.
    """
    # Loaded only where it is needed: it takes a second.
    from scipy.signal import savgol_coeffs  # pyright: ignore[reportUnknownVariableType]

    return np.asarray(savgol_coeffs(step.window, step.order, use='dot'), np.float32)


def _windows(x: Array, window: int) -> Array:
    half = window // 2
    padded = np.pad(x, ((0, 0), (half, half)), mode='edge')
    return np.lib.stride_tricks.sliding_window_view(padded, window, axis=1)


def _moving_average(x: Array, window: int) -> Array:
    return _windows(x, window).mean(axis=2, dtype=np.float32)


def _snip(x: Array, iterations: int) -> Array:
    # In float64: where nothing is clipped the difference is rounding alone, which later steps enlarge.
    exact = x.astype(np.float64)
    v = np.log(np.log(np.sqrt(exact + 1) + 1) + 1)
    for p in range(min(iterations, (x.shape[1] - 1) // 2), 0, -1):
        clipped = np.minimum(v[:, p:-p], (v[:, : -2 * p] + v[:, 2 * p :]) / 2)
        v = np.concatenate([v[:, :p], clipped, v[:, -p:]], axis=1)
    baseline = np.square(np.exp(np.exp(v) - 1) - 1) - 1
    return np.maximum(exact - baseline, 0).astype(np.float32)


def apply_step(fitted: FittedStep, x: Array) -> Array:
    """One step on x [n, channels] float32."""
    match fitted.step:
        case declared.EnergyCalibration() as step:
            low, first, second = calibration_table(step, x.shape[1])
            moved = x[:, low] * first + x[:, low + 1] * second
            return moved.astype(np.float32, copy=False)
        case declared.MovingAverage(window=window):
            return _moving_average(x, window)
        case declared.NoiseReduction() as step:
            return np.maximum(_windows(x, step.window) @ smoothing_kernel(step), 0)
        case declared.RollingBaseline(window=window):
            return np.maximum(x - _moving_average(_windows(x, window).min(axis=2), window), 0)
        case declared.Snip(iterations=iterations):
            return _snip(x, iterations)
        case declared.SquareRoot():
            return np.sqrt(np.maximum(x, np.float32(0)))
        case declared.Normalise(method='max'):
            return x / np.maximum(x.max(axis=1, keepdims=True), np.float32(MIN_SCALE))
        case declared.Normalise():
            assert fitted.mean is not None
            assert fitted.std is not None
            return (x - fitted.mean) / fitted.std
        case _:
            raise AssertionError(f'no such step: {fitted.step!r}')


def apply(fitted: Sequence[FittedStep], spectra: Array) -> Array:
    """All steps on raw counts [n, channels]; float32 in and out."""
    x = np.asarray(spectra, np.float32)
    for step in fitted:
        x = apply_step(step, x).astype(np.float32, copy=False)
    return x


def fit(declared_steps: Sequence[Any], spectra: Array) -> list[FittedStep]:
    """The steps, fitted to the training split [n, channels]."""
    fitted: list[FittedStep] = []
    x = np.asarray(spectra, np.float32)
    for step in declared_steps:
        if isinstance(step, declared.Normalise) and step.method == 'standard':
            mean = x.mean(axis=0, dtype=np.float64).astype(np.float32)
            std = x.std(axis=0, dtype=np.float64)
            # A channel that hardly changed in training must not blow up when it does later.
            least = max(MIN_SCALE, MIN_DEVIATION * float(std.max()))
            std = np.where(std < least, 1.0, std).astype(np.float32)
            fitted.append(FittedStep(step, mean, std))
        else:
            fitted.append(FittedStep(step))
        x = apply_step(fitted[-1], x).astype(np.float32, copy=False)
    return fitted


def describe(fitted: Sequence[FittedStep]) -> list[dict[str, Any]]:
    """The steps as JSON; tensors are named `preprocessing.<index>.mean` and `.std`."""
    described: list[dict[str, Any]] = []
    for index, item in enumerate(fitted):
        entry: dict[str, Any] = item.step.model_dump(mode='json', by_alias=True)
        if isinstance(item.step, declared.NoiseReduction):
            entry['kernel'] = [float(value) for value in smoothing_kernel(item.step)]
        if item.mean is not None:
            entry |= {'mean': f'preprocessing.{index}.mean', 'std': f'preprocessing.{index}.std'}
        described.append(entry)
    return described


def tensors(fitted: Sequence[FittedStep]) -> dict[str, Array]:
    """What the fitted steps learned, by tensor name."""
    named: dict[str, Array] = {}
    for index, item in enumerate(fitted):
        if item.mean is not None and item.std is not None:
            named |= {f'preprocessing.{index}.mean': item.mean, f'preprocessing.{index}.std': item.std}
    return named
