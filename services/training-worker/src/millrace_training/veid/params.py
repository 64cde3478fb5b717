"""Parameters that the trainings of all VEID models have."""

from __future__ import annotations

from pydantic import Field

from millrace_training.params import Params


class VeidParams(Params):
    """What the three recipes share; how many passes and how large a step is each recipe's own."""

    learning_rate: float = Field(0.003, gt=0, le=1, description='Peak of the cosine schedule of Adam')
    filters: int = Field(24, ge=4, le=256, description='Filters of the first convolution')
    baselines: bool = Field(True, description='Trivial methods beside the model in the report')
    seed: int = Field(42, ge=0, le=2**32 - 1, description='Weights, order and augmentation follow from it')
    deterministic: bool = Field(True, description='Only operations that repeat bit for bit')
