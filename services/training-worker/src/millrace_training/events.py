"""What a running job tells: progress, log lines and checkpoints, through one small interface."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import Stopped

PROGRESS_INTERVAL_S = 0.2
"""Progress inside an epoch is told at most this often; the end of an epoch always."""

Emit = Callable[[dict[str, Any]], None]
"""Takes one event: a JSON object with a `type`."""


def _never() -> bool:
    return False


@dataclass
class Reporter:
    """Sends a job's events to `emit` and answers whether it was asked to stop."""

    emit: Emit
    should_stop: Callable[[], bool] = _never
    total_steps: int = 0
    epochs: int = 0
    step: int = 0
    epoch: int = 0
    _last: float = field(default=float('-inf'), repr=False)

    def progress(self, stage: str, metrics: dict[str, float], *, force: bool = False) -> None:
        """Tell how far the job is; quiet if the last one is fresher than PROGRESS_INTERVAL_S, unless
        `force`.
        """
        now = time.monotonic()
        if not force and now - self._last < PROGRESS_INTERVAL_S:
            return
        self._last = now
        self.emit(
            {
                'type': 'progress',
                'stage': stage,
                'step': self.step,
                'totalSteps': self.total_steps,
                'epoch': self.epoch,
                'epochs': self.epochs,
                'metrics': metrics,
            }
        )

    def log(self, message: str, level: str = 'info') -> None:
        """One line for the job's log."""
        self.emit({'type': 'log', 'level': level, 'message': message})

    def checkpoint(self, epoch: int, folder: Path) -> None:
        """A checkpoint of `epoch` finished epochs lies complete in `folder`."""
        self.emit({'type': 'checkpoint', 'step': epoch, 'dir': str(folder)})

    def check_stop(self) -> None:
        """Raise Stopped if the job was asked to stop."""
        if self.should_stop():
            raise Stopped
