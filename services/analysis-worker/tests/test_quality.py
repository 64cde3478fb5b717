"""The quality report: every check, with the rows it names, and what the policy makes of it."""

from __future__ import annotations

import json
import random

import pytest
from conftest import Bench
from millrace_analysis.hashing import row_digests
from millrace_analysis.splits import split_rows

ROWS = 400


def table(changes: dict[int, str] | None = None) -> str:
    """Rows `x,label`, numbered from 1, with some replaced."""
    chance = random.Random(3)  # noqa: S311
    rows = {
        row: f'{chance.gauss(10, 1):.6f},{"a" if chance.random() < 0.5 else "b"}'
        for row in range(1, ROWS + 1)
    }
    rows.update(changes or {})
    return 'x,label\n' + '\n'.join(rows[row] for row in sorted(rows)) + '\n'


RULES = [{'name': 'x', 'isRequired': True, 'minimum': 0, 'maximum': 1_000_000}]


@pytest.mark.parametrize(
    'check, row, cell',
    [
        ('type', 250, 'abc,a'),
        ('missing', 17, ',a'),
        ('missing', 18, '5.5,'),
        ('range', 30, '-4,b'),
        ('range', 31, 'inf,b'),
        ('dimension', 40, '1,2,a'),
        ('outlier', 50, '90000,a'),
    ],
)
def test_each_fault_is_found_at_its_row_and_dropped_if_the_policy_says_so(
    bench: Bench, check: str, row: int, cell: str
) -> None:
    bench.write('a.csv', table({row: cell}))
    policy = dict.fromkeys(('type', 'missing', 'range', 'dimension', 'outlier'), 'drop')
    made = bench.run(target='label', columns=RULES, quality=policy)
    finding = made.finding(check)
    assert [(place['file'], place['row']) for place in finding['rows']] == [('a.csv', row)]
    assert finding['action'] == 'drop'
    report = made.json('quality.json')
    assert report['rows'] == {'read': ROWS, 'kept': ROWS - 1, 'dropped': 1}
    assert made.all().num_rows == ROWS - 1


def test_a_policy_that_refuses_gives_the_report_and_no_data(bench: Bench) -> None:
    bench.write('a.csv', table({7: 'abc,a', 9: 'def,b'}))
    made = bench.run(target='label', columns=RULES)
    assert 'type' in made.meta['rejected']
    assert 'a.csv row 7' in made.meta['rejected']
    assert sorted(path.name for path in made.folder.iterdir()) == ['quality.html', 'quality.json']
    assert made.json('quality.json')['verdict'] == 'rejected'
    assert [place['value'] for place in made.finding('type')['rows']] == ['abc', 'def']


def test_rows_after_a_line_that_was_left_out_keep_their_numbers(bench: Bench) -> None:
    bench.write('a.csv', table({40: '1,2,3', 60: '-4,b'}))
    made = bench.run(target='label', columns=RULES, quality={'dimension': 'drop', 'range': 'warn'})
    assert [place['row'] for place in made.finding('range')['rows']] == [60]


def test_duplicates_are_the_later_ones_and_never_parted_by_a_split(bench: Bench) -> None:
    lines = table().splitlines()
    bench.write('a.csv', '\n'.join([*lines, *lines[1:101]]) + '\n')
    made = bench.run(target='label')
    finding = made.finding('duplicate')
    assert finding['count'] == 100
    assert finding['rows'][0]['row'] == ROWS + 1
    parts = [set(map(str, made.table(split).to_pylist())) for split in ('train', 'validation', 'test')]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    assert bench.run(target='label', quality={'duplicate': 'drop'}).all().num_rows == ROWS


def test_vectors_have_a_dimension_and_a_sum(bench: Bench) -> None:
    rows = [{'s': [1, 2, row % 7], 'y': 'ab'[row % 2]} for row in range(50)]
    rows[10]['s'] = [1, 2]
    rows[20]['s'] = [1, 2, 500]
    bench.write('a.jsonl', '\n'.join(map(json.dumps, rows)))
    rules = [{'name': 's', 'type': 'vector', 'size': 3, 'isRequired': True, 'sumMaximum': 100}]
    made = bench.run(
        target='y', columns=rules, quality={'dimension': 'drop', 'range': 'drop', 'missing': 'drop'}
    )
    assert [place['row'] for place in made.finding('dimension')['rows']] == [11]
    assert [place['row'] for place in made.finding('range')['rows']] == [21]
    assert made.all().num_rows == 48


def test_a_column_that_gives_the_target_away_is_named_and_an_honest_one_is_not(bench: Bench) -> None:
    chance = random.Random(4)  # noqa: S311
    lines = ['honest,after,copy,name,label']
    for row in range(300):
        label = chance.choice('ab')
        value = chance.gauss(0 if label == 'a' else 1, 1)
        lines.append(f'{value},{5 if label == "a" else 90},{label.upper()},row {row},{label}')
    bench.write('a.csv', '\n'.join(lines) + '\n')
    made = bench.run(target='label')
    leaks = {one['column'] for one in made.json('quality.json')['findings'] if one['check'] == 'leak'}
    assert leaks == {'after', 'copy'}


def test_a_rare_class_is_told(bench: Bench) -> None:
    lines = [f'{row},{"rare" if row < 3 else "common"}' for row in range(1_000)]
    bench.write('a.csv', 'x,label\n' + '\n'.join(lines) + '\n')
    assert 'rare' in bench.run(target='label').finding('imbalance')['message']


def test_the_page_shows_names_and_values_of_strangers_as_text(bench: Bench) -> None:
    evil = '<script>alert(1)</script>'
    bench.write(
        '<b>.csv',
        f'"{evil}",label\n' + '\n'.join(f'{row},{"ab"[row % 2]}' for row in range(40)) + f'\n{evil},a\n',
    )
    page = (bench.run(target='label', quality={'type': 'warn'}).folder / 'quality.html').read_text()
    assert evil not in page and '<b>.csv' not in page
    assert '&lt;script&gt;' in page


def test_every_class_is_in_every_split_by_its_share(bench: Bench) -> None:
    lines = [f'{row},{"abc"[min(row % 10, 2)]}' for row in range(2_000)]
    bench.write('a.csv', 'x,label\n' + '\n'.join(lines) + '\n')
    made = bench.run(target='label', split={'seed': 4, 'validation': 0.2, 'test': 0.1})
    for split, share in (('train', 0.7), ('validation', 0.2), ('test', 0.1)):
        labels = made.table(split).column('label').to_pylist()
        assert {name: labels.count(name) for name in 'abc'} == {
            'a': round(200 * share), 'b': round(200 * share), 'c': round(1_600 * share)
        }  # fmt: skip
    assert made.json('dataset.json')['split']['stratifiedBy'] == 'label'


def test_rows_are_digested_by_their_values_not_by_how_they_lie_in_memory() -> None:
    import numpy as np
    import pyarrow as pa

    batch = pa.RecordBatch.from_pydict(
        {
            'f': pa.array([0.0, -0.0, None, 1.0, 0.0]),
            's': pa.array(['x', 'x', None, 'x', 'x']),
            'v': pa.array([[1.0, 2.0]] * 5, pa.list_(pa.float32(), 2)),
        }
    )
    digests = row_digests(batch)
    assert digests[0] == digests[1] == digests[4]
    assert len({int(one) for one in digests}) == 3
    assert (row_digests(batch.slice(2, 2)) == digests[2:4]).all()
    split = split_rows(digests, None, np.array([True, True, True, True, False]), 1, 0.4, 0.2)
    assert split[4] == 255 and split[0] == split[1]
