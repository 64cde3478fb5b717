# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# Arrow, h5py and fsspec come without types.
"""Columns that give the target away: usually something that was measured after it."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Any

import numpy as np

from millrace_analysis.findings import Findings

from .profile import ColumnProfile, Profile

ROWS_MIN = 50
"""In fewer rows of the sample everything looks like a leak."""
PURE = 0.999
"""Share of rows whose class a column tells alone, or size of its correlation with a numeric target."""


def check_leaks(profile: Profile, target: str, findings: Findings) -> None:
    """Looks at each column of the sample alone."""
    for name, column in profile.columns.items():
        if name == target or column.kind.kind == 'vector':
            continue
        reason = _leak(column, profile, profile.columns[target])
        if reason is not None:
            findings.add_column('leak', name, f"'{name}' alone tells '{target}': {reason}.")


def _leak(column: ColumnProfile, profile: Profile, target: ColumnProfile) -> str | None:
    if profile.codes is None:
        return _correlated(column, target)
    codes = profile.codes[profile.sample_places]
    pairs = [
        (value, int(code))
        for value, code in zip(column.sample, codes.tolist(), strict=True)
        if code >= 0 and value is not None and value == value
    ]
    classes = {code for _, code in pairs}
    if len(pairs) < ROWS_MIN or len(classes) < 2:
        return None
    if column.kind.kind in ('float64', 'int64'):
        changes = _changes(pairs)
        if changes == len(classes) - 1:
            return 'sorted by it, each class is in one piece'
    return _pure(pairs, len(classes))


def _changes(pairs: list[tuple[Any, int]]) -> int:
    """How often the class changes when the rows are sorted by the column; equal values have no order."""
    ordered = sorted(pairs)
    mixed: dict[Any, int] = {}
    for value, code in ordered:
        if mixed.setdefault(value, code) != code:
            return len(ordered)
    return sum(first[1] != second[1] for first, second in itertools.pairwise(ordered))


def _pure(pairs: list[tuple[Any, int]], classes: int) -> str | None:
    values = Counter(value for value, _ in pairs)
    # A column of names that are nearly all different tells every class, and means nothing.
    if len(values) < 2 or len(values) > max(4 * classes, len(pairs) // 20):
        return None
    best: dict[Any, int] = {}
    for (value, _), count in Counter(pairs).items():
        best[value] = max(best.get(value, 0), count)
    share = sum(best.values()) / len(pairs)
    return f'{share:.1%} of its values have one class' if share >= PURE else None


def _correlated(column: ColumnProfile, target: ColumnProfile) -> str | None:
    if column.kind.kind not in ('float64', 'int64') or target.kind.kind not in ('float64', 'int64'):
        return None
    first, second = (np.array(one.sample, dtype=np.float64) for one in (column, target))
    usable = np.isfinite(first) & np.isfinite(second)
    if int(usable.sum()) < ROWS_MIN or not first[usable].std() or not second[usable].std():
        return None
    correlation = float(np.corrcoef(first[usable], second[usable])[0, 1])
    if math.isfinite(correlation) and abs(correlation) >= PURE:
        return f'their correlation is {correlation:.5f}'
    return None
