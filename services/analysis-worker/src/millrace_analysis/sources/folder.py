"""A folder of the worker's machine, if its operator allows it."""

from __future__ import annotations

import os
from pathlib import Path

from millrace_worker.contracts.models import FolderSource

from millrace_analysis.errors import IngestError
from millrace_analysis.operator_file import OperatorFile
from millrace_analysis.staging import Staging


def fetch(source: FolderSource, staging: Staging, operator: OperatorFile) -> None:
    """Takes every regular file below the path; links are followed only inside the allowed folders.

    Raises IngestError `source_not_allowed`, `source_not_found`.
    """
    allowed = [Path(os.path.realpath(folder)) for folder in operator.folders]
    root = Path(os.path.realpath(source.path))
    # Whether a forbidden path is there is not told.
    if not Path(source.path).is_absolute() or not _is_inside(root, allowed):
        raise IngestError('source_not_allowed', 'The folder is not among those that the operator allows.')
    if not root.exists():
        raise IngestError('source_not_found', f'There is no {source.path} on the worker.')
    if root.is_file():
        staging.link(root.name, root)
        return
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            real = Path(os.path.realpath(path))
            if name.startswith('.') or not real.is_file():
                continue
            if not _is_inside(real, allowed):
                raise IngestError(
                    'source_not_allowed', f'{path.relative_to(root)} is a link out of the folder.'
                )
            staging.link(path.relative_to(root).as_posix(), real)


def _is_inside(path: Path, allowed: list[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in allowed)
