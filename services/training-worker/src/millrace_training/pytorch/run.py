# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingImports=false
# pyright: reportPrivateImportUsage=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false
# The development environment has no torch.
"""A training in hand: what it was asked for, where its checkpoints go, and all that changes while it runs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from millrace_training.spectra.sampling import Sampling
from millrace_training.spectra.schedule import RateKeeper

from .augmentation import AugmentationOptions


@dataclass(frozen=True)
class FitOptions:
    """What the loop needs of a job's parameters."""

    epochs: int
    batch_size: int
    weight_decay: float
    clip_norm: float
    patience: int
    seed: int
    sampling: Sampling
    augmentation: AugmentationOptions | None
    checkpoint_steps: int


@dataclass
class Progress:
    """Everything that changes while a training runs, beside tensors."""

    epoch: int = 0
    batch: int = 0
    sequence: int = 0
    """Checkpoints written so far."""
    loss_sum: float = 0.0
    correct: int = 0
    seen: int = 0
    best_loss: float = math.inf
    best_epoch: int = -1
    history: list[dict[str, float]] = field(default_factory=list[dict[str, float]])


@dataclass
class Run:
    """One training in hand."""

    net: Any
    optimizer: Any
    rates: RateKeeper
    generator: Any
    progress: Progress
    best: dict[str, Any]
    saved_step: int = 0
    """Batches done when the last checkpoint was written or read."""

    @property
    def step(self) -> int:
        """Batches done."""
        return self.progress.epoch * self.rates.steps_per_epoch + self.progress.batch
