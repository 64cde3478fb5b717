# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# Arrow, h5py and fsspec come without types.
"""The quality report as JSON; the same rows and options give the same report."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from millrace_analysis.findings import Finding, Findings

from .profile import ColumnProfile, Profile

FORMAT = 1


def build_report(
    profile: Profile,
    findings: Findings,
    names: list[str],
    kept: np.ndarray[Any, Any],
    target: str | None,
    verdict: str,
) -> dict[str, Any]:
    """`verdict` is `accepted` or `rejected`; `names` are the files that findings point into."""
    read = len(kept) + findings.left_out
    rows = {'read': read, 'kept': int(kept.sum()), 'dropped': read - int(kept.sum())}
    return {
        'format': FORMAT,
        'verdict': verdict,
        'rows': rows,
        'target': target,
        'columns': [_column(column) for column in profile.columns.values()],
        'classes': _classes(profile, kept),
        'findings': [_finding(finding, names) for finding in findings.all()],
    }


def rejection(findings: Findings, names: list[str]) -> str:
    """The refusals in one sentence."""
    parts: list[str] = []
    for finding in findings.rejections():
        where = f"column '{finding.column}'" if finding.column else 'rows'
        first = f', first in {names[finding.rows[0][0]]} row {finding.rows[0][1]}' if finding.rows else ''
        parts.append(f'{finding.check} in {where}: {finding.count}{first}')
    return f'The policy refuses: {"; ".join(parts[:5])}.'


def _column(column: ColumnProfile) -> dict[str, Any]:
    facts: dict[str, Any] = {'name': column.name, 'type': column.kind.kind, 'missing': column.missing}
    if column.kind.size is not None:
        facts['size'] = column.kind.size
    if column.minimum is not None:
        prefix = 'sum' if column.kind.kind == 'vector' else ''
        numbers = {
            'minimum': column.minimum,
            'maximum': column.maximum,
            'mean': column.mean,
            'deviation': column.deviation,
        }
        for name, value in numbers.items():
            if value is not None and math.isfinite(value):
                facts[f'{prefix}{name.capitalize()}' if prefix else name] = value
    return facts


def _classes(profile: Profile, kept: np.ndarray[Any, Any]) -> dict[str, int] | None:
    if profile.codes is None or profile.classes is None:
        return None
    counts = np.bincount(profile.codes[kept] + 1, minlength=len(profile.classes) + 1)[1:]
    return {str(name): int(count) for name, count in zip(profile.classes, counts, strict=True)}


def _finding(finding: Finding, names: list[str]) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for position, (file, row) in enumerate(finding.rows):
        entry: dict[str, Any] = {'file': names[file], 'row': row}
        if position < len(finding.values):
            entry['value'] = finding.values[position]
        rows.append(entry)
    return {
        'check': finding.check,
        'column': finding.column,
        'action': finding.action,
        'message': finding.message,
        'count': finding.count,
        'rows': rows,
    }
