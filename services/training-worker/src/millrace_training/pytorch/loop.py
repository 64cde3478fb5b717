# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingImports=false
# pyright: reportPrivateImportUsage=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false
# The development environment has no torch.
"""The training loop: the same bits whether it runs through or is killed at any batch and resumed elsewhere.

A checkpoint holds weights, optimiser, scheduler, both random generators, the best weights so far, and the
position in the data (epoch, batch, sums of the epoch so far). The order of an epoch's samples follows from
(seed, epoch).
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from millrace_training.checkpoints import Place, read_checkpoint
from millrace_training.errors import RecipeError, Stopped
from millrace_training.events import Reporter
from millrace_training.spectra.files import Split
from millrace_training.spectra.sampling import Sampling, epoch_order
from millrace_training.spectra.schedule import RateKeeper

from .augmentation import augment
from .evaluation import validate
from .run import FitOptions, Progress, Run
from .state import restore_state, write_state

CHECKPOINT_INTERVAL_S = 5.0
"""Without a number of batches given, a finished epoch is written when the last checkpoint is this old."""


def batches_per_epoch(samples: int, batch_size: int) -> int:
    """Full batches in an epoch; the rest of its order is left out, another one each time."""
    return max(1, samples // min(batch_size, samples))


def epoch_samples(split: Split, sampling: Sampling) -> int:
    """Samples in an epoch; balanced sampling repeats those of rare classes."""
    if sampling != 'balanced':
        return len(split)
    counts = np.bincount(split.labels)
    return int(counts.max() * np.count_nonzero(counts))


def fit(
    net: Any,
    train: Split,
    validation: Split,
    rates: RateKeeper,
    options: FitOptions,
    place: Place,
    report: Reporter,
) -> list[dict[str, float]]:
    """Train `net` in place and return the metrics of each epoch; it ends with the weights of the best one.

    A checkpoint to resume from that does not fit is passed over with a warning. Raises Stopped after a last
    checkpoint when asked to stop, `training_failed` when the loss is no longer a number.
    """  # fmt: skip
    # Weight decay belongs to matrices: biases and norms are left alone (Loshchilov and Hutter, AdamW, 2019).
    groups = [
        {'params': [p for p in net.parameters() if p.ndim > 1], 'weight_decay': options.weight_decay},
        {'params': [p for p in net.parameters() if p.ndim <= 1], 'weight_decay': 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=rates.peak)
    generator = torch.Generator().manual_seed(options.seed)
    run = Run(net, optimizer, rates, generator, Progress(), {})
    if place.resume_dir is not None:
        _resume(run, place, options, report)
    report.step += run.step
    written = time.monotonic()
    while run.progress.epoch < options.epochs and not _is_done(run.progress, options.patience):
        report.epoch = run.progress.epoch + 1
        try:
            _epoch(run, train, options, place, report)
        except Stopped:
            _save(run, place, report)
            raise
        _end_epoch(run, validation, report)
        if options.checkpoint_steps or time.monotonic() - written >= CHECKPOINT_INTERVAL_S:
            _save(run, place, report)
            written = time.monotonic()
    net.load_state_dict(run.best)
    skipped = options.epochs - run.progress.epoch
    if skipped:
        report.log(
            f'stopped early after epoch {run.progress.epoch}; '
            f'epoch {run.progress.best_epoch + 1} was the best'
        )
        report.step += skipped * rates.steps_per_epoch
    return run.progress.history


def _is_done(progress: Progress, patience: int) -> bool:
    return patience > 0 and progress.epoch - 1 - progress.best_epoch >= patience and progress.epoch > 0


def _resume(run: Run, place: Place, options: FitOptions, report: Reporter) -> None:
    assert place.resume_dir is not None
    try:
        restore_state(run, read_checkpoint(place.resume_dir, place.identity))
        run.saved_step = run.step
        progress = run.progress
        report.log(f'resumed at epoch {progress.epoch + 1} of {options.epochs}, batch {progress.batch}')
    except RecipeError as error:
        # Such as one of a machine with other thread counts: starting anew costs time, going on would cost
        # truth.
        report.log(error.message, 'warning')


def _save(run: Run, place: Place, report: Reporter) -> None:
    if run.step == run.saved_step:
        return
    run.progress.sequence += 1
    folder = write_state(run, place.work_dir, place.identity)
    run.saved_step = run.step
    report.checkpoint(run.step, folder)


def _epoch(run: Run, train: Split, options: FitOptions, place: Place, report: Reporter) -> None:
    """The rest of the epoch that `run` stands in."""
    progress, rates = run.progress, run.rates
    order = epoch_order(train.labels, options.sampling, options.seed, progress.epoch)
    size = min(options.batch_size, len(order))
    run.net.train()
    while progress.batch < rates.steps_per_epoch:
        report.check_stop()
        step = progress.epoch * rates.steps_per_epoch + progress.batch
        for group in run.optimizer.param_groups:
            group['lr'] = rates.rate(step)
        rows = order[progress.batch * size : (progress.batch + 1) * size]
        spectra, labels = torch.from_numpy(train.spectra[rows]), torch.from_numpy(train.labels[rows])
        if options.augmentation is not None:
            spectra = augment(spectra, options.augmentation, run.generator)
        run.optimizer.zero_grad(set_to_none=True)
        logits = run.net.logits(spectra)
        loss = functional.cross_entropy(logits, labels)
        loss.backward()
        if options.clip_norm:
            nn.utils.clip_grad_norm_(run.net.parameters(), options.clip_norm)
        run.optimizer.step()
        progress.batch += 1
        progress.loss_sum += loss.item() * len(rows)
        progress.correct += int((logits.argmax(1) == labels).sum())
        progress.seen += len(rows)
        report.step += 1
        report.progress('train', _training_metrics(progress))
        ends_epoch = progress.batch == rates.steps_per_epoch
        if options.checkpoint_steps and progress.batch % options.checkpoint_steps == 0 and not ends_epoch:
            _save(run, place, report)


def _training_metrics(progress: Progress) -> dict[str, float]:
    if not math.isfinite(progress.loss_sum):
        raise RecipeError(
            'training_failed',
            f'The loss is not a number in epoch {progress.epoch + 1}; lower the learning rate.',
        )
    return {'loss': progress.loss_sum / progress.seen, 'accuracy': progress.correct / progress.seen}


def _end_epoch(run: Run, validation: Split, report: Reporter) -> None:
    progress = run.progress
    loss, accuracy = validate(run.net, validation)
    if not math.isfinite(loss):
        raise RecipeError(
            'training_failed',
            f'The validation loss is not a number in epoch {progress.epoch + 1}; lower the learning rate.',
        )
    rate = float(run.optimizer.param_groups[0]['lr'])
    metrics = {**_training_metrics(progress), 'valLoss': loss, 'valAccuracy': accuracy, 'learningRate': rate}
    progress.history.append(metrics)
    if loss < progress.best_loss:
        progress.best_loss, progress.best_epoch = loss, progress.epoch
        run.best = {name: value.clone() for name, value in run.net.state_dict().items()}
    run.rates.on_epoch(loss)
    progress.epoch += 1
    progress.batch, progress.loss_sum, progress.correct, progress.seen = 0, 0.0, 0, 0
    report.progress('train', metrics, force=True)
