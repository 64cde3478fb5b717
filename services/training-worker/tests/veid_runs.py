"""Trainings in a process of their own: `python veid_runs.py JOBS`, JOBS a JSON list, one after another.

Writes a JSON line for each checkpoint and each result. The parent kills this process where it likes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from millrace_training import framework
from millrace_training.events import Reporter
from millrace_training.jobs import run_training
from millrace_training.recipes.base import Job


def _say(event: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(event) + '\n')
    sys.stdout.flush()


if __name__ == '__main__':
    framework.configure()
    for job in json.loads(sys.argv[1]):

        def emit(event: dict[str, Any], recipe: str = job['recipe']) -> None:
            if event['type'] == 'checkpoint':
                _say({'recipe': recipe, **event})

        resume = Path(job['resume']) if job['resume'] else None
        place = Job(job['recipe'], Path(job['dataset']), Path(job['work']), resume, 'job')
        _, files, meta = run_training(place, job['params'], Reporter(emit))
        digests = {entry['path']: entry['sha256'] for entry in files}
        _say({'recipe': job['recipe'], 'type': 'result', 'files': digests, 'meta': meta})
