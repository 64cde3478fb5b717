"""The physics of the spectra, and that they repeat."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from conftest import DATASET, Recorder
from hypothesis import given, settings
from hypothesis import strategies as st
from millrace_training.jobs import run_generate
from millrace_training.spectra import detector
from millrace_training.spectra.baseline import measure_baselines
from millrace_training.spectra.files import read_dataset
from millrace_training.spectra.generator import CHANNELS, CONDITIONS, GAIN_KEV, Ranges, Templates, draw_split
from millrace_training.spectra.isotopes import CLASSES, LINES


@pytest.fixture(scope='module')
def templates() -> Templates:
    return Templates()


def test_compton_edge_and_backscatter_of_caesium_lie_where_textbooks_have_them() -> None:
    # Knoll, Radiation Detection and Measurement: 477.3 keV and 184.3 keV for the 661.7 keV line.
    assert detector.compton_edge(661.66) == pytest.approx(477.3, abs=0.2)
    assert detector.backscatter_energy(661.66) == pytest.approx(184.3, abs=0.2)


def test_the_continuum_ends_at_the_edge_and_rises_towards_it() -> None:
    continuum = detector.compton_continuum(661.66)
    edge = int(detector.compton_edge(661.66))
    assert continuum.sum() == pytest.approx(1)
    assert continuum[edge + 1 :].max() == 0
    assert continuum[edge - 1] > 1.5 * continuum[edge // 2]


@settings(max_examples=25, deadline=None)
@given(st.floats(30, 2_900), st.floats(0, 0.3))
def test_a_line_deposits_no_more_than_it_has(energy: float, scatter: float) -> None:
    response = detector.line_response(energy, scatter)
    assert (response >= 0).all()
    # Pulses of the crystal, and of the surroundings on top.
    assert response.sum() <= detector.efficiency(energy) * (1 + 1.6 * scatter) + 1e-9


def test_the_peak_has_the_resolution_that_was_asked_for() -> None:
    counts = np.zeros_like(detector.GRID)
    counts[661] = 1.0
    smeared = detector.smear(counts, 0.07)
    above = np.flatnonzero(smeared > smeared.max() / 2)
    assert above[-1] - above[0] + 1 == pytest.approx(0.07 * 661.66, abs=1.5)


@pytest.mark.parametrize('isotope', ['Cs-137', 'Mn-54', 'K-40', 'Tc-99m'])
def test_the_highest_peak_of_a_source_stands_at_its_line(templates: Templates, isotope: str) -> None:
    expected = templates.source(0, isotope, 0.0)
    [energy] = [energy for energy, _ in LINES[isotope] if energy > 50]
    window = slice(int(energy * 0.9), int(energy * 1.1))
    assert int(expected[window].argmax()) + window.start == pytest.approx(energy, rel=0.01)


def test_intensities_are_no_more_than_a_decay_can_give() -> None:
    assert len(CLASSES) == 15
    for lines in LINES.values():
        assert all(20 < energy < 3_000 and 0 < intensity <= 181 for energy, intensity in lines)


def test_classes_and_conditions_are_balanced_and_drift_is_where_it_belongs(templates: Templates) -> None:
    samples = draw_split(templates, 'test', 120, 3, CONDITIONS, Ranges(), lambda: None)
    truths = samples.truths
    assert {name: sum(t.isotope == name for t in truths) for name in CLASSES} == dict.fromkeys(CLASSES, 8)
    for truth in truths:
        drifts, mixes = 'drifted' in truth.condition, 'mixed' in truth.condition
        assert abs(truth.gain - 1) <= (0.04 if drifts else 0.005)
        assert (truth.second != '') is mixes
        assert truth.dominant_share >= 0.5
    assert max(abs(t.gain - 1) for t in truths) > 0.02
    assert samples.spectra.shape == (120, CHANNELS)
    assert (samples.spectra == np.round(samples.spectra)).all()
    assert samples.spectra.sum(axis=1).tolist() == [truth.counts for truth in truths]


def test_a_gain_error_moves_the_peak(templates: Templates) -> None:
    drifted = Ranges(counts=(2_000_000, 2_000_001), source_share=(0.9, 0.9), gain_drift=0.04)
    samples = draw_split(templates, 'test', 15 * 12, 1, ('drifted',), drifted, lambda: None)
    for spectrum, truth in zip(samples.spectra, samples.truths, strict=True):
        if truth.isotope == 'Cs-137':
            peak = 150 + int(spectrum[150:300].argmax())
            expected = (661.66 - truth.offset_kev) / (GAIN_KEV * truth.gain)
            assert peak + 0.5 == pytest.approx(expected, abs=4)


def test_more_samples_leave_the_first_ones_as_they_are(templates: Templates) -> None:
    few = draw_split(templates, 'train', 5, 9, CONDITIONS[:2], Ranges(), lambda: None)
    many = draw_split(templates, 'train', 20, 9, CONDITIONS[:2], Ranges(), lambda: None)
    other = draw_split(templates, 'train', 5, 10, CONDITIONS[:2], Ranges(), lambda: None)
    assert (few.spectra == many.spectra[:5]).all()
    assert (few.spectra != other.spectra).any()


def test_equal_parameters_give_equal_bytes_in_the_layout_of_ingested_data(
    dataset: Path, tmp_path: Path
) -> None:
    again = tmp_path / 'again'
    files, meta = run_generate('isotope', DATASET, again, Recorder().report)
    names = ['dataset.json', 'schema.json', 'test.arrow', 'train.arrow', 'validation.arrow']
    assert [entry['path'] for entry in files] == names
    for name in names:
        first, second = ((folder / name).read_bytes() for folder in (dataset, again))
        assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest(), name
    described = json.loads((again / 'dataset.json').read_text())
    assert described['counts'] == {'train': 480, 'validation': 120, 'test': 120} == meta['counts']
    schema = json.loads((again / 'schema.json').read_text())
    assert schema['target'] == 'isotope'
    assert schema['columns'][0] == {'name': 'spectrum', 'type': 'float32', 'nullable': False, 'size': 1024}
    table = pa.ipc.open_file(pa.memory_map(str(again / 'train.arrow'))).read_all()
    assert table.num_rows == 480
    assert [column['name'] for column in schema['columns']] == table.column_names


def test_classical_models_are_measured_on_the_same_splits(dataset: Path) -> None:
    measured = measure_baselines(read_dataset(dataset), limit=1)
    assert [entry['augmented'] for entry in measured['candidates']] == [False, True]
    assert measured['chosen']['validation'] == max(e['validation'] for e in measured['candidates'])
    assert measured['bestInHindsight']['test']['accuracy'] > 0.5
    assert set(measured['chosen']['byCondition']) == set(CONDITIONS)
