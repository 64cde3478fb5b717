"""What a training of spectra and its generator may be asked for, with defaults and bounds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from millrace_training.params import Params

from .sampling import Sampling
from .schedule import CosineAnnealing, Schedule
from .steps import MAX_STEPS, Normalise, SquareRoot, Step

MAX_HIDDEN_LAYERS = 8


class Augmentation(Params):
    """Random changes of every training batch; they are no part of the model."""

    gain_shift: float = Field(0.04, ge=0, le=0.5, description='Largest relative error of the gain')
    offset_shift: float = Field(3.0, ge=0, le=100, description='Largest move of the axis, in channels')
    scaling: float = Field(0.3, ge=0, le=3, description='Largest change of the counts, as e^±scaling')
    noise: float = Field(0.3, ge=0, le=3, description='Added noise, in Poisson deviations of a channel')


class IsotopeParams(Params):
    """Parameters of a training."""

    architecture: Literal['mlp', 'cnn1d', 'transformer'] = Field('mlp', description='Family of the net')
    hidden: list[Annotated[int, Field(ge=1, le=8192)]] = Field(
        [512, 256, 128],
        min_length=1,
        max_length=MAX_HIDDEN_LAYERS,
        description='Sizes of the hidden layers of the MLP',
    )
    dropout: float = Field(0.1, ge=0, lt=1, description='Share of activations left out while training')
    epochs: int = Field(30, ge=1, le=2_000, description='Passes over the training spectra')
    batch_size: int = Field(64, ge=1, le=4_096, description='Spectra in a step')
    learning_rate: float = Field(0.001, gt=0, le=1, description='Peak of the schedule of AdamW')
    weight_decay: float = Field(0.01, ge=0, le=1, description='Of AdamW, on matrices only')
    clip_norm: float = Field(1.0, ge=0, le=1_000, description='Largest norm of a gradient; 0: none')
    warmup_epochs: float = Field(1.0, ge=0, le=100, description='Epochs in which the rate rises from 0')
    schedule: Schedule = Field(CosineAnnealing(minimum=0.0), description='The rate after the warm-up')
    patience: int = Field(10, ge=0, le=1_000, description='Epochs without a better one; 0: no end')
    sampling: Sampling = Field('stratified', description='How an epoch picks and orders its samples')
    augmentation: Augmentation | None = Field(
        Augmentation(gain_shift=0.04, offset_shift=3.0, scaling=0.3, noise=0.3), description='null: none'
    )
    preprocessing: list[Step] = Field(
        [SquareRoot(), Normalise()],
        max_length=MAX_STEPS,
        description='Steps from raw counts to the net, in order; part of the model',
    )
    checkpoint_steps: int = Field(
        0, ge=0, le=100_000, description='Batches between checkpoints inside an epoch; 0: by time'
    )
    explain: bool = Field(True, description='SHAP values of the channels in the report')
    seed: int = Field(1, ge=0, le=2**32 - 1, description='Weights, order and augmentation follow from it')
    deterministic: bool = Field(True, description='Only operations that repeat bit for bit')


class IsotopeDatasetParams(Params):
    """Parameters of the dataset generator."""

    samples: int = Field(9_000, ge=150, le=1_000_000, description='Train and validation spectra, 80 to 20')
    heldout_samples: int = Field(3_000, ge=60, le=200_000, description='Spectra of the harder test split')
    drift: float = Field(0.04, ge=0, le=0.2, description='Largest gain error of drifted test spectra')
    seed: int = Field(7, ge=0, le=2**32 - 1, description='Sources, detectors and counts follow from it')
