"""Events as text for a person: one bar that moves in a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

_BAR_WIDTH = 24


def _figures(metrics: dict[str, float]) -> str:
    names = {
        'loss': 'loss',
        'accuracy': 'acc',
        'valLoss': 'val loss',
        'valAccuracy': 'val acc',
        'heldoutAccuracy': 'held-out acc',
    }
    return '  '.join(f'{names[key]} {value:.3f}' for key, value in metrics.items() if key in names)


class Console:
    """Takes a job's events and prints them; `emit` is what a Reporter wants."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._is_terminal = self._stream.isatty()
        self._started = time.monotonic()
        self._stage = ''
        self._has_bar = False

    def emit(self, event: dict[str, Any]) -> None:
        """Print one event; events that mean nothing to a person are left out."""
        if event['type'] == 'progress':
            self._progress(event)
        elif event['type'] == 'log':
            self.line(event['message'])

    def line(self, text: str) -> None:
        """Print a line of its own, above the bar if there is one."""
        if self._has_bar:
            self._stream.write('\r\x1b[K')
            self._has_bar = False
        self._stream.write(f'{text}\n')
        self._stream.flush()

    def _progress(self, event: dict[str, Any]) -> None:
        metrics: dict[str, float] = event['metrics']
        elapsed = time.monotonic() - self._started
        where = f'epoch {event["epoch"]}/{event["epochs"]}' if event['stage'] == 'train' else event['stage']
        text = f'{where}  {_figures(metrics)}'.rstrip()
        if 'valLoss' in metrics:
            self.line(f'{text}  {elapsed:.1f} s')
        elif self._is_terminal:
            done = event['step'] / max(event['totalSteps'], 1)
            bar = ('#' * round(done * _BAR_WIDTH)).ljust(_BAR_WIDTH, '.')
            self._stream.write(f'\r\x1b[K[{bar}] {done:4.0%}  {text}  {elapsed:.1f} s')
            self._stream.flush()
            self._has_bar = True
        elif event['stage'] not in (self._stage, 'train'):
            self.line(f'{text}  {elapsed:.1f} s')
        self._stage = event['stage']
