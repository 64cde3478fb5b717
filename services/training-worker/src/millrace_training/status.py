"""`ml:status`: what the stand-alone commands have made. Imports nothing heavy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TextIO, cast

_PARTS = (
    ('model.keras', 'Keras model'),
    ('saved_model/saved_model.pb', 'SavedModel'),
    ('frozen_graph.pb', 'frozen graph'),
    ('model.weights.h5', 'weights'),
    ('model.onnx', 'ONNX model (npm run ml:convert)'),
    ('meta.json', 'metadata'),
)


def _meta(out: Path) -> dict[str, Any] | None:
    try:
        return cast('dict[str, Any]', json.loads((out / 'meta.json').read_text('utf-8')))
    except (OSError, ValueError):
        return None


def print_status(out: Path, stream: TextIO) -> None:
    """Write which files are in `out`, and what their model is."""
    stream.write(f'{out}\n')
    for name, title in _PARTS:
        path = out / name
        state = f'{path.stat().st_size:>10,} bytes' if path.is_file() else f'{"missing":>16}'
        stream.write(f'  {state}  {name:<28} {title}\n')
    checkpoints = sorted((out / 'work' / 'checkpoints').glob('epoch-*'))
    if checkpoints:
        stream.write(f'  last checkpoint: {checkpoints[-1].name}\n')
    meta = _meta(out)
    if meta is None:
        stream.write('No model yet: npm run ml:train:quick\n')
        return
    params = meta['params']
    low, high = meta['accuracyInterval95']
    stream.write(
        f'{meta["recipe"]["name"]} {meta["recipe"]["version"]}: {params["epochs"]} epochs, '
        f'{meta["dataset"]["train"]} samples, seed {params["seed"]}, made {meta["createdAt"]}\n'
        f'  held-out accuracy {meta["accuracy"]:.1%} ({low:.1%} to {high:.1%}, '
        f'{meta["dataset"]["heldout"]} samples)\n'
        f'  weights digest {meta["weightsDigest"]}\n'
        f'  graph digest   {meta.get("frozenGraphDigest") or meta["architectureDigest"]}\n'
        f'  {", ".join(f"{name} {version}" for name, version in meta["framework"].items())}; '
        f'{meta["usage"]["wallSeconds"]:.1f} s\n'
    )
