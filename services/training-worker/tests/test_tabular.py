"""Rows: what can be read, what is refused and why, the split, and the made dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from millrace_training.errors import RecipeError
from millrace_training.tabular.crowd import FEATURES, STATES, draw_rows, walking_speed
from millrace_training.tabular.measures import measure
from millrace_training.tabular.split import SPLITS, Ratios, stratified_split
from millrace_training.tabular.table import read_table, write_table

RATIOS = Ratios(0.7, 0.15, 0.15)
SCHEMA: dict[str, Any] = {
    'columns': [
        {'name': 'a', 'type': 'float64'},
        {'name': 'b', 'type': 'int64'},
        {'name': 'label', 'type': 'string'},
    ],
    'target': 'label',
}


def _write(folder: Path, csv: str, schema: Any = SCHEMA) -> Path:
    (folder / 'dataset.csv').write_text(csv, 'utf-8')
    (folder / 'schema.json').write_text(json.dumps(schema), 'utf-8')
    return folder


def _refusal(folder: Path) -> str:
    with pytest.raises(RecipeError) as caught:
        read_table(folder)
    assert caught.value.code == 'dataset_unusable'
    return caught.value.message


def test_columns_are_taken_by_name_and_classes_are_sorted(tmp_path: Path) -> None:
    table = read_table(_write(tmp_path, 'label,b,a\r\n"z, or y",1,0.1\r\nx,2,-1e-3\r\n'))
    assert table.feature_names == ('a', 'b')
    assert table.classes == ('x', 'z, or y')
    assert table.features.tolist() == [[0.1, 1], [-1e-3, 2]]
    assert table.labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ('csv', 'words'),
    [
        ('a,b\n1,2\n', "no column 'label', which schema.json names as the label"),
        ('a,label\n1,x\n2,y\n', "they lack 'b'"),
        ('a,b,c,label\n1,2,3,x\n', "they also have 'c'"),
        ('a,b,label\n1,2,x\n3,4,x\n', "'label' has 1 class; a classifier needs 2"),
        ('a,b,label\n1,2,x\nNaN,4,y\n,4,y\n', "'a' has no finite number in 2 rows (such as row 2, 3)"),
        ('a,b,label\n1,2,x\ninf,4,y\n', "'a' has no finite number in 1 rows"),
        ('a,b,label\n1,2,x\n1e39,4,y\n', "'a' has no finite number in 1 rows"),
        ('a,b,label\n1,2,x\n3,4,\n', "'label' is missing in 1 rows"),
        ('a,b,label\n1,2,x\n3,4," "\n', "'label' is empty in 1 rows"),
        ('a,b,label\n1,2,x\n3,four,y\n', 'four'),
        ('a,b,label\n1,2,x\n3,4\n', 'Expected 3 columns, got 2'),
        ('a,b,a,label\n1,2,3,x\n', "the column 'a' twice"),
        ('', 'is empty'),
        ('a,b,label\n', 'holds 0 rows'),
    ],
)
def test_rows_that_no_classifier_can_learn_from_are_refused(tmp_path: Path, csv: str, words: str) -> None:
    assert words in _refusal(_write(tmp_path, csv))


@pytest.mark.parametrize(
    ('schema', 'words'),
    [
        ([], 'not of the form'),
        ({'columns': [], 'target': 'label'}, "the target 'label', which is none"),
        ({'columns': [{'name': 'label', 'type': 'string'}], 'target': 'label'}, 'names 0 features'),
        (
            {
                'columns': [{'name': 'a', 'type': 'string'}, {'name': 'label', 'type': 'string'}],
                'target': 'label',
            },
            "'a' is string; a feature is a number",
        ),
        (
            {
                'columns': [
                    {'name': 'a_0', 'type': 'float32'},
                    {'name': 'a', 'type': 'float32', 'size': 2},
                    {'name': 'label', 'type': 'string'},
                ],
                'target': 'label',
            },
            "names 'a_0' twice",
        ),
    ],
)
def test_a_schema_that_is_none_is_refused(tmp_path: Path, schema: Any, words: str) -> None:
    assert words in _refusal(_write(tmp_path, 'a,label\n1,x\n', schema))


def test_no_data_and_two_files_are_refused(tmp_path: Path) -> None:
    assert 'schema.json is missing' in _refusal(tmp_path)
    _write(tmp_path, 'a,b,label\n')
    (tmp_path / 'other.csv').write_text('a\n')
    assert 'has 2 CSV files' in _refusal(tmp_path)


def test_an_ingested_version_and_its_csv_are_the_same_table(tmp_path: Path) -> None:
    arrow, csv = tmp_path / 'arrow', tmp_path / 'csv'
    arrow.mkdir()
    csv.mkdir()
    schema: dict[str, Any] = {
        'columns': [
            {'name': 'v', 'type': 'float32', 'size': 2},
            {'name': 'n', 'type': 'int64'},
            {'name': 'kind', 'type': 'int64'},
        ],
        'target': 'kind',
    }
    vectors = np.array([[0.1, 1 / 3], [2.5, -7], [1e-7, 3e8]], np.float32)
    for index, name in enumerate(('train', 'validation', 'test')):
        batch = pa.table(
            {
                'v': pa.FixedSizeListArray.from_arrays(pa.array(vectors[index]), 2),
                'n': pa.array([index]),
                'kind': pa.array([index % 2]),
            }
        )
        path = arrow / f'{name}.arrow'
        with pa.OSFile(str(path), 'wb') as sink, pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_table(batch)
    lines = ['v_0,v_1,n,kind']
    lines += [f'{float(v[0])!r},{float(v[1])!r},{i},{i % 2}' for i, v in enumerate(vectors)]
    _write(csv, '\r\n'.join(lines) + '\r\n', schema)
    (arrow / 'schema.json').write_text(json.dumps(schema), 'utf-8')
    one, other = read_table(arrow), read_table(csv)
    assert one.features.tolist() == other.features.tolist()
    assert one.feature_names == other.feature_names == ('v_0', 'v_1', 'n')
    assert (one.classes, one.labels.tolist()) == (other.classes, other.labels.tolist())
    (arrow / 'test.arrow').write_bytes(b'no arrow')
    assert 'test.arrow is missing or no Arrow IPC file' in _refusal(arrow)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(3, 60), min_size=2, max_size=5), st.integers(0, 2**32 - 1))
def test_a_split_takes_every_row_once_and_every_class_everywhere(counts: list[int], seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    classes = tuple(str(index) for index in range(len(counts)))
    split = stratified_split(labels, classes, RATIOS, seed)
    assert sorted(np.concatenate([split[name] for name in SPLITS]).tolist()) == list(range(len(labels)))
    for label, count in enumerate(counts):
        shares = {name: int((labels[split[name]] == label).sum()) for name in SPLITS}
        assert min(shares.values()) >= 1
        if count >= 20:
            assert abs(shares['test'] - 0.15 * count) <= 0.5 + 1e-9
    again = stratified_split(labels, classes, RATIOS, seed)
    assert all((again[name] == split[name]).all() for name in SPLITS)


def test_another_seed_is_another_split_and_too_few_rows_are_refused() -> None:
    labels = np.repeat(np.arange(2), 50)
    one, other = (stratified_split(labels, ('a', 'b'), RATIOS, seed)['test'].tolist() for seed in (1, 2))
    assert one != other
    with pytest.raises(RecipeError, match=r"'rare' has 2 rows; .* 3 at least") as caught:
        stratified_split(np.array([0] * 10 + [1] * 2), ('common', 'rare'), RATIOS, 1)
    assert caught.value.code == 'dataset_unusable'


def test_made_rows_repeat_and_follow_the_fundamental_diagram(tmp_path: Path) -> None:
    rows, labels = draw_rows(700, 3)
    again, _ = draw_rows(700, 3)
    assert (rows == again).all() and np.isfinite(rows).all()
    assert set(labels) == STATES.keys()
    # A longer dataset of the same seed begins with the shorter one.
    assert (draw_rows(710, 3)[0][:700] == rows).all()
    names = [name for name, _ in FEATURES]
    density, speed = rows[:, names.index('density')], rows[:, names.index('speed_mean')]
    assert np.corrcoef(density, speed)[0, 1] < -0.5
    assert walking_speed(5.4) == walking_speed(9) == 0
    # Weidmann's own table: 1.06 m/s at one person per square metre, 0.61 at two.
    assert walking_speed(1) == pytest.approx(1.06, abs=0.02)
    assert walking_speed(2) == pytest.approx(0.61, abs=0.02)
    for folder in (tmp_path / 'one', tmp_path / 'other'):
        folder.mkdir()
        write_table(folder, FEATURES, 'state', rows, labels)
    assert (tmp_path / 'one' / 'dataset.csv').read_bytes() == (
        tmp_path / 'other' / 'dataset.csv'
    ).read_bytes()
    assert read_table(tmp_path / 'one').features.tolist() == rows.tolist()


def test_figures_of_a_classifier_are_those_of_the_textbook() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    said = np.array([0, 0, 0, 1, 1, 1, 0, 0])
    found = measure(said, labels, ('a', 'b', 'c'))
    assert found['confusion'] == [[3, 1, 0], [0, 2, 0], [2, 0, 0]]
    assert found['accuracy'] == found['recall'] == 0.625
    # a: 3/5 precise; b: 2/3; c is never said and counts 0.
    assert found['precision'] == pytest.approx((4 * 3 / 5 + 2 * 2 / 3) / 8, abs=1e-6)
    assert found['byClass']['c'] == {'precision': 0.0, 'recall': 0.0, 'f1': 0.0, 'samples': 2}
