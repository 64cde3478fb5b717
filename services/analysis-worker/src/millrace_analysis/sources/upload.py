"""Files that were uploaded: the worker fetched them by digest before the child began."""

from __future__ import annotations

from pathlib import Path

from millrace_worker.contracts.models import ArtifactRef
from millrace_worker.paths import safe_join

from millrace_analysis.staging import Staging


def fetch(files: list[ArtifactRef], input_dir: Path, staging: Staging) -> None:
    """Takes the files where they lie."""
    for file in files:
        staging.link(file.path, safe_join(input_dir, file.path))
