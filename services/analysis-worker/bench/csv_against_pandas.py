"""1,000,000 CSV rows of 64 columns: ingested whole (types, quality, split, Arrow files), and read by pandas
with the same checks. Each side runs in a process of its own; memory is the most that it held at once.

Run in the environment `analysis`: `python bench/csv_against_pandas.py [ROWS] [FOLDER]`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROWS_DEFAULT = 1_000_000
COLUMNS = 63
LABELS = ('Cs-137', 'Co-60', 'K-40', 'U-238')
PARTS = 20


def make_csv(path: Path, rows: int) -> None:
    """Numbers with four digits after the point, a twentieth of the rows at a time, and a label."""
    import numpy as np

    random = np.random.default_rng(7)
    with path.open('w') as out:
        out.write(','.join([*(f'c{number}' for number in range(COLUMNS)), 'label']) + '\n')
        for _ in range(PARTS):
            values = random.normal(100, 15, (rows // PARTS, COLUMNS))
            labels = random.integers(0, len(LABELS), rows // PARTS)
            for row, label in zip(values, labels, strict=True):
                out.write(','.join(f'{value:.4f}' for value in row) + f',{LABELS[label]}\n')


def with_pandas(path: Path) -> None:
    """What a notebook would do: read, describe, look for faults, divide by class, write."""
    import pandas as pd
    from sklearn.model_selection import train_test_split

    table = pd.read_csv(path)
    numbers = table.drop(columns='label')
    table.isna().sum()
    numbers.describe()
    table.duplicated().sum()
    middle = numbers.median()
    ((numbers - middle).abs() > 8 * 1.4826 * (numbers - middle).abs().median()).sum()
    table['label'].value_counts()
    train, rest = train_test_split(table, test_size=0.3, random_state=0, stratify=table['label'])
    validation, test = train_test_split(rest, test_size=0.5, random_state=0, stratify=rest['label'])
    for name, part in (('train', train), ('validation', validation), ('test', test)):
        part.to_feather(path.with_name(f'pandas-{name}.arrow'), compression='uncompressed')


def with_ingestion(path: Path) -> None:
    """The child's own function on the same file."""
    from millrace_analysis.ingest import run_ingest
    from millrace_analysis.operator_file import OperatorFile
    from millrace_worker.contracts.models import SourceIngestSpec

    spec = SourceIngestSpec.model_validate(
        {
            'datasetId': '01890a5d-ac96-774b-bcce-b302099a8057',
            'versionId': '01890a5d-ac96-774b-bcce-b302099a8057',
            'tenant': 'default',
            'source': {'type': 'folder', 'path': str(path)},
            'options': {'target': 'label'},
            'files': [],
        }
    )
    work = Path(tempfile.mkdtemp(dir=path.parent))
    operator = OperatorFile.model_validate({'folders': [str(path.parent)]})
    run_ingest(spec, work / 'input', work, operator, lambda _stage, _done: None)


def side(name: str, path: Path) -> None:
    """Runs one side and prints its figures."""
    import threading

    import psutil

    process, peak, is_over = psutil.Process(), [0, 0], threading.Event()

    def watch() -> None:
        while not is_over.wait(0.02):
            memory = process.memory_info()
            peak[0] = max(peak[0], int(memory.rss) - int(memory.shared))
            peak[1] = max(peak[1], int(memory.rss))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    wall, cpu = time.perf_counter(), time.process_time()
    {'pandas': with_pandas, 'ingestion': with_ingestion}[name](path)
    figures = {
        'side': name,
        'seconds': round(time.perf_counter() - wall, 2),
        'cpuSeconds': round(time.process_time() - cpu, 2),
    }
    is_over.set()
    watcher.join()
    print(json.dumps({**figures, 'privateMiB': peak[0] >> 20, 'residentMiB': peak[1] >> 20}))


def run_side(name: str, path: Path) -> dict[str, float]:
    """One side in a process of its own; prints and gives its figures."""
    environment = {**os.environ, 'ARROW_DEFAULT_MEMORY_POOL': 'system', 'MALLOC_ARENA_MAX': '2'}
    command = [sys.executable, __file__, '--side', name, str(path)]
    ended = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    print(ended.stdout, end='', flush=True)
    return json.loads(ended.stdout)


def main() -> None:
    """Makes the file and runs both sides, one after the other."""
    if len(sys.argv) == 4 and sys.argv[1] == '--side':
        side(sys.argv[2], Path(sys.argv[3]))
        return
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS_DEFAULT
    folder = sys.argv[2] if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        path = Path(scratch) / 'data.csv'
        make_csv(path, rows)
        print(json.dumps({'rows': rows, 'columns': COLUMNS + 1, 'sizeMiB': path.stat().st_size >> 20}))
        sides = {name: run_side(name, path) for name in ('ingestion', 'pandas')}
        ours, theirs = sides['ingestion'], sides['pandas']
        ratios = {
            'rowsPerSecond': round(rows / ours['seconds']),
            'secondsOverPandas': round(ours['seconds'] / theirs['seconds'], 2),
            'privateMemoryOverPandas': round(ours['privateMiB'] / theirs['privateMiB'], 2),
        }
        print(json.dumps(ratios))


if __name__ == '__main__':
    main()
