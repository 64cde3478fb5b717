# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingImports=false
# pyright: reportPrivateImportUsage=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false
# The development environment has no torch.
"""A training in hand as the arrays of a checkpoint, and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from millrace_training.checkpoints import Checkpoint, State, write_checkpoint
from millrace_training.errors import RecipeError

if TYPE_CHECKING:
    from .run import Run

_MOMENTS = ('exp_avg', 'exp_avg_sq', 'step')


def _arrays(prefix: str, tensors: dict[str, Any]) -> State:
    return {f'{prefix}/{name}': value.detach().numpy() for name, value in tensors.items()}


def _parameters(run: Run) -> list[tuple[str, Any]]:
    return list(run.net.named_parameters())


def write_state(run: Run, work_dir: Path, identity: dict[str, Any]) -> Path:
    """Write a checkpoint of `run`; returns its folder."""
    state = _arrays('model', run.net.state_dict()) | _arrays('best', run.best)
    for name, parameter in _parameters(run):
        moments = run.optimizer.state.get(parameter)
        if moments:
            state |= _arrays('optimizer', {f'{name}/{key}': moments[key] for key in _MOMENTS})
    state['random/torch'] = torch.get_rng_state().numpy()
    state['random/augmentation'] = run.generator.get_state().numpy()
    progress = run.progress
    state['scheduler'] = np.array(run.rates.state, np.float64)
    state['position'] = np.array(
        [progress.epoch, progress.batch, progress.sequence, progress.correct, progress.seen,
         progress.best_epoch], np.int64,
    )  # fmt: skip
    state['sums'] = np.array([progress.loss_sum, progress.best_loss], np.float64)
    return write_checkpoint(work_dir, identity, Checkpoint(progress.sequence, state, progress.history))


def _part(state: State, prefix: str) -> dict[str, Any]:
    start = f'{prefix}/'
    return {
        name.removeprefix(start): torch.from_numpy(np.array(value))
        for name, value in state.items()
        if name.startswith(start)
    }


def restore_state(run: Run, checkpoint: Checkpoint) -> None:
    """Put `run` where the checkpoint was taken; raises `checkpoint_unusable` if it is of another net."""
    state = checkpoint.state
    model, best, moments = (_part(state, name) for name in ('model', 'best', 'optimizer'))
    expected = {name: tuple(value.shape) for name, value in run.net.state_dict().items()}
    shapes = [{name: tuple(value.shape) for name, value in part.items()} for part in (model, best)]
    needed = {'random/torch', 'random/augmentation', 'scheduler', 'position', 'sums'}
    if shapes[0] != expected or shapes[1] not in ({}, expected) or not needed <= state.keys():
        raise RecipeError(
            'checkpoint_unusable', 'The checkpoint holds other variables than this model; starting anew.'
        )
    run.net.load_state_dict(model)
    run.best = best
    for name, parameter in _parameters(run):
        if f'{name}/step' in moments:
            run.optimizer.state[parameter] = {key: moments[f'{name}/{key}'] for key in _MOMENTS}
    torch.set_rng_state(torch.from_numpy(np.array(state['random/torch'])))
    run.generator.set_state(torch.from_numpy(np.array(state['random/augmentation'])))
    run.rates.state = [float(value) for value in state['scheduler']]
    progress = run.progress
    position = [int(value) for value in state['position']]
    progress.epoch, progress.batch, progress.sequence = position[:3]
    progress.correct, progress.seen, progress.best_epoch = position[3:]
    progress.loss_sum, progress.best_loss = (float(value) for value in state['sums'])
    progress.history = [dict(entry) for entry in checkpoint.history]
