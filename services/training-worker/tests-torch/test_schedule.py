"""Learning rates and the order of samples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from millrace_training.recipes.base import parse_params
from millrace_training.recipes.isotope import IsotopeParams
from millrace_training.spectra.sampling import epoch_order
from millrace_training.spectra.schedule import RateKeeper

PEAK, STEPS, EPOCHS = 0.2, 4, 12


def _keeper(schedule: dict[str, Any], warmup_steps: int = 0) -> RateKeeper:
    parsed = parse_params(IsotopeParams, {'schedule': schedule}).schedule
    return RateKeeper(PEAK, parsed, warmup_steps, STEPS, STEPS * EPOCHS)


def _optimizer() -> Any:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)


@pytest.mark.parametrize(
    ('schedule', 'build'),
    [
        ({'type': 'constant'}, lambda o: torch.optim.lr_scheduler.ConstantLR(o, 1.0)),
        (
            {'type': 'step_decay', 'every': 3, 'gamma': 0.5},
            lambda o: torch.optim.lr_scheduler.StepLR(o, 3, 0.5),
        ),
        (
            {'type': 'exponential_decay', 'gamma': 0.9},
            lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
        ),
    ],
)
def test_rates_by_epoch_are_those_of_torch(schedule: dict[str, Any], build: Any) -> None:
    keeper, optimizer = _keeper(schedule), _optimizer()
    reference = build(optimizer)
    for epoch in range(EPOCHS):
        rate = keeper.rate(epoch * STEPS + 1)
        assert rate == pytest.approx(optimizer.param_groups[0]['lr']), epoch
        optimizer.step()
        reference.step()


def test_cosine_annealing_is_that_of_torch_batch_by_batch() -> None:
    keeper, optimizer = _keeper({'type': 'cosine_annealing', 'minimum': 0.1}), _optimizer()
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS * EPOCHS, 0.1 * PEAK)
    for step in range(STEPS * EPOCHS):
        assert keeper.rate(step) == pytest.approx(optimizer.param_groups[0]['lr']), step
        optimizer.step()
        reference.step()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=30), st.integers(0, 4))
def test_reduce_on_plateau_is_that_of_torch(losses: list[float], patience: int) -> None:
    keeper = _keeper({'type': 'reduce_on_plateau', 'factor': 0.5, 'patience': patience, 'threshold': 1e-3})
    optimizer = _optimizer()
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=patience, threshold=1e-3, eps=0.0
    )
    for epoch, loss in enumerate(losses):
        keeper.on_epoch(loss)
        reference.step(loss)
        assert keeper.rate(epoch * STEPS) == pytest.approx(optimizer.param_groups[0]['lr'])


def test_the_warm_up_rises_from_near_zero_to_the_peak() -> None:
    keeper = _keeper({'type': 'constant'}, warmup_steps=5)
    rates = [keeper.rate(step) for step in range(7)]
    assert rates == pytest.approx([PEAK * share for share in (0.2, 0.4, 0.6, 0.8, 1, 1, 1)])


def test_a_scheduler_goes_on_from_its_state() -> None:
    schedule = {'type': 'reduce_on_plateau', 'patience': 1}
    first, second = _keeper(schedule), _keeper(schedule)
    for loss in (1.0, 1.0, 1.0, 1.0):
        first.on_epoch(loss)
    second.state = first.state
    for keeper in (first, second):
        keeper.on_epoch(1.0)
    assert first.state == second.state
    assert first.rate(0) == second.rate(0) < PEAK


LABELS = st.lists(st.integers(0, 3), min_size=8, max_size=200).map(np.array)


@settings(max_examples=60, deadline=None)
@given(LABELS, st.sampled_from(['shuffled', 'stratified']), st.integers(0, 99), st.integers(0, 99))
def test_an_epoch_sees_every_sample_once(labels: Any, sampling: Any, seed: int, epoch: int) -> None:
    order = epoch_order(labels, sampling, seed, epoch)
    assert sorted(order.tolist()) == list(range(len(labels)))
    assert (order == epoch_order(labels, sampling, seed, epoch)).all()


@settings(max_examples=60, deadline=None)
@given(LABELS, st.integers(0, 99))
def test_stratified_batches_have_the_classes_in_their_shares(labels: Any, seed: int) -> None:
    order = epoch_order(labels, 'stratified', seed, 0)
    for stop in range(1, len(labels)):
        seen = np.bincount(labels[order[:stop]], minlength=4)
        expected = np.bincount(labels, minlength=4) * stop / len(labels)
        # Each class is spread evenly, so no prefix is off by more than a sample of every class.
        assert (np.abs(seen - expected) <= 4).all()


@settings(max_examples=60, deadline=None)
@given(LABELS, st.integers(0, 99))
def test_balanced_epochs_show_rare_classes_as_often_as_the_largest(labels: Any, seed: int) -> None:
    order = epoch_order(labels, 'balanced', seed, 0)
    counts = np.bincount(labels[order], minlength=4)
    present = np.bincount(labels, minlength=4)
    assert set(counts[present > 0].tolist()) == {int(present.max())}
    repeats = np.bincount(order, minlength=len(labels))
    for label in np.flatnonzero(present):
        mine = repeats[labels == label]
        assert mine.max() - mine.min() <= 1
        assert math.isclose(mine.mean(), present.max() / present[label])


def test_epochs_differ() -> None:
    labels = np.arange(100) % 5
    assert (epoch_order(labels, 'stratified', 1, 0) != epoch_order(labels, 'stratified', 1, 1)).any()
