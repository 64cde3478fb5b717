"""What an evaluation states: compared with scikit-learn, with brute force and by hand."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace_training.veid.baselines import best_threshold, chance, picture_baselines
from millrace_training.veid.documents import CHARSET, MAX_CHARS
from millrace_training.veid.measures import binary_report, corrupt, equal_error_rate, roc_auc
from millrace_training.veid.reading import character_accuracy, decode, edits, encode, reading_report
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

_SCORE = st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9])
_SCORES = st.lists(st.tuples(_SCORE, st.booleans()), min_size=4, max_size=60)
_TEXT = st.text(st.sampled_from(CHARSET), max_size=7)


@given(_SCORES)
def test_binary_measures_are_those_of_scikit_learn(rows: list[tuple[float, bool]]) -> None:
    scores = np.array([score for score, _ in rows])
    labels = np.array([int(label) for _, label in rows])
    report, said = binary_report(scores, labels), scores > 0.5
    assert report['precision'] == pytest.approx(precision_score(labels, said, zero_division=0), abs=1e-6)
    assert report['recall'] == pytest.approx(recall_score(labels, said, zero_division=0), abs=1e-6)
    assert report['f1'] == pytest.approx(f1_score(labels, said, zero_division=0), abs=1e-6)
    assert sum(report['confusion'].values()) == report['samples'] == len(rows)
    if 0 < labels.sum() < len(labels):
        assert report['rocAuc'] == pytest.approx(roc_auc_score(labels, scores), abs=1e-6)


def test_a_missing_class_says_nothing_about_ranking() -> None:
    assert roc_auc(np.array([0.2, 0.9]), np.array([1, 1])) == 0.5


def test_equal_error_rate_by_hand() -> None:
    labels = np.array([1, 1, 1, 1, 0, 0, 0, 0])
    assert equal_error_rate(np.array([0.9, 0.8, 0.7, 0.6, 0.4, 0.3, 0.2, 0.1]), labels) == 0
    assert equal_error_rate(np.array([0.9, 0.8, 0.7, 0.3, 0.6, 0.2, 0.15, 0.1]), labels) == 0.25


@given(_TEXT, _TEXT)
def test_edit_distance_is_the_shortest_way(said: str, truth: str) -> None:
    @cache
    def distance(i: int, j: int) -> int:
        if i == 0 or j == 0:
            return i + j
        replaced = distance(i - 1, j - 1) + (said[i - 1] != truth[j - 1])
        return min(replaced, distance(i - 1, j) + 1, distance(i, j - 1) + 1)

    found, matched = edits(said, truth)
    assert found == distance(len(said), len(truth))
    assert max(len(said), len(truth)) - found <= matched <= min(len(said), len(truth))


@given(st.lists(st.text(st.sampled_from(CHARSET), min_size=1, max_size=MAX_CHARS), min_size=1, max_size=4))
def test_decoding_gives_back_what_was_encoded(texts: list[str]) -> None:
    classes = encode(texts)
    frames = np.full((len(texts), 4 * MAX_CHARS, len(CHARSET) + 1), 0.001, np.float32)
    frames[:, :, 0] = 0.5
    for row, text in enumerate(texts):
        for place in range(len(text)):
            # Two frames of a character, then two of the blank that separates it from its double.
            frames[row, 4 * place : 4 * place + 2, classes[row, place]] = 0.9
    said, confidence = decode(frames)
    assert said == texts
    assert character_accuracy(said, texts) == 1
    assert np.all(confidence < 0)


def test_a_reading_report_counts_characters() -> None:
    truth = ['ABCD', '1234', 'XY']
    report = reading_report(['ABCD', '124', 'XYZ'], truth, np.array([-0.1, -0.5, -0.6]))
    assert report['accuracy'] == pytest.approx(1 - 2 / 10)
    assert report['precision'] == pytest.approx(9 / 10)
    assert report['recall'] == pytest.approx(9 / 10)
    assert report['lineAccuracy'] == pytest.approx(1 / 3, abs=1e-6)
    assert report['rocAuc'] == 1
    assert (report['edits'], report['characters'], report['lines']) == (2, 10, 3)
    assert character_accuracy(['ABCDEFGHIJ'], ['XY']) == 0


def test_corruption_rises_and_repeats() -> None:
    images = np.random.default_rng(1).integers(0, 255, (3, 2, 16, 16, 1), np.uint8)
    assert corrupt(images, 0) is images
    gaps = [np.abs(corrupt(images, level).astype(float) - images).mean() for level in (1, 2, 3, 4)]
    assert gaps == sorted(gaps)
    np.testing.assert_array_equal(corrupt(images, 3), corrupt(images, 3))
    assert corrupt(images, 2).shape == images.shape


def test_baselines_notice_labels_that_brightness_gives_away() -> None:
    rng = np.random.default_rng(3)
    labels = np.arange(80) % 2
    images = rng.integers(0, 60, (80, 32, 32, 3)).astype(np.uint8)
    found = picture_baselines(images, labels, images[::-1], labels[::-1])
    assert found['chance'] == 0.5
    blind = picture_baselines(images[:40], labels[:40], images[40:], labels[40:])
    assert max(blind.values()) < 0.8
    images[labels == 1] += 120
    told = picture_baselines(images[:40], labels[:40], images[40:], labels[40:])
    assert told['nearestPixels'] == told['logisticRegressionCentre'] == 1
    assert best_threshold(np.arange(10), np.arange(10) > 4, np.arange(10), np.arange(10) > 4) == 1
    assert chance(np.array([0, 0, 1])) == pytest.approx(2 / 3, abs=1e-6)
