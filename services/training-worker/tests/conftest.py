"""A tiny dataset and one tiny training of it, made once for all tests."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / 'test_support'))

# First: it sets what the framework reads when it is imported.
from trainings import Recorder, Train, Trained, trainings_of  # isort: skip

from millrace_training import framework
from millrace_training.jobs import run_generate

__all__ = ['HELDOUT', 'PARAMS', 'SAMPLES', 'Recorder', 'Train', 'Trained']

SAMPLES, HELDOUT = 40, 24
PARAMS: dict[str, Any] = {'epochs': 2, 'samples': SAMPLES, 'seed': 5, 'batchSize': 16}


@pytest.fixture(scope='session', autouse=True)
def tensorflow() -> list[str]:
    """The devices; threads can only be set before TensorFlow does anything."""
    return framework.configure()


@pytest.fixture(scope='session')
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('dataset') / 'version'
    run_generate('verichain', {'samples': SAMPLES, 'heldoutSamples': HELDOUT}, folder, Recorder().report)
    return folder


@pytest.fixture(scope='session')
def train(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Train:
    return trainings_of('verichain', dataset, PARAMS, tmp_path_factory)


@pytest.fixture(scope='session')
def trained(train: Train) -> Trained:
    return train()
