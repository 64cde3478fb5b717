# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# Arrow, h5py and fsspec come without types.
"""The checks of a quality report, one function each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from millrace_worker.contracts.models import ColumnRule, IngestOptions

from millrace_analysis.columns import ColumnKind
from millrace_analysis.errors import IngestError
from millrace_analysis.findings import Findings
from millrace_analysis.spool import Spool

from .profile import ColumnProfile, Profile, batches_of, numbers_of

OUTLIER_DEVIATIONS = 8.0
"""Robust deviations from the median (1.4826 times the median absolute deviation) that make an outlier."""
RARE_SHARE = 0.01
"""A class with a smaller share of the rows is rare."""


def check_rows(
    spool: Spool, profile: Profile, options: IngestOptions, findings: Findings, on_rows: Callable[[int], None]
) -> None:
    """Missing values, ranges and outliers, row by row."""
    rules = {rule.name: rule for rule in options.columns or []}
    fences = {name: _fence(column) for name, column in profile.columns.items()}
    needed = {name for name, rule in rules.items() if rule.is_required}
    if options.target is not None:
        needed.add(options.target)
    for start, batch in batches_of(spool, on_rows):
        for name, kind in spool.kinds.items():
            values = batch.column(name)
            numbers = numbers_of(values, kind)
            missing = np.asarray(values.is_null()) if numbers is None else np.isnan(numbers)
            if name in needed:
                findings.add('missing', name, 'There is no value.', np.flatnonzero(missing) + start)
            if numbers is not None:
                _check_numbers(name, numbers, rules.get(name), fences[name], kind, start, findings)


def _check_numbers(
    name: str,
    numbers: np.ndarray[Any, Any],
    rule: ColumnRule | None,
    fence: tuple[float, float] | None,
    kind: ColumnKind,
    start: int,
    findings: Findings,
) -> None:
    what = 'The sum of the elements' if kind.kind == 'vector' else 'The value'
    low, high = _bounds(rule, kind)
    with np.errstate(invalid='ignore'):
        wrong = np.isinf(numbers) | (numbers < low) | (numbers > high)
        if wrong.any():
            _add(findings, 'range', name, f'{what} is not within [{low:g}, {high:g}].', wrong, numbers, start)
        if fence is None:
            return
        far = ((numbers < fence[0]) | (numbers > fence[1])) & ~wrong
    if far.any():
        text = f'{what} is far from the others: outside [{fence[0]:.6g}, {fence[1]:.6g}].'
        _add(findings, 'outlier', name, text, far, numbers, start)


def _add(
    findings: Findings, check: Any, name: str, message: str, wrong: Any, numbers: Any, start: int
) -> None:
    places = np.flatnonzero(wrong)
    findings.add(check, name, message, places + start, [f'{value:.6g}' for value in numbers[places[:100]]])


def _bounds(rule: ColumnRule | None, kind: ColumnKind) -> tuple[float, float]:
    if rule is None:
        return -math.inf, math.inf
    low, high = (
        (rule.sum_minimum, rule.sum_maximum) if kind.kind == 'vector' else (rule.minimum, rule.maximum)
    )
    return -math.inf if low is None else low, math.inf if high is None else high


def _fence(column: ColumnProfile) -> tuple[float, float] | None:
    if column.kind.kind not in ('float64', 'int64', 'vector'):
        return None
    values = np.array([value for value in column.sample if math.isfinite(value)], dtype=np.float64)
    if len(values) < 20:
        return None
    middle = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - middle)))
    if spread == 0.0:
        return None
    return middle - OUTLIER_DEVIATIONS * spread, middle + OUTLIER_DEVIATIONS * spread


def check_duplicates(profile: Profile, findings: Findings) -> None:
    """Every row that is equal to an earlier one."""
    order = np.argsort(profile.digests, kind='stable')
    ordered = profile.digests[order]
    # The sort is stable: among equal digests the first row comes first.
    findings.add(
        'duplicate',
        None,
        'The row is equal to an earlier one.',
        np.sort(order[1:][ordered[1:] == ordered[:-1]]),
    )


def check_classes(profile: Profile, target: str, kept: np.ndarray[Any, Any], findings: Findings) -> None:
    """Raises `dataset_unusable` for a target without a value, or with one class only."""
    if profile.columns[target].missing == len(kept):
        raise IngestError('dataset_unusable', f"The target '{target}' has no value in any row.")
    if profile.codes is None or profile.classes is None or not kept.any():
        return
    counts = np.bincount(profile.codes[kept] + 1, minlength=len(profile.classes) + 1)[1:]
    present = int((counts > 0).sum())
    if present == 1:
        only = profile.classes[int(np.argmax(counts))]
        raise IngestError('dataset_unusable', f"The target '{target}' has one class only: '{only}'.")
    total = int(counts.sum())
    for name, count in zip(profile.classes, counts.tolist(), strict=True):
        if 0 < count < RARE_SHARE * total:
            findings.add_column('imbalance', target, f"Class '{name}' has {count} of {total} rows.")
