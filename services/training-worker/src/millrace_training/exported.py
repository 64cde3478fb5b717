"""What an export of any framework tells, and the file that a job writes about itself."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Exported:
    """The digests that name an exported model, and its sizes in bytes by file.

    `graph_digests` go into `meta.json` as they are called here, such as `frozenGraphDigest`;
    `details` go there too, under keys of their own.
    """

    weights_digest: str
    graph_digests: dict[str, str]
    sizes: dict[str, int]
    details: dict[str, Any] = field(default_factory=dict[str, Any])


def write_meta(folder: Path, meta: dict[str, Any]) -> None:
    """Write `meta.json`, indented, with sorted keys."""
    text = json.dumps(meta, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    (folder / 'meta.json').write_text(text + '\n', 'utf-8')
