"""Checkpoints: everything that the rest of a training depends on, after a whole epoch, in plain formats.

A checkpoint is a folder with `state.npz` (weights and optimiser variables, no pickle) and `checkpoint.json`.
It appears whole by a rename, is never changed afterwards, and the last KEPT_CHECKPOINTS stay.
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .digests import canonical_json, sha256_file
from .errors import RecipeError

FORMAT = 'millrace-checkpoint-v1'
KEPT_CHECKPOINTS = 2
"""The one being uploaded and the newest."""

STATE = 'state.npz'
DESCRIPTION = 'checkpoint.json'

State = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Checkpoint:
    """The state after `epoch` finished epochs and the metrics of each of them."""

    epoch: int
    state: State
    history: list[dict[str, float]]


@dataclass(frozen=True)
class Place:
    """Where checkpoints go, which one to resume from, and what they must agree on."""

    work_dir: Path
    resume_dir: Path | None
    identity: dict[str, Any]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_checkpoint(work_dir: Path, identity: dict[str, Any], checkpoint: Checkpoint) -> Path:
    """Write `checkpoint` under `work_dir`/checkpoints and return its folder; older ones beyond the kept go.

    `identity` is what a resuming training must share (recipe, parameters, dataset, threads).
    """
    home = work_dir / 'checkpoints'
    home.mkdir(parents=True, exist_ok=True)
    folder, draft = home / f'epoch-{checkpoint.epoch:05d}', home / f'.draft-{checkpoint.epoch:05d}'
    for stale in (draft, folder):
        shutil.rmtree(stale, ignore_errors=True)
    draft.mkdir()
    np.savez(draft / STATE, **cast('dict[str, Any]', checkpoint.state))
    description = {
        'format': FORMAT,
        'identity': identity,
        'epoch': checkpoint.epoch,
        'history': checkpoint.history,
        'stateSha256': sha256_file(draft / STATE),
    }
    (draft / DESCRIPTION).write_bytes(canonical_json(description) + b'\n')
    for path in (draft / STATE, draft / DESCRIPTION, draft):
        _sync(path)
    draft.rename(folder)
    _sync(home)
    # Later epochs can only be of another training in the same folder.
    kept = sorted(path.name for path in home.glob('epoch-*') if path.name <= folder.name)[-KEPT_CHECKPOINTS:]
    for old in home.glob('epoch-*'):
        if old.name not in kept:
            shutil.rmtree(old)
    return folder


def read_checkpoint(folder: Path, identity: dict[str, Any]) -> Checkpoint:
    """Read a checkpoint's folder; raises `checkpoint_unusable` if it is damaged or of another training."""
    try:
        description = cast('dict[str, Any]', json.loads((folder / DESCRIPTION).read_text('utf-8')))
        if description['format'] != FORMAT:
            raise ValueError(f'format {description["format"]}, expected {FORMAT}')
        found = cast('dict[str, Any]', description['identity'])
        if found != identity:
            differing = sorted(key for key in {*found, *identity} if found.get(key) != identity.get(key))
            raise ValueError(f'it belongs to a training with another {", ".join(differing)}')
        if sha256_file(folder / STATE) != description['stateSha256']:
            raise ValueError(f'{STATE} does not have the digest that {DESCRIPTION} states')
        with np.load(folder / STATE, allow_pickle=False) as archive:
            state: State = {name: archive[name] for name in archive.files}
        return Checkpoint(int(description['epoch']), state, list(description['history']))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise RecipeError(
            'checkpoint_unusable', f'The checkpoint cannot be resumed from ({error}); starting anew.'
        ) from error
