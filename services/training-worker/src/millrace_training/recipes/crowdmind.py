# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportUnknownLambdaType=false
# pyright: reportAttributeAccessIssue=false, reportMissingImports=false
# TensorFlow and Keras ship no complete types.
"""CrowdMind: an MLP for rows of numbers, made for devices.

Input [n, features] float32 as the columns came (standardisation is in the served graph), output [n,
classes] float32 probabilities. Beside it goes the int8 model of devices, which takes standardised int8,
with its meta.json and sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from millrace_training.edge.budget import EdgeBudget
from millrace_training.errors import RecipeError

from . import base
from .base import Job, json_params, place_of

if TYPE_CHECKING:
    from millrace_training.events import Reporter
    from millrace_training.exported import Exported
    from millrace_training.tabular.dataset import TabularDataset

NAME = 'crowdmind'
VERSION = '1.0.0'
TITLE = 'Rows of numbers to classes, for microcontrollers: an MLP in full int8'
FRAMEWORK: base.Framework = 'tensorflow'
POOL = 'cpu'
GENERATOR = 'crowdmind-windows'
GENERATOR_VERSION = '1'
GENERATED = 'rows'

TARGET = 'state'
_RATIO_TOLERANCE = 1e-9

Activation = Literal['relu', 'relu6', 'tanh', 'sigmoid', 'elu', 'swish', 'gelu', 'selu', 'softplus']
"""Not all of them have int8 kernels for microcontrollers: a job with one that has none is refused before it
trains.
"""


class CrowdMindParams(base.Params):
    """Parameters of a training."""

    hidden_layers: list[Annotated[int, Field(ge=1, le=4_096)]] = Field(
        [64, 32], min_length=1, max_length=8, description='Sizes of the hidden layers'
    )
    dropout_rate: float = Field(0.2, ge=0, lt=1, description='Share of activations left out while training')
    activation: Activation = Field('relu', description='Of the hidden layers')
    epochs: int = Field(100, ge=1, le=10_000, description='Passes over the training rows at most')
    batch_size: int = Field(32, ge=1, le=65_536, description='Rows in a step')
    patience: int = Field(10, ge=0, le=1_000, description='Epochs without a better one; 0: no early end')
    learning_rate: float = Field(0.001, gt=0, le=1, description='Of Adam')
    train_ratio: float = Field(0.7, gt=0, lt=1, description='Share of the training split')
    val_ratio: float = Field(0.15, gt=0, lt=1, description='Share of the validation split')
    test_ratio: float = Field(0.15, gt=0, lt=1, description='Share of the test split; the three add up to 1')
    calibration_samples: int = Field(
        100, ge=10, le=10_000, description='Training rows that decide the int8 ranges'
    )
    budget: EdgeBudget | None = Field(None, description='What the model may cost on a device; null: anything')
    checkpoint_epochs: int = Field(5, ge=1, le=1_000, description='Epochs between checkpoints')
    seed: int = Field(42, ge=0, le=2**32 - 1, description='Split, weights, order and dropout follow from it')
    deterministic: bool = Field(True, description='Only operations that repeat bit for bit')

    @model_validator(mode='after')
    def _ratios(self) -> CrowdMindParams:
        total = self.train_ratio + self.val_ratio + self.test_ratio
        if abs(total - 1) > _RATIO_TOLERANCE:
            raise ValueError(f'trainRatio, valRatio and testRatio add up to {total:g} instead of 1')
        return self


class CrowdMindDatasetParams(base.Params):
    """Parameters of the dataset generator."""

    samples: int = Field(4_200, ge=21, le=1_000_000, description='Rows; the seven states take turns')
    seed: int = Field(7, ge=0, le=2**32 - 1, description='All rows follow from it')


Params = CrowdMindParams
DatasetParams = CrowdMindDatasetParams


@dataclass(frozen=True)
class Network:
    """`served` takes raw rows, `core` standardised ones; both share their weights."""

    served: Any
    core: Any
    params: CrowdMindParams


def generate(params: CrowdMindDatasetParams, out_dir: Path, report: Reporter) -> dict[str, Any]:
    """Write `dataset.csv`, `schema.json` and `dataset.json`; equal parameters give equal bytes."""
    from millrace_training.digests import canonical_json, list_files, sha256_json
    from millrace_training.tabular.crowd import FEATURES, draw_rows
    from millrace_training.tabular.table import write_table

    report.total_steps = params.samples
    out_dir.mkdir(parents=True, exist_ok=True)

    def tick() -> None:
        report.check_stop()
        report.step += 1
        report.progress('generate', {})

    rows, labels = draw_rows(params.samples, params.seed, tick)
    write_table(out_dir, FEATURES, TARGET, rows, labels)
    source = {
        'type': 'generator',
        'name': GENERATOR,
        'version': GENERATOR_VERSION,
        'params': json_params(params),
    }
    counts = {'rows': params.samples}
    description = {'format': 1, 'source': source, 'counts': counts}
    (out_dir / 'dataset.json').write_bytes(canonical_json(description) + b'\n')
    report.progress('generate', {}, force=True)
    return {'source': source, 'counts': counts, 'contentDigest': sha256_json(list_files(out_dir))}


def load(folder: Path, params: CrowdMindParams) -> TabularDataset:
    """The rows in `folder`, split and standardised; raises `dataset_unusable`, and `calibration_unusable`
    when the training split has fewer rows than the calibration takes.
    """
    from millrace_training.tabular.dataset import load_rows
    from millrace_training.tabular.split import Ratios

    data = load_rows(folder, Ratios(params.train_ratio, params.val_ratio, params.test_ratio), params.seed)
    if len(data.train) < params.calibration_samples:
        raise RecipeError(
            'calibration_unusable',
            f'The calibration takes {params.calibration_samples} rows and the training split has '
            f'{len(data.train)}; lower calibrationSamples or add rows.',
        )
    return data


def batches_per_epoch(data: TabularDataset, params: CrowdMindParams) -> int:
    """Full batches in an epoch."""
    from millrace_training.tabular.fit import batches_per_epoch as batches

    return batches(len(data.train), params.batch_size)


def build(data: TabularDataset, params: CrowdMindParams) -> Network:
    """The net with weights drawn from the seed, once its int8 form is known to run on devices and to fit
    the budget.

    Raises `edge_operator_unsupported` and `edge_budget_exceeded`: neither depends on what will be learned.
    """
    from millrace_training.edge.int8_model import quantise
    from millrace_training.edge.report import check_costs
    from millrace_training.tabular.net import build_net

    served, core = build_net(data, params, NAME)
    network = Network(served, core, params)
    check_costs(quantise(network.core, _calibration(data, params)), len(data.feature_names), params.budget)
    return network


def _calibration(data: TabularDataset, params: CrowdMindParams) -> Any:
    """Rows [n, features] float32 of the training split, drawn by the seed."""
    import numpy as np

    chosen = np.random.Generator(np.random.PCG64([3, params.seed])).permutation(len(data.train))
    return data.train.features[np.sort(chosen[: params.calibration_samples])]


def train(
    model: Network, data: TabularDataset, params: CrowdMindParams, job: Job, report: Reporter
) -> list[dict[str, float]]:
    """Train `model` in place, from the checkpoint of `job` if it names one; returns the metrics of each
    epoch.
    """
    from millrace_training.tabular.fit import FitOptions, fit

    options = FitOptions(
        params.epochs,
        params.batch_size,
        params.learning_rate,
        params.patience,
        params.checkpoint_epochs,
        params.seed,
    )
    place = place_of(job, f'{NAME}@{VERSION}', params, data.digest)
    return fit(model.core, data.train, data.validation, options, place, report)


def evaluate(model: Network, data: TabularDataset, report: Reporter) -> dict[str, Any]:
    """Accuracy, precision, recall, F1 and the confusion matrix on the test split."""
    from millrace_training.tabular.fit import predict
    from millrace_training.tabular.measures import measure

    report.check_stop()
    said = predict(model.core, data.heldout.features).argmax(axis=1)
    return measure(said, data.heldout.labels, data.classes)


def export(model: Network, data: TabularDataset, out_dir: Path) -> Exported:
    """Write the model for serving, and in `edge/` that for devices, into `out_dir`.

    Raises `edge_budget_exceeded` and `edge_operator_unsupported`.
    """
    from millrace_training.tabular.export import export_network

    return export_network(
        model.served, model.core, data, _calibration(data, model.params), model.params, out_dir
    )


def write_report(
    model: Network, data: TabularDataset, params: CrowdMindParams, result: dict[str, Any], out_dir: Path
) -> None:
    """Write `edge/meta.json` from `result` (history and evaluation)."""
    from millrace_training.tabular.export import write_edge_meta

    write_edge_meta(model.core, data, params, result, out_dir)
