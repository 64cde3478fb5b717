"""A tiny dataset and one tiny training of it, made once for all tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from millrace_training.runtime import DETERMINISTIC_ENV

# Before anything imports TensorFlow.
os.environ.update(DETERMINISTIC_ENV)

from millrace_training import framework
from millrace_training.events import Reporter
from millrace_training.jobs import run_generate, run_training
from millrace_training.recipes.base import Job

SAMPLES, HELDOUT = 40, 24
PARAMS: dict[str, Any] = {'epochs': 2, 'samples': SAMPLES, 'seed': 5, 'batchSize': 16}


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
    work: Path


Train = Callable[..., Trained]


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
    """Runs a training in a folder of its own; `recorder` and `resume` as given, other names are
    parameters.
    """

    def run(
        recorder: Recorder | None = None, resume: Path | None = None, work: Path | None = None, **changes: Any
    ):
        recorder = recorder or Recorder()
        work = work or tmp_path_factory.mktemp('work')
        job = Job('verichain', dataset, work, resume, 'job-1')
        out, files, meta = run_training(job, {**PARAMS, **changes}, recorder.report)
        return Trained(out, files, meta, recorder, work)

    return run


@pytest.fixture(scope='session')
def trained(train: Train) -> Trained:
    return train()
