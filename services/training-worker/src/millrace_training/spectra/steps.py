"""Preprocessing as it is declared: an ordered list of steps, each with its parameters.

Training and serving share the list: it goes into `architecture.json` and from there into the ONNX graph.
docs/weights.md defines each step; `preprocessing.py` is the reference.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from millrace_training.params import Params


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError('must be odd, so that a window has a middle')
    return value


class Calibration(Params):
    """Energy of a channel: offset + gain · channel."""

    gain: float = Field(gt=0, le=100, description='keV a channel')
    offset: float = Field(0.0, ge=-500, le=500, description='keV of channel 0')


class EnergyCalibration(Params):
    """Moves counts to the channels where another calibration would have put them."""

    step: Literal['energy_calibration'] = 'energy_calibration'
    source: Calibration = Field(alias='from')
    target: Calibration = Field(alias='to')


class MovingAverage(Params):
    """Mean over a window of channels."""

    step: Literal['moving_average'] = 'moving_average'
    window: int = Field(5, ge=3, le=101)
    _window = field_validator('window')(_odd)


class NoiseReduction(Params):
    """Savitzky-Golay filter: a polynomial fitted to a window of channels."""

    step: Literal['noise_reduction'] = 'noise_reduction'
    window: int = Field(9, ge=3, le=101)
    order: int = Field(2, ge=1, le=5)
    _window = field_validator('window')(_odd)

    @model_validator(mode='after')
    def _fits(self) -> NoiseReduction:
        if self.order >= self.window:
            raise ValueError('order must be below window')
        return self


class RollingBaseline(Params):
    """Subtracts the smoothed rolling minimum."""

    step: Literal['rolling_baseline'] = 'rolling_baseline'
    window: int = Field(51, ge=3, le=501)
    _window = field_validator('window')(_odd)


class Snip(Params):
    """Subtracts the background that SNIP clips out under the peaks."""

    step: Literal['snip'] = 'snip'
    iterations: int = Field(24, ge=1, le=200, description='Largest half width of a peak, in channels')


class SquareRoot(Params):
    """Makes Poisson noise equally large everywhere."""

    step: Literal['square_root'] = 'square_root'


class Normalise(Params):
    """`max`: each spectrum by its highest channel; `standard`: each channel by mean and deviation of the
    training split.
    """

    step: Literal['normalise'] = 'normalise'
    method: Literal['max', 'standard'] = 'max'


Step = Annotated[
    EnergyCalibration
    | MovingAverage
    | NoiseReduction
    | RollingBaseline
    | Snip
    | SquareRoot
    | Normalise,
    Field(discriminator='step'),
]

MAX_STEPS = 12
"""Steps in a pipeline at most."""
