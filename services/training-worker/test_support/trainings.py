"""What the suites of both frameworks share: trainings in folders of their own, and the events they told of.

Imported before either framework: the settings that make a training repeat are read when they start.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from millrace_training.runtime import training_environment

os.environ.update(training_environment())

from millrace_training.events import Reporter
from millrace_training.jobs import run_training
from millrace_training.recipes.base import Job


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

    def digests(self) -> dict[str, str]:
        """SHA-256 by file, without the file that holds times."""
        return {entry['path']: entry['sha256'] for entry in self.files if entry['path'] != 'meta.json'}


Train = Callable[..., Trained]


def trainings_of(
    recipe: str, dataset: Path, params: dict[str, Any], folders: pytest.TempPathFactory
) -> Train:
    """Runs trainings of `recipe` with `params`: `recorder`, `resume`, `data` and `work` as given, any other
    name is a parameter.
    """

    def run(
        recorder: Recorder | None = None,
        resume: Path | None = None,
        data: Path | None = None,
        work: Path | None = None,
        **changes: Any,
    ) -> Trained:
        recorder = recorder or Recorder()
        work = work or folders.mktemp('work')
        job = Job(recipe, data or dataset, work, resume, 'job-1')
        out, files, meta = run_training(job, {**params, **changes}, recorder.report)
        return Trained(out, files, meta, recorder, work)

    return run
