"""One run on disk: a folder with a time in its name, and how far it came, so that another process can go
on.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

STATE_FILE = 'run.json'
State = Literal['created', 'downloaded', 'trained', 'uploaded', 'ended']
"""`ended`: nothing can come of it any more."""


@dataclass(frozen=True)
class Progress:
    """What a run is about (dataset, API, parameters) and how far it came; never the token."""

    dataset_id: str
    api_base: str
    params: dict[str, Any]
    state: State = 'created'
    rows_sha256: str | None = None
    etag: str | None = None
    uploaded: dict[str, Any] | None = None

    def is_about(self, other: Progress) -> bool:
        """Whether both want the same model of the same data."""
        mine, its = ((p.dataset_id, p.api_base, p.params) for p in (self, other))
        return mine == its


class RunFolder:
    """`run_<date>_<time>_<8 hex digits>/` with data/, checkpoints/, output/ and logs/."""

    def __init__(self, root: Path, progress: Progress) -> None:
        self.root = root
        self.progress = progress

    @property
    def data(self) -> Path:
        """`dataset.csv` and `schema.json` as they came."""
        return self.root / 'data'

    @property
    def output(self) -> Path:
        """`model.tflite`, `meta.json` and the sources for devices."""
        return self.root / 'output'

    @property
    def checkpoints(self) -> Path:
        """Checkpoints of the training, and `best_model.keras` at its end."""
        return self.root / 'checkpoints'

    @property
    def logs(self) -> Path:
        """`run.log`."""
        return self.root / 'logs'

    def last_checkpoint(self) -> Path | None:
        """The newest checkpoint that is complete."""
        found = sorted(self.checkpoints.glob('epoch-*'))
        return found[-1] if found else None

    def save(self, **changes: Any) -> None:
        """Write down how far the run came; whole or not at all."""
        self.progress = replace(self.progress, **changes)
        draft = self.root / f'.{STATE_FILE}.draft'
        with draft.open('w', encoding='utf-8') as sink:
            json.dump(asdict(self.progress), sink, indent=2)
            sink.flush()
            os.fsync(sink.fileno())
        draft.replace(self.root / STATE_FILE)


def _read(root: Path) -> Progress | None:
    try:
        found = cast('dict[str, Any]', json.loads((root / STATE_FILE).read_text('utf-8')))
        return Progress(**found)
    except (OSError, ValueError, TypeError):
        return None


def unfinished_run(runs: Path, wanted: Progress) -> RunFolder | None:
    """The newest run under `runs` that wants the same and has not ended; None if there is none."""
    for root in sorted(runs.glob('run_*'), reverse=True):
        progress = _read(root)
        if progress and progress.is_about(wanted) and progress.state not in {'uploaded', 'ended'}:
            return RunFolder(root, progress)
    return None


def new_run(runs: Path, wanted: Progress) -> RunFolder:
    """A folder for `wanted`, named by the time (UTC)."""
    name = f'run_{datetime.now(UTC):%Y%m%d_%H%M%S}_{secrets.token_hex(4)}'
    run = RunFolder(runs / name, wanted)
    for folder in (run.data, run.checkpoints, run.output, run.logs):
        folder.mkdir(parents=True)
    run.save()
    return run
