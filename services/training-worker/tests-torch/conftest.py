"""A small dataset of spectra and one short training of it, made once for all tests; needs the environment
torch.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from millrace_training.runtime import DETERMINISTIC_ENV

# Before anything imports torch.
os.environ.update(DETERMINISTIC_ENV)

from millrace_training.events import Reporter
from millrace_training.jobs import run_generate, run_training
from millrace_training.pytorch import framework
from millrace_training.recipes.base import Job

DATASET: dict[str, Any] = {'samples': 600, 'heldoutSamples': 120}
PARAMS: dict[str, Any] = {
    'epochs': 3, 'hidden': [64, 32], 'batchSize': 32, 'explain': False, 'seed': 5, 'checkpointSteps': 4,
}  # fmt: skip


@dataclass
class Recorder:
    """A Reporter and the events that went through it."""

    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    should_stop: Callable[[], bool] = lambda: False

    @property
    def report(self) -> Reporter:
        return Reporter(self.events.append, lambda: self.should_stop())

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event['type'] == kind]


@dataclass(frozen=True)
class Trained:
    """A finished training."""

    out: Path
    files: list[Any]
    meta: dict[str, Any]
    recorder: Recorder

    def digests(self) -> dict[str, str]:
        """SHA-256 by file, without the file that holds times."""
        return {entry['path']: entry['sha256'] for entry in self.files if entry['path'] != 'meta.json'}


Train = Callable[..., Trained]


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
    """Runs a training in a folder of its own; `recorder` and `resume` as given, other names are
    parameters.
    """

    def run(
        recorder: Recorder | None = None, resume: Path | None = None, data: Path | None = None, **changes: Any
    ):
        recorder = recorder or Recorder()
        job = Job('isotope', data or dataset, tmp_path_factory.mktemp('work'), resume, 'job-1')
        out, files, meta = run_training(job, {**PARAMS, **changes}, recorder.report)
        return Trained(out, files, meta, recorder)

    return run


@pytest.fixture(scope='session')
def trained(train: Train) -> Trained:
    return train()
