"""`python -m millrace_training.worker`: a worker for training jobs and dataset generators."""

from __future__ import annotations

import os

from millrace_worker.worker import WorkerConfig, run_worker

from .runtime import lock_file, training_environment

VERSION = '0.0.0'
_THREAD_SETTINGS = ('MILLRACE_TRAIN_INTRA_THREADS', 'MILLRACE_TRAIN_INTER_THREADS')


def main() -> None:
    """Run until SIGTERM; exits with 78 when the environment has faults."""
    threads = {name: os.environ[name] for name in _THREAD_SETTINGS if name in os.environ}
    run_worker(
        WorkerConfig(
            name='training-worker',
            version=VERSION,
            service_by_kind={'train': 'training-orchestrator', 'ingest': 'datasets'},
            child_module='millrace_training.child',
            child_environment={**training_environment(), **threads},
            # Generators need no TensorFlow: the child that has it loaded is kept for the next training.
            light_kinds=frozenset({'ingest'}),
            requirements_file=lock_file(),
        )
    )


if __name__ == '__main__':
    main()
