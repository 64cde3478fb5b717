"""Every format gives the same rows, and the same rows give the same bytes."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Bench
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROWS = 200
ENERGY = [0.25 * row for row in range(ROWS)]
COUNTS = [row % 17 for row in range(ROWS)]
ISOTOPE = ['Cs-137' if row % 3 else 'Co-60' for row in range(ROWS)]
SPECTRUM = np.random.default_rng(5).poisson(9, (ROWS, 16)).astype(np.float32)

TABLE = pa.table(
    {
        'energy': ENERGY,
        'counts': COUNTS,
        'isotope': ISOTOPE,
        'spectrum': pa.FixedSizeListArray.from_arrays(pa.array(SPECTRUM.reshape(-1)), 16),
    }
)


def csv_text(newline: str = '\n') -> str:
    channels = ','.join(f'channel_{place}' for place in range(16))
    lines = [f'energy,counts,isotope,{channels}']
    for row in range(ROWS):
        values = ','.join(str(int(value)) for value in SPECTRUM[row])
        lines.append(f'{ENERGY[row]},{COUNTS[row]},{ISOTOPE[row]},{values}')
    return newline.join(lines) + newline


def records() -> list[dict[str, object]]:
    return [
        {
            'energy': ENERGY[row],
            'counts': COUNTS[row],
            'isotope': ISOTOPE[row],
            'spectrum': SPECTRUM[row].tolist(),
        }
        for row in range(ROWS)
    ]


def write_hdf5(path: Path) -> None:
    with h5py.File(path, 'w') as file:
        group = file.create_group('run/one')
        group['energy'], group['counts'], group['spectrum'] = ENERGY, COUNTS, SPECTRUM
        group.create_dataset('isotope', data=ISOTOPE, dtype=h5py.string_dtype())


WRITERS: dict[str, tuple[str, Callable[[Path], object], dict[str, object]]] = {
    'csv': (
        'a.csv',
        lambda path: path.write_text(csv_text()),
        {'vectors': [{'name': 'spectrum', 'prefix': 'channel_'}]},
    ),
    'csv with a mark and other newlines': (
        'a.csv',
        lambda path: path.write_bytes(b'\xef\xbb\xbf' + csv_text('\r\n').replace('\r\n', '\n', 40).encode()),
        {'vectors': [{'name': 'spectrum', 'prefix': 'channel_'}]},
    ),
    'csv, compressed': (
        'a.csv.gz',
        lambda path: path.write_bytes(gzip.compress(csv_text().encode())),
        {'vectors': [{'name': 'spectrum', 'prefix': 'channel_'}]},
    ),
    'tab separated, bzip2': (
        'a.tsv.bz2',
        lambda path: path.write_bytes(bz2.compress(csv_text().replace(',', '\t').encode())),
        {'vectors': [{'name': 'spectrum', 'prefix': 'channel_'}]},
    ),
    'json': ('a.json', lambda path: path.write_text(json.dumps(records(), indent=1)), {}),
    'json inside a document': (
        'a.json',
        lambda path: path.write_text(json.dumps({'meta': [1], 'data': {'rows': records()}})),
        {'format': {'records': 'data.rows'}},
    ),
    'json lines': (
        'a.jsonl',
        lambda path: path.write_text('\n\n'.join(json.dumps(record) for record in records())),
        {},
    ),
    'hdf5': ('a.h5', write_hdf5, {'format': {'group': 'run/one'}}),
    'npz': (
        'a.npz',
        lambda path: np.savez_compressed(
            path, energy=ENERGY, counts=COUNTS, isotope=np.array(ISOTOPE), spectrum=SPECTRUM
        ),
        {},
    ),
    'parquet': ('a.parquet', lambda path: pq.write_table(TABLE, path), {}),
    'parquet with a dictionary': (
        'a.parquet',
        lambda path: pq.write_table(
            TABLE.set_column(2, 'isotope', TABLE['isotope'].dictionary_encode()), path
        ),
        {},
    ),
}


def rows_of(table: pa.Table) -> set[str]:
    return {json.dumps(row, sort_keys=True) for row in table.to_pylist()}


@pytest.mark.parametrize('name', WRITERS)
def test_a_format_gives_the_rows_that_were_written(bench: Bench, name: str) -> None:
    file, write, options = WRITERS[name]
    write(bench.data / file)
    made = bench.run(target='isotope', **options)
    found = made.all()
    assert found.schema.field('spectrum').type == pa.list_(pa.float32(), 16)
    assert found.schema.field('energy').type == pa.float64()
    assert found.schema.field('counts').type == pa.int64()
    assert rows_of(found.select(TABLE.column_names)) == rows_of(TABLE)
    schema = {column['name']: column for column in made.json('schema.json')['columns']}
    assert schema['spectrum'] == {'name': 'spectrum', 'type': 'vector', 'size': 16, 'nullable': False}
    assert made.json('schema.json')['target'] == 'isotope'


def test_npy_is_one_column_and_a_structured_array_a_table(bench: Bench) -> None:
    np.save(bench.data / 'a.npy', SPECTRUM)
    assert bench.run().all().schema.field('features').type == pa.list_(pa.float32(), 16)
    table = np.array([(1.5, b'a'), (2.5, b'b')], dtype=[('x', '<f8'), ('y', 'S1')])
    np.save(bench.data / 'a.npy', table)
    assert rows_of(bench.run().all()) == rows_of(pa.table({'x': [1.5, 2.5], 'y': ['a', 'b']}))


def test_nested_records_become_columns_and_may_lack_some(bench: Bench) -> None:
    bench.write('a.json', '[{"id": 1, "at": {"lat": 1.5, "lon": {"deg": 2}}}, {"id": 2, "extra": "x"}]')
    rows = sorted(bench.run().all().to_pylist(), key=lambda row: row['id'])
    assert rows == [
        {'id': 1, 'at.lat': 1.5, 'at.lon.deg': 2, 'extra': None},
        {'id': 2, 'at.lat': None, 'at.lon.deg': None, 'extra': 'x'},
    ]


def test_a_column_that_widens_far_below_the_beginning_is_read_again(bench: Bench) -> None:
    # Past the first block of 8 MiB, so that a first look cannot know.
    lines = ['a,b', *(f'{row},{"x" * 80}' for row in range(120_000)), '0.5,y']
    bench.write('a.csv', '\n'.join(lines))
    made = bench.run(quality={'duplicate': 'warn'})
    column = made.all().column('a')
    assert column.type == pa.float64()
    assert made.json('quality.json')['rows']['kept'] == 120_001


def test_times_with_and_without_a_zone_are_utc(bench: Bench) -> None:
    bench.write('a.csv', 'at,note\n2024-05-01T02:00:00+02:00,2024-05-01\n2024-05-01 00:00:00.5,later\n')
    rules = [{'name': 'at', 'type': 'timestamp'}]
    made = bench.run(split={'seed': 0, 'validation': 0, 'test': 0}, columns=rules)
    times = [str(value) for value in made.table('train').column('at').to_pylist()]
    assert times == ['2024-05-01 00:00:00', '2024-05-01 00:00:00.500000']
    assert made.table('train').column('note').to_pylist() == ['2024-05-01', 'later']


def test_several_files_are_one_table_in_the_order_of_their_names(bench: Bench) -> None:
    bench.write('b/2.csv', 'x,y\n3,c\n')
    bench.write('a/1.csv', 'x,y\n1,a\n2.5,b\n')
    made = bench.run(split={'seed': 1, 'validation': 0, 'test': 0})
    assert made.table('train').to_pydict() == {'x': [1.0, 2.5, 3.0], 'y': ['a', 'b', 'c']}
    assert [file['name'] for file in made.json('dataset.json')['source']['files']] == ['a/1.csv', 'b/2.csv']


def test_a_custom_reader_is_found_by_its_entry_point(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / 'site'
    (package / 'counts_reader-1.0.dist-info').mkdir(parents=True)
    (package / 'counts_reader.py').write_text(
        'import pyarrow as pa\n'
        'def read(path):\n'
        '    rows = [line.split("=") for line in path.read_text().splitlines()]\n'
        '    names, counts = zip(*rows)\n'
        '    yield pa.RecordBatch.from_pydict({"name": names, "count": list(map(int, counts))})\n'
    )
    info = package / 'counts_reader-1.0.dist-info'
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: counts-reader\nVersion: 1.0\n')
    (info / 'entry_points.txt').write_text('[millrace.readers]\ncounts = counts_reader:read\n')
    monkeypatch.syspath_prepend(str(package))
    bench.write('a.cnt', 'one=1\ntwo=2\n')
    made = bench.run(format={'type': 'custom', 'reader': 'counts'})
    assert rows_of(made.all()) == rows_of(pa.table({'name': ['one', 'two'], 'count': [1, 2]}))


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_the_same_bytes_and_options_give_the_same_files(bench: Bench) -> None:
    text = csv_text().replace('0.25,', ',').replace('12.5,', 'NA,')
    bench.write('a.csv', text)
    first, second = bench.run(target='isotope'), bench.run(target='isotope')
    assert digests(first.folder) == digests(second.folder)
    other = bench.run(target='isotope', split={'seed': 9, 'validation': 0.15, 'test': 0.15})
    assert digests(other.folder)['train.arrow'] != digests(first.folder)['train.arrow']
    texts = [path.read_bytes() for path in first.folder.iterdir()]
    assert not any(str(bench.root).encode() in text for text in texts)


cell = st.text(alphabet=st.characters(exclude_characters='\x00\r', codec='utf-8'), max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(cell, st.integers(-(2**53), 2**53)), min_size=1, max_size=20))
def test_texts_and_numbers_survive_csv(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int]]
) -> None:
    bench = Bench(tmp_path_factory.mktemp('csv'))
    quoted = [f'"{text.replace(chr(34), chr(34) * 2)}",{number}' for text, number in rows]
    bench.write('a.csv', 'text,number\n' + '\n'.join(quoted) + '\n')
    rules = [{'name': 'text', 'type': 'string'}, {'name': 'number', 'type': 'int64'}]
    made = bench.run(split={'seed': 0, 'validation': 0, 'test': 0}, columns=rules)
    missing = {'', 'NA', 'N/A', 'NaN', 'nan', 'NULL', 'null', 'None'}
    expected = [(None if text in missing else text, number) for text, number in rows]
    found = made.table('train').to_pylist()
    assert [(row['text'], row['number']) for row in found] == expected
