"""A small dataset of spectra and one short training of it, made once for all tests; needs the environment
torch.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / 'test_support'))

# First: it sets what torch reads when it is imported.
from trainings import Recorder, Train, Trained, trainings_of  # isort: skip

from millrace_training.jobs import run_generate
from millrace_training.pytorch import framework

__all__ = ['DATASET', 'PARAMS', 'Recorder', 'Train', 'Trained']

DATASET: dict[str, Any] = {'samples': 600, 'heldoutSamples': 120}
PARAMS: dict[str, Any] = {
    'epochs': 3, 'hidden': [64, 32], 'batchSize': 32, 'explain': False, 'seed': 5, 'checkpointSteps': 4,
}  # fmt: skip


@pytest.fixture(scope='session', autouse=True)
def torch_threads() -> list[str]:
    return framework.configure()


@pytest.fixture(scope='session')
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('dataset') / 'version'
    run_generate('isotope', DATASET, folder, Recorder().report)
    return folder


@pytest.fixture(scope='session')
def train(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Train:
    return trainings_of('isotope', dataset, PARAMS, tmp_path_factory)


@pytest.fixture(scope='session')
def trained(train: Train) -> Trained:
    return train()
