"""Learning rates over a training: a warm-up, then one of five schedules."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from millrace_training.params import Params


class Constant(Params):
    """The same rate throughout."""

    type: Literal['constant'] = 'constant'


class StepDecay(Params):
    """Times `gamma` after every `every` epochs."""

    type: Literal['step_decay'] = 'step_decay'
    every: int = Field(10, ge=1, le=10_000)
    gamma: float = Field(0.5, gt=0, le=1)


class ExponentialDecay(Params):
    """Times `gamma` after every epoch."""

    type: Literal['exponential_decay'] = 'exponential_decay'
    gamma: float = Field(0.95, gt=0, le=1)


class CosineAnnealing(Params):
    """Half a cosine down to `minimum` times the rate, batch by batch (Loshchilov and Hutter, SGDR, 2017)."""

    type: Literal['cosine_annealing'] = 'cosine_annealing'
    minimum: float = Field(0.0, ge=0, lt=1)


class ReduceOnPlateau(Params):
    """Times `factor` when the validation loss has not fallen by `threshold` of itself for more than
    `patience` epochs.
    """

    type: Literal['reduce_on_plateau'] = 'reduce_on_plateau'
    factor: float = Field(0.5, gt=0, lt=1)
    patience: int = Field(3, ge=0, le=10_000)
    threshold: float = Field(1e-4, ge=0, lt=1)
    minimum: float = Field(0.0, ge=0, lt=1)


Schedule = Annotated[
    Constant | StepDecay | ExponentialDecay | CosineAnnealing | ReduceOnPlateau, Field(discriminator='type')
]


@dataclass
class RateKeeper:
    """Gives the rate of each batch; `state` is what a checkpoint must keep of it."""

    peak: float
    schedule: Schedule
    warmup_steps: int
    steps_per_epoch: int
    total_steps: int
    best: float = field(default=math.inf)
    bad_epochs: int = 0
    scale: float = 1.0

    def rate(self, step: int) -> float:
        """The rate of batch `step` of the whole training, from 0."""
        if step < self.warmup_steps:
            return self.peak * (step + 1) / self.warmup_steps
        epoch = step // self.steps_per_epoch
        match self.schedule:
            case Constant():
                return self.peak
            case StepDecay(every=every, gamma=gamma):
                return self.peak * gamma ** (epoch // every)
            case ExponentialDecay(gamma=gamma):
                return self.peak * gamma**epoch
            case CosineAnnealing(minimum=minimum):
                done = (step - self.warmup_steps) / max(self.total_steps - self.warmup_steps, 1)
                return self.peak * (minimum + (1 - minimum) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))
            case ReduceOnPlateau(minimum=minimum):
                return self.peak * max(self.scale, minimum)

    def on_epoch(self, validation_loss: float) -> None:
        """Take note of an epoch's end; only ReduceOnPlateau cares."""
        if not isinstance(self.schedule, ReduceOnPlateau):
            return
        if validation_loss < self.best * (1 - self.schedule.threshold):
            self.best, self.bad_epochs = validation_loss, 0
            return
        self.bad_epochs += 1
        if self.bad_epochs > self.schedule.patience:
            self.scale *= self.schedule.factor
            self.bad_epochs = 0

    @property
    def state(self) -> list[float]:
        """Best validation loss, epochs without a better one, and the factor reached."""
        return [self.best, float(self.bad_epochs), self.scale]

    @state.setter
    def state(self, values: list[float]) -> None:
        self.best, self.bad_epochs, self.scale = values[0], int(values[1]), values[2]
