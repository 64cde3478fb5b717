"""What is handed to the converter, and the report: both complete, and true."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Train, Trained
from hypothesis import given, settings
from hypothesis import strategies as st
from millrace_training.spectra.architectures import tensor_names
from millrace_training.spectra.measures import calibration, confusion_matrix, measure, roc, top_k
from millrace_training.weights import weights_digest
from safetensors.numpy import load_file
from sklearn.metrics import confusion_matrix as reference_confusion
from sklearn.metrics import roc_auc_score, top_k_accuracy_score


def _linear(x: Any, weights: Any, layer: dict[str, Any]) -> Any:
    return x @ weights[layer['weight']].T + weights[layer['bias']]


def test_weights_and_architecture_alone_give_what_torch_gave(trained: Trained) -> None:
    """The whole forward pass once more, in numpy, from the files and docs/weights.md."""
    weights = load_file(trained.out / 'model.safetensors')
    architecture = json.loads((trained.out / 'architecture.json').read_text())
    samples = np.load(trained.out / 'samples.npz')
    assert samples['inputs'].dtype == samples['outputs'].dtype == np.float32
    assert samples['inputs'].shape == (32, 1024)
    assert architecture['preprocessing'] == [{'step': 'square_root'}, {'step': 'normalise', 'method': 'max'}]
    x = np.sqrt(samples['inputs'])
    x = x / np.maximum(x.max(axis=1, keepdims=True), 1e-6)
    for layer in architecture['layers']:
        match layer['type']:
            case 'linear':
                x = _linear(x, weights, layer)
            case 'relu':
                x = np.maximum(x, 0)
            case 'softmax':
                x = np.exp(x - x.max(axis=1, keepdims=True))
                x = x / x.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(x, samples['outputs'], atol=1e-5)
    assert len(architecture['output']['classes']) == x.shape[1] == 15
    assert weights_digest(weights) == trained.meta['weightsDigest']


@pytest.mark.parametrize('architecture', ['mlp', 'cnn1d', 'transformer'])
def test_every_tensor_is_named_once_and_float32(train: Train, architecture: str) -> None:
    result = train(
        epochs=1, architecture=architecture, preprocessing=[{'step': 'normalise', 'method': 'standard'}]
    )
    described = json.loads((result.out / 'architecture.json').read_text())
    weights = load_file(result.out / 'model.safetensors')
    learned = [step[key] for step in described['preprocessing'] for key in ('mean', 'std')]
    assert sorted(tensor_names(described['layers']) + learned) == sorted(weights)
    assert {value.dtype for value in weights.values()} == {np.dtype(np.float32)}
    assert described['family'] == architecture
    assert described['layers'][-1] == {'type': 'softmax'}


def test_the_attention_is_that_of_torch() -> None:
    from millrace_training.pytorch.net import Attention

    torch.manual_seed(1)
    mine, reference = Attention(16, 4), torch.nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        reference.in_proj_weight.copy_(mine.in_weight)
        reference.in_proj_bias.copy_(mine.in_bias)
        reference.out_proj.weight.copy_(mine.out_weight)
        reference.out_proj.bias.copy_(mine.out_bias)
    x = torch.randn(2, 7, 16)
    expected, _ = reference(x, x, x)
    torch.testing.assert_close(mine(x), expected)


def test_the_report_has_every_figure_and_no_link(train: Train) -> None:
    result = train(explain=True, epochs=2, augmentation=None)
    report = json.loads((result.out / 'report.json').read_text())
    evaluation = report['evaluation']
    assert evaluation == result.meta['evaluation']
    assert set(evaluation['byCondition']) == {'clean', 'mixed', 'drifted', 'mixed_drifted'}
    assert sum(map(sum, evaluation['confusion'])) == evaluation['samples'] == 120
    assert len(evaluation['byClass']) == 15
    values = report['explanations']['values']
    assert values
    assert {len(channels) for channels in values.values()} == {1024}
    page = (result.out / 'report.html').read_text()
    assert page.count('<svg') == 4
    for text in ('Confusion', 'Reliability', 'ROC', 'learning rate', 'Am-241', 'keV'):
        assert text in page
    for link in ('src=', '<script', '<link', '<a '):
        assert link not in page


def test_explanations_point_at_the_lines(train: Train) -> None:
    """Caesium has one line, at 662 keV: channel 220; what speaks for it must stand there or at its Compton
    edge.
    """
    result = train(explain=True, epochs=12, hidden=[128, 64], augmentation=None, checkpointSteps=0)
    explanations = json.loads((result.out / 'report.json').read_text())['explanations']['values']
    found = 0
    for name, channel in (('Cs-137', 220), ('Mn-54', 278), ('Co-57', 41), ('Tc-99m', 47), ('Am-241', 20)):
        if name not in explanations:
            continue
        values = np.array(explanations[name])
        around = np.abs(np.arange(1024) - channel) <= 12
        found += values[around].sum() > 0.25 * np.maximum(values, 0).sum()
    assert found >= 3


PROBABILITIES = st.integers(0, 2**31).map(
    lambda seed: np.random.Generator(np.random.PCG64(seed)).dirichlet([0.5] * 4, 60).astype(np.float32)
)


@settings(max_examples=50, deadline=None)
@given(PROBABILITIES, st.integers(0, 2**31))
def test_measures_agree_with_scikit_learn(probabilities: Any, seed: int) -> None:
    random = np.random.Generator(np.random.PCG64(seed))
    labels = np.concatenate([np.arange(4), random.integers(0, 4, 56)])
    said = probabilities.argmax(axis=1)
    assert confusion_matrix(said, labels, 4) == reference_confusion(labels, said, labels=range(4)).tolist()
    for index in range(4):
        area = roc(probabilities[:, index].astype(np.float64), labels == index)['area']
        assert area == pytest.approx(roc_auc_score(labels == index, probabilities[:, index]), abs=1e-6)
    expected = top_k_accuracy_score(labels, probabilities, k=2)
    assert top_k(probabilities, labels, 2) == pytest.approx(expected, abs=1e-6)
    measured = measure(probabilities, labels, np.array(['a', 'b'] * 30), ('p', 'q', 'r', 's'))
    assert measured['accuracy'] == pytest.approx(float((said == labels).mean()), abs=1e-6)
    shares = [entry['accuracy'] for entry in measured['byCondition'].values()]
    assert np.mean(shares) == pytest.approx(measured['accuracy'], abs=1e-5)


def test_equal_scores_make_a_diagonal() -> None:
    assert roc(np.zeros(10), np.arange(10) < 3)['area'] == 0.5


def test_calibration_of_known_cases() -> None:
    sure = np.array([[1.0, 0.0]] * 10, np.float32)
    assert calibration(sure, np.zeros(10, np.int64))['expectedError'] == 0
    assert calibration(sure, np.ones(10, np.int64))['expectedError'] == 1
    # Half right at a confidence of 0.9.
    hedged = np.array([[0.9, 0.1]] * 10, np.float32)
    error = calibration(hedged, np.array([0, 1] * 5))['expectedError']
    assert error == pytest.approx(0.4, abs=1e-6)
