"""Preprocessing in the graph: what onnxruntime gives is what the definition of the step says."""

from __future__ import annotations

import math
from typing import Any

import networks
import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from millrace_conversion.errors import ConversionError
from millrace_conversion.graph.architecture import parse_architecture_object
from millrace_conversion.graph.build import BuildOptions, build_model
from numpy.typing import NDArray

CHANNELS = 24
ODD = st.integers(0, 8).map(lambda half: 2 * half + 1)
ENERGY = st.fixed_dictionaries({'gain': st.floats(0.2, 5), 'offset': st.floats(-20, 20)})


def smoothing(window: int) -> dict[str, Any]:
    weights = np.hanning(window + 2)[1:-1]
    return {'step': 'noise_reduction', 'window': window, 'order': 2, 'kernel': list(weights / weights.sum())}


NARROW = {'gain': 1, 'offset': 0}
STEPS = st.one_of(
    st.fixed_dictionaries({'step': st.just('energy_calibration'), 'from': ENERGY, 'to': ENERGY}),
    st.fixed_dictionaries({'step': st.sampled_from(['moving_average', 'rolling_baseline']), 'window': ODD}),
    ODD.map(smoothing),
    st.fixed_dictionaries({'step': st.just('snip'), 'iterations': st.integers(1, CHANNELS)}),
    st.just({'step': 'square_root'}),
    st.just({'step': 'normalise', 'method': 'max'}),
    st.just({'step': 'normalise', 'method': 'standard', 'mean': 'm', 'std': 's'}),
)


def only(steps: list[Any]) -> Any:
    """An architecture whose net changes nothing."""
    stated = networks.network('mlp', CHANNELS, [], CHANNELS, steps)
    stated['layers'] = [{'type': 'flatten'}]
    return parse_architecture_object(stated)


def run(steps: list[Any], counts: NDArray[np.float32], opset: int = 17) -> tuple[NDArray[Any], NDArray[Any]]:
    """What the graph gives, and what the definitions say."""
    architecture = only(steps)
    tensors = networks.weights({name: shape for name, shape in architecture.tensors().items() if name == 'm'})
    if 's' in architecture.tensors():
        tensors['s'] = np.full(CHANNELS, 0.5, np.float32)
    model = build_model(architecture, tensors, BuildOptions(opset=opset)).model
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (answers,) = session.run(None, {'spectrum': counts})
    return np.asarray(answers), architecture.answer(counts.astype(np.float64), tensors)


@settings(deadline=None, max_examples=150)
@given(STEPS, st.integers(0, 1000), st.sampled_from([13, 17, 18]))
def test_a_step_is_what_its_definition_says(step: Any, seed: int, opset: int) -> None:
    random = np.random.default_rng(seed)
    counts = random.poisson(random.choice([0, 1, 50, 20_000], CHANNELS), (4, CHANNELS)).astype(np.float32)
    answers, expected = run([step], counts, opset)
    np.testing.assert_allclose(answers, expected, rtol=2e-5, atol=2e-5 * max(1, np.abs(expected).max() / 100))


def test_steps_run_in_the_order_given() -> None:
    counts = np.full((1, CHANNELS), 4, np.float32)
    counts[0, 3] = 16
    root_first, _ = run([{'step': 'square_root'}, {'step': 'normalise', 'method': 'max'}], counts)
    root_last, _ = run([{'step': 'normalise', 'method': 'max'}, {'step': 'square_root'}], counts)
    np.testing.assert_allclose(root_first[0, :4], [0.5, 0.5, 0.5, 1], rtol=1e-6)
    np.testing.assert_allclose(root_last[0, :4], [0.5, 0.5, 0.5, 1], rtol=1e-6)
    averaged, _ = run([{'step': 'square_root'}, {'step': 'moving_average', 'window': 3}], counts)
    rooted, _ = run([{'step': 'moving_average', 'window': 3}, {'step': 'square_root'}], counts)
    assert averaged[0, 3] == pytest.approx((2 + 4 + 2) / 3)
    assert rooted[0, 3] == pytest.approx(math.sqrt((4 + 16 + 4) / 3))


def test_values_worked_out_by_hand() -> None:
    counts = np.zeros((1, CHANNELS), np.float32)
    counts[0, :5] = [10, 0, 0, 0, 20]
    shifted, _ = run(
        [{'step': 'energy_calibration', 'from': {'gain': 2, 'offset': 0}, 'to': {'gain': 1, 'offset': 1}}],
        counts,
    )
    # new channel 0 lies at 1 keV, which is half way between the old channels 0 and 1; a keV is half as wide
    np.testing.assert_allclose(shifted[0, :4], [2.5, 0, 0, 0], atol=1e-6)
    assert shifted[0, 6] == pytest.approx(5)
    assert shifted[0, 7] == pytest.approx(10)
    edges, _ = run([{'step': 'moving_average', 'window': 5}], counts)
    np.testing.assert_allclose(edges[0, :2], [6, 4], atol=1e-6)
    net, _ = run([{'step': 'rolling_baseline', 'window': 3}], counts + 7)
    np.testing.assert_allclose(net[0, :5], [10, 0, 0, 0, 20], atol=1e-5)


def test_a_spectrum_of_nothing_stays_finite() -> None:
    counts = np.zeros((2, CHANNELS), np.float32)
    for step in ({'step': 'normalise', 'method': 'max'}, {'step': 'snip', 'iterations': 5}):
        answers, _ = run([step, {'step': 'square_root'}], counts)
        np.testing.assert_allclose(answers, 0, atol=1e-6)


@pytest.mark.parametrize(
    ('step', 'text'),
    [
        ({'step': 'moving_average', 'window': 4}, 'preprocessing.0 has an even window'),
        ({'step': 'moving_average', 'window': 5000}, 'less than or equal to 4095'),
        ({'step': 'noise_reduction', 'window': 3, 'order': 1, 'kernel': [1.0]}, 'has 1 weights for 3'),
        ({'step': 'normalise', 'method': 'standard', 'mean': 'm'}, 'must name mean and std'),
        ({'step': 'normalise', 'method': 'max', 'mean': 'm', 'std': 's'}, 'must name mean and std'),
        ({'step': 'energy_calibration', 'from': {'gain': 0, 'offset': 0}, 'to': NARROW}, 'gain'),
        ({'step': 'snip', 'iterations': 10_000}, 'iterations'),
        ({'step': 'wavelet'}, 'wavelet'),
        ({'step': 'square_root', 'power': 2}, 'power'),
    ],
)  # fmt: skip
def test_a_step_that_makes_no_sense_is_named(step: Any, text: str) -> None:
    with pytest.raises(ConversionError, match=text) as caught:
        only([step])
    assert caught.value.code == 'invalid_architecture'
