"""Preprocessing: what each step means, and that torch does what numpy does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from millrace_training.pytorch.preprocessing import Preprocessing
from millrace_training.recipes.base import parse_params
from millrace_training.recipes.isotope import IsotopeParams
from millrace_training.spectra import preprocessing
from scipy.ndimage import minimum_filter1d, uniform_filter1d
from scipy.signal import savgol_filter

CHANNELS = 96


def _spectra(seed: int, rows: int = 4) -> Any:
    random = np.random.Generator(np.random.PCG64(seed))
    level = np.exp(random.uniform(0, 8, (rows, 1)))
    shape = np.exp(-np.arange(CHANNELS) / 30) + 3 * np.exp(-(((np.arange(CHANNELS) - 50) / 4) ** 2))
    return random.poisson(level * shape).astype(np.float32)


def _fit(steps: list[dict[str, Any]], spectra: Any) -> list[Any]:
    params = parse_params(IsotopeParams, {'preprocessing': steps})
    return preprocessing.fit(params.preprocessing, spectra)


def _apply(step: dict[str, Any], spectra: Any) -> Any:
    return preprocessing.apply(_fit([step], spectra), spectra)


_CALIBRATION = st.fixed_dictionaries({'gain': st.floats(0.5, 5), 'offset': st.floats(-40, 40)})
_ODD = st.integers(1, 12).map(lambda half: 2 * half + 1)
STEPS = st.one_of(
    st.fixed_dictionaries({'step': st.just('energy_calibration'), 'from': _CALIBRATION, 'to': _CALIBRATION}),
    st.fixed_dictionaries({'step': st.just('moving_average'), 'window': _ODD}),
    st.fixed_dictionaries(
        {
            'step': st.just('noise_reduction'),
            'window': _ODD.filter(lambda w: w > 3),
            'order': st.integers(1, 3),
        }
    ),
    st.fixed_dictionaries({'step': st.just('rolling_baseline'), 'window': _ODD}),
    st.fixed_dictionaries({'step': st.just('snip'), 'iterations': st.integers(1, 60)}),
    st.just({'step': 'square_root'}),
    st.sampled_from(['max', 'standard']).map(lambda method: {'step': 'normalise', 'method': method}),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=4), st.integers(0, 2**31))
def test_torch_does_what_numpy_does(steps: list[dict[str, Any]], seed: int) -> None:
    # Negative counts have no logarithm: a standard normalisation comes last.
    steps = sorted(steps, key=lambda step: step.get('method') == 'standard')
    spectra = _spectra(seed)
    fitted = _fit(steps, _spectra(seed + 1, 30))
    expected = preprocessing.apply(fitted, spectra)
    found = Preprocessing(fitted, CHANNELS)(torch.from_numpy(spectra)).numpy()
    assert found.dtype == expected.dtype == np.float32
    scale = max(float(np.abs(expected).max()), 1.0)
    # What a baseline leaves over near zero is rounding, which a root or a small deviation enlarges.
    names = [step['step'] for step in steps]
    has_baseline = 'snip' in names or 'rolling_baseline' in names
    enlarges = 'square_root' in names or steps[-1].get('method') == 'standard'
    tolerance = 2e-2 if has_baseline and enlarges else 2e-4
    np.testing.assert_allclose(found / scale, expected / scale, atol=tolerance)


@settings(max_examples=40, deadline=None)
@given(_ODD, st.integers(0, 2**31))
def test_smoothing_and_baseline_agree_with_scipy(window: int, seed: int) -> None:
    x = _spectra(seed)
    smooth = _apply({'step': 'moving_average', 'window': window}, x)
    np.testing.assert_allclose(smooth, uniform_filter1d(x, window, mode='nearest'), rtol=2e-4, atol=1e-3)
    low = minimum_filter1d(x, window, mode='nearest')
    expected = np.maximum(x - uniform_filter1d(low, window, mode='nearest'), 0)
    found = _apply({'step': 'rolling_baseline', 'window': window}, x)
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-2)


def test_noise_reduction_is_savitzky_golay() -> None:
    x = _spectra(3)
    found = _apply({'step': 'noise_reduction', 'window': 9, 'order': 2}, x)
    expected = np.maximum(savgol_filter(x, 9, 2, mode='nearest'), 0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-2)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(0, 2**31))
def test_snip_takes_a_background_that_is_nowhere_above_the_spectrum(iterations: int, seed: int) -> None:
    x = _spectra(seed)
    found = _apply({'step': 'snip', 'iterations': iterations}, x)
    assert (found >= 0).all()
    assert (found <= x + 1e-3 * x.max()).all()


def test_snip_keeps_a_peak_and_takes_the_slope_under_it() -> None:
    channels = np.arange(CHANNELS)
    slope = 2_000.0 - 3 * channels
    peak = 5_000 * np.exp(-0.5 * ((channels - 48) / 2.5) ** 2)
    found = _apply({'step': 'snip', 'iterations': 12}, (slope + peak)[None].astype(np.float32))[0]
    assert found.sum() == pytest.approx(peak.sum(), rel=0.05)
    assert found[5:30].max() < 0.02 * slope.max()


@settings(max_examples=40, deadline=None)
@given(_CALIBRATION, st.integers(0, 2**31))
def test_a_calibration_to_itself_changes_nothing(calibration: dict[str, float], seed: int) -> None:
    x = _spectra(seed)
    step = {'step': 'energy_calibration', 'from': calibration, 'to': calibration}
    np.testing.assert_allclose(_apply(step, x), x, rtol=1e-4, atol=1e-2 * x.max())


def test_a_calibration_moves_a_peak_to_its_energy_and_keeps_its_counts() -> None:
    channels = np.arange(CHANNELS)
    x = (1_000 * np.exp(-0.5 * ((channels - 40) / 4) ** 2))[None].astype(np.float32)
    measured, nominal = {'gain': 3.0, 'offset': 6.0}, {'gain': 2.0, 'offset': 0.0}
    step = {'step': 'energy_calibration', 'from': measured, 'to': nominal}
    found = _apply(step, x)[0]
    assert int(found.argmax()) == (40 * 3 + 6) / 2
    assert found.sum() == pytest.approx(x.sum(), rel=1e-3)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31))
def test_normalised_spectra_do_not_depend_on_the_counting_time(seed: int) -> None:
    x = _spectra(seed) + 1
    once, thrice = (_apply({'step': 'normalise', 'method': 'max'}, x * factor) for factor in (1, 3))
    np.testing.assert_allclose(once, thrice, rtol=1e-5)
    assert once.max(axis=1).tolist() == [1.0] * len(x)


def test_a_standard_normalisation_learns_from_the_training_split() -> None:
    train = _spectra(1, 200)
    found = _apply({'step': 'normalise', 'method': 'standard'}, train)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(found.std(axis=0)[train.std(axis=0) > 0], 1, atol=1e-3)


def test_a_spectrum_without_counts_gives_no_nan() -> None:
    empty = np.zeros((2, CHANNELS), np.float32)
    for step in ('normalise', 'snip', 'square_root', 'rolling_baseline'):
        assert np.isfinite(_apply({'step': step}, empty)).all(), step
