"""One way to ingest a folder of real files, and the servers of the other sources."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from millrace_analysis.ingest import Ingested, run_ingest
from millrace_analysis.operator_file import OperatorFile
from millrace_worker.contracts.models import SourceIngestSpec

# The servers of the worker library's tests: the same programs, started the same way.
sys.path.append(str(Path(__file__).resolve().parents[3] / 'libs' / 'worker-py' / 'tests'))

ID = '01890a5d-ac96-774b-bcce-b302099a8057'


class Made:
    """The files that an ingestion made."""

    def __init__(self, ingested: Ingested) -> None:
        self.folder = ingested.folder
        self.meta = ingested.meta

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())

    def table(self, split: str) -> pa.Table:
        with pa.ipc.open_file(str(self.folder / f'{split}.arrow')) as reader:
            return reader.read_all()

    def all(self) -> pa.Table:
        return pa.concat_tables([self.table(split) for split in ('train', 'validation', 'test')])

    def finding(self, check: str, column: str | None = None) -> dict[str, Any]:
        found = [one for one in self.json('quality.json')['findings'] if one['check'] == check]
        return next(one for one in found if column in (None, one['column']))


class Bench:
    """Runs ingestions in folders of their own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / 'data'
        self.data.mkdir()
        self._runs = 0

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def spec(self, source: dict[str, Any] | None = None, **options: Any) -> SourceIngestSpec:
        return SourceIngestSpec.model_validate(
            {
                'datasetId': ID,
                'versionId': ID,
                'tenant': 'default',
                'source': source or {'type': 'folder', 'path': str(self.data)},
                'options': options,
                'files': [],
            }
        )

    def run(
        self,
        source: dict[str, Any] | None = None,
        operator: dict[str, Any] | None = None,
        tell: Callable[[str, int], None] = lambda _stage, _done: None,
        **options: Any,
    ) -> Made:
        self._runs += 1
        allowed = OperatorFile.model_validate({'folders': [str(self.data)], **(operator or {})})
        work = self.root / f'run-{self._runs}'
        return Made(run_ingest(self.spec(source, **options), work / 'input', work, allowed, tell))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)
