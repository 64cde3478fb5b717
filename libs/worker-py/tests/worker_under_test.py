"""A worker whose child is the scripted one."""

from pathlib import Path

from millrace_worker.worker import WorkerConfig, run_worker

if __name__ == "__main__":
    run_worker(
        WorkerConfig(
            name="test-worker",
            version="1.2.3",
            service_by_kind={"train": "training-orchestrator", "ingest": "datasets", "convert": "converter"},
            child_module="scripted_child",
            child_environment={"PYTHONHASHSEED": "0"},
            light_kinds=frozenset({"ingest"}),
            requirements_file=Path(__file__),
        )
    )
