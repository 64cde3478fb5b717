"""Bad input of every format: a code, the file and the row, and never a crash."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Bench
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from millrace_analysis.errors import IngestError

REPEATED = b'x\n' + b'1\n' * (2 << 20)
SMALL = {'limits': {'columnsMax': 64, 'rowsMax': 1_000, 'expandedBytesMax': 4 << 20, 'recordBytesMax': 4_096}}


def link_outside(path: Path) -> None:
    with h5py.File(path, 'w') as file:
        file['x'] = [1.0, 2.0]
        file['secret'] = h5py.ExternalLink('/etc/hostname', '/')


def storage_outside(path: Path) -> None:
    with h5py.File(path, 'w') as file:
        file.create_dataset('x', (4,), 'f8', external=[('/etc/hostname', 0, 32)])


def virtual(path: Path) -> None:
    with h5py.File(path, 'w') as file:
        layout = h5py.VirtualLayout((4,), 'f8')
        layout[:] = h5py.VirtualSource('/etc/other.h5', 'x', (4,))
        file.create_virtual_dataset('x', layout)


def different_rows(path: Path) -> None:
    with h5py.File(path, 'w') as file:
        file['x'], file['y'] = [1.0, 2.0], [1.0]


def deep_parquet(path: Path) -> None:
    type_ = pa.int64()
    for _ in range(12):
        type_ = pa.struct([('a', type_)])
    pq.write_table(pa.table({'x': pa.nulls(2, type_)}), path)


def dictionary_bomb(path: Path) -> None:
    table = pa.table({'x': pa.array(['y' * 100_000] * 900)})
    pq.write_table(table, path, use_dictionary=True, compression='zstd')


def lying_npz(path: Path) -> None:
    np.savez(path, x=np.arange(4))
    body = bytearray(path.read_bytes())
    body[-40:-30] = b'\xff' * 10
    path.write_bytes(body)


def npz_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive, archive.open('x.npy', 'w') as member:
        np.save(member, np.zeros(2 << 20))  # type: ignore[arg-type]


# file, content or writer, code, and what the message must name
CASES: dict[str, tuple[str, str | bytes | Callable[[Path], Any], str, str]] = {
    'ragged CSV': ('a.csv', 'x,y\n1,2\n3,4\n5\n', 'malformed_data', 'row 3'),
    'a CSV row too long': ('a.csv', 'x,y\n1,2,3\n', 'malformed_data', 'row 1'),
    'UTF-16 CSV': ('a.csv', 'x,y\n1,2\n'.encode('utf-16'), 'malformed_data', 'UTF-16'),
    'CSV that is no UTF-8': ('a.csv', b'x,y\n1,caf\xe9\n', 'malformed_data', 'a.csv'),
    'CSV that is not text': ('a.csv', b'x\x00\x01\x02,y\n1,2\n', 'malformed_data', 'zero bytes'),
    'a name twice': ('a.csv', 'x,x\n1,2\n', 'malformed_data', "'x'"),
    'a column without a name': ('a.csv', 'x,\n1,2\n', 'malformed_data', 'column 2'),
    'a million columns': (
        'a.csv',
        ','.join(f'c{n}' for n in range(1_000_000)) + '\n',
        'ingest_limit_exceeded',
        'recordBytesMax',
    ),
    'many columns': (
        'a.csv',
        ','.join(f'c{n}' for n in range(100)) + '\n',
        'ingest_limit_exceeded',
        'columnsMax = 64',
    ),
    'too many rows': ('a.csv', 'x\n' + '1\n' * 2_000, 'ingest_limit_exceeded', 'rowsMax = 1000'),
    'only a header': ('a.csv', 'x,y\n', 'source_empty', 'no row'),
    'an empty file': ('a.csv', '', 'source_empty', 'a.csv'),
    'a gzip bomb': (
        'a.csv.gz',
        gzip.compress(REPEATED),
        'ingest_limit_exceeded',
        'expansionRatioMax',
    ),
    'a bzip2 bomb': ('a.csv.bz2', bz2.compress(REPEATED), 'ingest_limit_exceeded', 'expansionRatioMax'),
    'a Zstandard bomb': (
        'a.csv.zst',
        pa.Codec('zstd').compress(REPEATED).to_pybytes(),
        'ingest_limit_exceeded',
        'expansionRatioMax',
    ),
    'gzip cut off': ('a.csv.gz', gzip.compress(os.urandom(4_000))[:-500], 'malformed_data', 'a.csv.gz'),
    'no format': ('a.xyz', 'x', 'unknown_format', 'a.xyz'),
    'broken JSON': ('a.json', '[{"x": 1}, {"x": ]', 'malformed_data', 'row 2'),
    'JSON cut off': ('a.json', '[{"x": 1}, {"x": 2', 'malformed_data', 'row 2'),
    'JSON with NaN': ('a.jsonl', '{"x": 1}\n{"x": NaN}\n', 'malformed_data', 'row 2'),
    'a record that is none': ('a.jsonl', '{"x": 1}\n[1]\n', 'malformed_data', 'row 2'),
    'JSON too deep for the parser': ('a.json', '[' * 3_000, 'ingest_limit_exceeded', 'nestingMax'),
    'records too deep': ('a.jsonl', '{"a":' * 10 + '1' + '}' * 10, 'ingest_limit_exceeded', 'nestingMax'),
    'a record too long': (
        'a.jsonl',
        json.dumps({'x': 'y' * 5_000}),
        'ingest_limit_exceeded',
        'recordBytesMax',
    ),
    'pickled objects': (
        'a.npy',
        lambda path: np.save(path, np.array([{}], dtype=object)),
        'unsafe_data',
        'pickled',
    ),
    'NPY cut off': ('a.npy', b'\x93NUMPY\x01\x00v\x00{', 'malformed_data', 'a.npy'),
    'three dimensions': (
        'a.npy',
        lambda path: np.save(path, np.zeros((2, 2, 2))),
        'malformed_data',
        '3 dimensions',
    ),
    'NPZ that lies': ('a.npz', lying_npz, 'malformed_data', 'a.npz'),
    'an NPZ bomb': ('a.npz', npz_bomb, 'ingest_limit_exceeded', 'a.npz'),
    'no HDF5': ('a.h5', b'x' * 100, 'malformed_data', 'a.h5'),
    'HDF5 with an external link': ('a.h5', link_outside, 'unsafe_data', 'secret'),
    'HDF5 with external storage': ('a.h5', storage_outside, 'unsafe_data', 'x of a.h5'),
    'HDF5 with a virtual data set': ('a.h5', virtual, 'unsafe_data', 'x of a.h5'),
    'HDF5 of different lengths': ('a.h5', different_rows, 'schema_mismatch', 'x 2, y 1'),
    'no Parquet': ('a.parquet', b'PAR1' + b'x' * 50 + b'PAR1', 'malformed_data', 'a.parquet'),
    'nested Parquet': ('a.parquet', deep_parquet, 'ingest_limit_exceeded', 'nestingMax'),
    'a Parquet bomb': ('a.parquet', dictionary_bomb, 'ingest_limit_exceeded', 'expandedBytesMax'),
}


@pytest.mark.parametrize('name', CASES)
def test_bad_data_are_refused_with_a_code_and_a_place(bench: Bench, name: str) -> None:
    file, content, code, named = CASES[name]
    if callable(content):
        content(bench.data / file)
    else:
        bench.write(file, content)
    with pytest.raises(IngestError) as caught:
        bench.run(operator=SMALL)
    assert caught.value.code == code
    assert named in caught.value.message
    assert str(bench.root) not in caught.value.message


def test_a_second_file_with_other_columns_is_named(bench: Bench) -> None:
    bench.write('1.csv', 'x,y\n1,2\n')
    bench.write('2.csv', 'x,z\n1,2\n')
    with pytest.raises(IngestError, match=r'2\.csv') as caught:
        bench.run()
    assert caught.value.code == 'schema_mismatch'


@pytest.mark.parametrize(
    'text, target, reason',
    [
        ('x,y\n1,\n2,NaN\n', 'y', 'no value'),
        ('x,y\n1,a\n2,a\n', 'y', "one class only: 'a'"),
        ('x,y\n,a\n,b\n', 'y', 'drops every row'),
    ],
)
def test_targets_that_nothing_can_be_learned_from(bench: Bench, text: str, target: str, reason: str) -> None:
    bench.write('a.csv', text)
    rules = [{'name': 'x', 'isRequired': True}]
    with pytest.raises(IngestError, match=reason) as caught:
        bench.run(target=target, columns=rules, quality={'missing': 'drop'})
    assert caught.value.code == 'dataset_unusable'


def test_folders_outside_those_allowed_are_refused_also_through_links(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / 'outside.csv').write_text('x\n1\n')
    for source in (tmp_path / 'outside.csv', bench.data / '..' / 'outside.csv', '/etc', 'data'):
        with pytest.raises(IngestError) as caught:
            bench.run({'type': 'folder', 'path': str(source)})
        assert caught.value.code == 'source_not_allowed'
    (bench.data / 'link.csv').symlink_to(tmp_path / 'outside.csv')
    with pytest.raises(IngestError) as caught:
        bench.run()
    assert caught.value.code == 'source_not_allowed'
    assert str(tmp_path) not in caught.value.message


def test_an_empty_folder_and_one_that_is_not_there(bench: Bench) -> None:
    with pytest.raises(IngestError) as empty:
        bench.run()
    assert empty.value.code == 'source_empty'
    with pytest.raises(IngestError) as missing:
        bench.run({'type': 'folder', 'path': str(bench.data / 'none')})
    assert missing.value.code == 'source_not_found'


KNOWN = {
    'malformed_data',
    'ingest_limit_exceeded',
    'source_empty',
    'unsafe_data',
    'schema_mismatch',
    'dataset_unusable',
}


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    body=st.binary(max_size=200) | st.text('{}[],:"\\0e.-ntfa \n', max_size=80).map(str.encode),
    suffix=st.sampled_from(['csv', 'json', 'jsonl', 'npy', 'npz', 'h5', 'parquet', 'csv.gz']),
)
def test_any_bytes_give_a_version_or_a_code(
    tmp_path_factory: pytest.TempPathFactory, body: bytes, suffix: str
) -> None:
    bench = Bench(tmp_path_factory.mktemp('any'))
    bench.write(f'a.{suffix}', body)
    try:
        bench.run(operator=SMALL)
    except IngestError as error:
        assert error.code in KNOWN, error.message
