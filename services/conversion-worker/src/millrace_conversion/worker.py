"""`python -m millrace_conversion.worker`: a worker for conversion jobs."""

from __future__ import annotations

from pathlib import Path

from millrace_worker.worker import WorkerConfig, run_worker

VERSION = '0.0.0'


def main() -> None:
    """Runs until SIGTERM; exits with 78 when the environment has faults."""
    run_worker(
        WorkerConfig(
            name='conversion-worker',
            version=VERSION,
            service_by_kind={'convert': 'converter'},
            child_module='millrace_conversion.child',
            child_environment={'PYTHONHASHSEED': '0', 'TF_ENABLE_ONEDNN_OPTS': '0'},
            # A training says with every heartbeat that a conversion will follow; until then 350 MB stay free.
            idle_child_s=60.0,
            requirements_file=Path(__file__).parents[2] / 'requirements.txt',
        )
    )


if __name__ == '__main__':
    main()
