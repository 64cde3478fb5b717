"""`schema.json` of a dataset of rows: `{"columns": [{"name", "type", "size"?}], "target"}`, as ingested
versions have it.

A column with a size is a vector; in CSV it is the columns `name_0` to `name_<size-1>`, as the dataset API
writes it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millrace_training.errors import RecipeError

SCHEMA_FILE = 'schema.json'
MAX_FEATURES = 4_096

SHOWN = 5
"""Rows or names that a message gives at most."""

_NUMBERS = ('int', 'uint', 'float', 'double', 'number', 'integer')


@dataclass(frozen=True)
class Schema:
    """Names of the feature columns, vectors taken apart, and of the label."""

    features: tuple[str, ...]
    target: str


def unusable(reason: str) -> RecipeError:
    """The error of every dataset that cannot be used."""
    return RecipeError('dataset_unusable', reason)


def names_of(names: list[str]) -> str:
    """The first names, quoted, and how many more there are."""
    more = f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''
    return ', '.join(repr(name) for name in names[:SHOWN]) + more


def read_schema(path: Path) -> Schema:
    """The columns of a dataset; raises `dataset_unusable` when the file is none or has no use for a
    classifier.
    """
    try:
        found: Any = json.loads(path.read_text('utf-8'))
        target = found['target']
        columns = [(str(entry['name']), str(entry['type']), entry.get('size')) for entry in found['columns']]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise unusable(
            f'{SCHEMA_FILE} is missing or not of the form {{"columns": [{{"name", "type"}}], "target"}}.'
        ) from error
    if not isinstance(target, str) or target not in [name for name, _, _ in columns]:
        raise unusable(f'{SCHEMA_FILE} names the target {target!r}, which is none of its columns.')
    features: list[str] = []
    for name, kind, size in columns:
        if name == target:
            continue
        if not kind.lower().startswith(_NUMBERS):
            raise unusable(f'The column {name!r} is {kind}; a feature is a number. Drop or encode it.')
        features += [f'{name}_{index}' for index in range(size)] if isinstance(size, int) else [name]
    if not 1 <= len(features) <= MAX_FEATURES:
        raise unusable(f'{SCHEMA_FILE} names {len(features)} features; 1 to {MAX_FEATURES} can be used.')
    twice = sorted({name for name in features if features.count(name) > 1})
    if twice:
        raise unusable(f'{SCHEMA_FILE} names {names_of(twice)} twice.')
    return Schema(tuple(features), target)
