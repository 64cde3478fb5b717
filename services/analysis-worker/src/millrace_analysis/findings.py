# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# Arrow, h5py and fsspec come without types.
"""What is wrong with which rows, and what the policy does about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from millrace_worker.contracts.models import QualityPolicy

Check = Literal['type', 'missing', 'range', 'dimension', 'duplicate', 'outlier', 'imbalance', 'leak']
Action = Literal['reject', 'drop', 'warn']

ROWS_LISTED_MAX = 100
"""Rows that a report names for one finding; the count is always exact."""
VALUE_CHARACTERS_MAX = 64

DEFAULT_ACTIONS: dict[Check, Action] = {
    'type': 'reject',
    'missing': 'reject',
    'range': 'reject',
    'dimension': 'reject',
    'duplicate': 'warn',
    'outlier': 'warn',
    'imbalance': 'warn',
    'leak': 'warn',
}


@dataclass
class Finding:
    """One kind of fault in one column; `rows` holds the first places, `values` what stood there."""

    check: Check
    column: str | None
    action: Action
    message: str
    count: int = 0
    rows: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """File and row."""
    values: list[str] = field(default_factory=list[str])


class RowMap:
    """Which file and row of it each row of the spool is."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._origins: list[tuple[int, int]] = []
        self._left_out: dict[int, list[int]] = {}

    def add(self, start: int, file: int, first_row: int) -> None:
        """Rows from `start` on come from `file`, the first of them being its `first_row`."""
        self._starts.append(start)
        self._origins.append((file, first_row))

    def leave_out(self, file: int, row: int) -> None:
        """A line of the file that gave no row: those after it have a number more."""
        self._left_out.setdefault(file, []).append(row)

    def origin(self, place: int) -> tuple[int, int]:
        """File and row, both as a person would count them."""
        at = int(np.searchsorted(self._starts, place, side='right')) - 1
        file, first = self._origins[at]
        row = first + place - self._starts[at]
        for skipped in self._left_out.get(file, []):
            if skipped <= row:
                row += 1
        return file, row


class Findings:
    """Collects findings; rows are named by their place in the spool."""

    def __init__(self, policy: QualityPolicy | None, rows: RowMap) -> None:
        self._policy = policy
        self._map = rows
        self._found: dict[tuple[Check, str | None], Finding] = {}
        self._dropped: list[np.ndarray[Any, Any]] = []
        self.left_out = 0
        """Lines that gave no row at all."""

    def action(self, check: Check) -> Action:
        """What the policy says about a check."""
        chosen: Action | None = getattr(self._policy, check) if self._policy is not None else None
        return chosen or DEFAULT_ACTIONS[check]

    def add(
        self, check: Check, column: str | None, message: str, places: Any, values: list[Any] | None = None
    ) -> None:
        """Rows with the same fault; `values` go with the first of them."""
        places = np.asarray(places, dtype=np.int64)
        if not len(places):
            return
        finding = self._finding(check, column, message)
        finding.count += len(places)
        for position, place in enumerate(places[: ROWS_LISTED_MAX - len(finding.rows)].tolist()):
            finding.rows.append(self._map.origin(place))
            if values is not None:
                finding.values.append(str(values[position])[:VALUE_CHARACTERS_MAX])
        if finding.action == 'drop':
            self._dropped.append(places)

    def add_line(self, file: int, row: int, reason: str) -> None:
        """A line that is left out because it does not have as many values as the header."""
        finding = self._finding('dimension', None, 'Lines have more or fewer values than the header.')
        finding.count += 1
        self.left_out += 1
        self._map.leave_out(file, row)
        if len(finding.rows) < ROWS_LISTED_MAX:
            finding.rows.append((file, row))
            finding.values.append(reason[:VALUE_CHARACTERS_MAX])

    def add_column(self, check: Check, column: str, message: str) -> None:
        """A fault of a column as a whole."""
        self._finding(check, column, message).count += 1

    def all(self) -> list[Finding]:
        """Every finding, the gravest first."""
        order = {'reject': 0, 'drop': 1, 'warn': 2}
        return sorted(self._found.values(), key=lambda one: (order[one.action], one.check, one.column or ''))

    def rejections(self) -> list[Finding]:
        """Findings for which the policy refuses the version."""
        return [finding for finding in self._found.values() if finding.action == 'reject']

    def kept(self, rows: int) -> np.ndarray[Any, Any]:
        """Which rows stay."""
        keep = np.ones(rows, dtype=np.bool_)
        for places in self._dropped:
            keep[places] = False
        return keep

    def _finding(self, check: Check, column: str | None, message: str) -> Finding:
        key = (check, column)
        if key not in self._found:
            self._found[key] = Finding(check, column, self.action(check), message)
        return self._found[key]
