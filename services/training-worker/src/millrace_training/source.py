"""Where the rows of a dataset version come from, as its `dataset.json` says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast


def read_source(folder: Path) -> dict[str, Any] | None:
    """The field `source` of `dataset.json`, such as the generator; None when there is none."""
    try:
        found = json.loads((folder / 'dataset.json').read_text('utf-8'))
    except (OSError, ValueError):
        return None
    source = cast('dict[str, Any]', found).get('source') if isinstance(found, dict) else None
    return cast('dict[str, Any]', source) if isinstance(source, dict) else None
