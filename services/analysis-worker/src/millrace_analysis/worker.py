"""`python -m millrace_analysis.worker`: a worker for ingestions of foreign data."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from millrace_worker.settings import EXIT_CONFIG
from millrace_worker.worker import WorkerConfig, run_worker

from .operator_file import VARIABLE, read_operator_file

VERSION = '0.0.0'
_CHILD_ENVIRONMENT = {
    'PYTHONHASHSEED': '0',
    # The system's allocator gives memory back, and its bound is the kernel's.
    'ARROW_DEFAULT_MEMORY_POOL': 'system',
    'MALLOC_ARENA_MAX': '2',
    'OPENBLAS_NUM_THREADS': '1',
    'OMP_NUM_THREADS': '2',
}


def main() -> None:
    """Runs until SIGTERM; exits with 78 when the environment has faults."""
    try:
        read_operator_file()
    except ValueError as error:
        sys.stderr.write(f'{error}\n')
        sys.exit(EXIT_CONFIG)
    passed = {VARIABLE: os.environ[VARIABLE]} if VARIABLE in os.environ else {}
    run_worker(
        WorkerConfig(
            name='analysis-worker',
            version=VERSION,
            service_by_kind={'ingest': 'datasets'},
            child_module='millrace_analysis.child',
            child_environment={**_CHILD_ENVIRONMENT, **passed},
            requirements_file=Path(__file__).parents[2] / 'requirements.txt',
        )
    )


if __name__ == '__main__':
    main()
