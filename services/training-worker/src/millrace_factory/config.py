"""`train.yaml`: what a training may be told, in sections, and those values as parameters of the recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from millrace_training.edge.budget import EdgeBudget
from millrace_training.errors import RecipeError
from millrace_training.recipes.base import parse_params
from millrace_training.recipes.crowdmind import CrowdMindParams
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import ExitCode, FactoryError

MAX_CONFIG_BYTES = 64 * 1024


class _Section(BaseModel):
    model_config = ConfigDict(extra='forbid', strict=True, frozen=True, allow_inf_nan=False)


class DataSection(_Section):
    """Shares of the splits."""

    train_ratio: float = 0.7
    val_ratio: float = 0.15
    test_ratio: float = 0.15


class ModelSection(_Section):
    """The net."""

    hidden_layers: list[int] = [64, 32]
    dropout_rate: float = 0.2
    activation: str = 'relu'


class TrainingSection(_Section):
    """The loop."""

    epochs: int = 100
    batch_size: int = 32
    patience: int = 10
    learning_rate: float = 0.001
    checkpoint_epochs: int = 5


class QuantizationSection(_Section):
    """The way to int8."""

    calibration_samples: int = 100


class Config(_Section):
    """The whole file; every key may be left out."""

    random_seed: int = 42
    data: DataSection = Field(default_factory=DataSection)
    model: ModelSection = Field(default_factory=ModelSection)
    training: TrainingSection = Field(default_factory=TrainingSection)
    quantization: QuantizationSection = Field(default_factory=QuantizationSection)
    budget: EdgeBudget | None = None


def _refused(path: Path, reason: str) -> FactoryError:
    return FactoryError(ExitCode.CONFIGURATION, f'{path}: {reason}')


def read_config(path: Path) -> CrowdMindParams:
    """The file as parameters; raises FactoryError with CONFIGURATION that names each fault."""
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise _refused(path, f'the file is over {MAX_CONFIG_BYTES} bytes')
        found: Any = yaml.safe_load(path.read_text('utf-8'))
    except OSError as error:
        raise _refused(path, f'cannot be read ({error.strerror})') from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _refused(path, f'is not YAML: {error}') from error
    try:
        config = Config.model_validate({} if found is None else found, by_name=True)
    except ValidationError as error:
        faults = '; '.join(
            f'{".".join(str(part) for part in fault["loc"]) or "the file"}: {fault["msg"]}'
            for fault in error.errors()
        )
        raise _refused(path, faults) from error
    try:
        return parse_params(CrowdMindParams, _params(config))
    except RecipeError as error:
        raise _refused(path, error.message) from error


def _params(config: Config) -> dict[str, Any]:
    return {
        'seed': config.random_seed,
        'trainRatio': config.data.train_ratio,
        'valRatio': config.data.val_ratio,
        'testRatio': config.data.test_ratio,
        'hiddenLayers': config.model.hidden_layers,
        'dropoutRate': config.model.dropout_rate,
        'activation': config.model.activation,
        'epochs': config.training.epochs,
        'batchSize': config.training.batch_size,
        'patience': config.training.patience,
        'learningRate': config.training.learning_rate,
        'checkpointEpochs': config.training.checkpoint_epochs,
        'calibrationSamples': config.quantization.calibration_samples,
        'budget': config.budget and config.budget.model_dump(by_alias=True),
    }
