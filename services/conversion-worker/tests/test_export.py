"""Exports of weights by function: shapes of a plain network, or an architecture; detection of the layers."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import onnxruntime
import pytest
from millrace_conversion.errors import ConversionError
from millrace_conversion.export import export_model_to_onnx, export_model_with_architecture
from millrace_conversion.graph.architecture import parse_architecture_object
from millrace_conversion.graph.build import BuildOptions
from numpy.typing import NDArray
from safetensors.numpy import save_file

SIZES = [1024, 512, 256, 128, 15]


def plain(names: list[str], sizes: list[int] = SIZES, *, transposed: bool = False) -> dict[str, NDArray[Any]]:
    """Weights of linear layers under these prefixes."""
    random = np.random.default_rng(5)
    made: dict[str, NDArray[Any]] = {}
    for index, name in enumerate(names):
        weight = random.normal(scale=sizes[index] ** -0.5, size=(sizes[index + 1], sizes[index])).astype(
            np.float32
        )
        made[f'{name}.weight'] = np.ascontiguousarray(weight.T) if transposed else weight
        made[f'{name}.bias'] = random.normal(scale=0.1, size=sizes[index + 1]).astype(np.float32)
    return made


def by_hand(tensors: dict[str, NDArray[Any]], names: list[str], x: NDArray[Any]) -> NDArray[Any]:
    for index, name in enumerate(names):
        x = x @ tensors[f'{name}.weight'].T + tensors[f'{name}.bias']
        x = np.maximum(x, 0) if index < len(names) - 1 else x
    powers = np.exp(x - x.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def saved(tmp_path: Path, tensors: dict[str, NDArray[Any]]) -> Path:
    save_file(tensors, tmp_path / 'model.safetensors')
    return tmp_path / 'model.safetensors'


@pytest.mark.parametrize(
    'names',
    [
        ['layers.0', 'layers.2', 'layers.4', 'layers.6'],
        ['fc8', 'fc9', 'fc10', 'fc11'],
        ['layer_0', 'layer_1', 'layer_2', 'output'],
    ],
)
def test_the_isotope_network_by_its_shapes_alone(tmp_path: Path, names: list[str]) -> None:
    tensors = plain(names)
    path = tmp_path / 'out' / 'model.onnx'
    report = export_model_to_onnx(saved(tmp_path, tensors), [1, 1024], [1, 15], path, [512, 256, 128])
    said = report.to_json()
    count = sum(before * after + after for before, after in itertools.pairwise(SIZES))
    assert said['parameters'] == count == 690_959
    assert said['initializerBytes'] == 4 * count
    assert said['bytes'] == path.stat().st_size
    assert said['operators'] == {'Gemm': 4, 'Relu': 3, 'Softmax': 1}
    assert (said['nodes'], said['nodesBeforeFusion'], said['fused'], said['isDetected']) == (8, 12, 4, True)
    assert said['parity']['maxAbsDiff'] < 1e-5
    x = np.random.default_rng(1).normal(size=(4, 1024)).astype(np.float32)
    (answers,) = onnxruntime.InferenceSession(path).run(['probabilities'], {'input': x})
    np.testing.assert_allclose(answers, by_hand(tensors, names, x), atol=1e-5)
    assert list(tmp_path.joinpath('out').iterdir()) == [path]


def test_matrices_may_lie_the_other_way_round(tmp_path: Path) -> None:
    names = ['a.0', 'a.1', 'a.2', 'a.3']
    path = tmp_path / 'model.onnx'
    weights = saved(tmp_path, plain(names, transposed=True))
    export_model_to_onnx(weights, [1, 1024], [1, 15], path, [512, 256, 128])
    x = np.random.default_rng(1).normal(size=(4, 1024)).astype(np.float32)
    (answers,) = onnxruntime.InferenceSession(path).run(None, {'input': x})
    np.testing.assert_allclose(answers, by_hand(plain(names), names, x), atol=1e-5)


@pytest.mark.parametrize(
    ('shapes', 'hidden', 'text'),
    [
        (([1, 1024], [1, 15]), [512, 256], r'make layers of \[1024, 512, 256, 128, 15\]'),
        (([1, 1024], [1, 15]), [512, 128, 256], 'not those asked for'),
        (([1, 1000], [1, 15]), [512, 256, 128], '1000'),
        (([1, 1024], [1, 14]), [512, 256, 128], '14'),
        (([1, 32, 32], [1, 15]), [512, 256, 128], r'\[batch, values\]'),
    ],
)
def test_other_layers_than_those_of_the_tensors(
    tmp_path: Path, shapes: Any, hidden: list[int], text: str
) -> None:
    weights = saved(tmp_path, plain(['l.0', 'l.1', 'l.2', 'l.3']))
    with pytest.raises(ConversionError, match=text) as caught:
        export_model_to_onnx(weights, *shapes, tmp_path / 'model.onnx', hidden)
    assert caught.value.code == 'architecture_mismatch'
    assert not (tmp_path / 'model.onnx').exists()


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        ({'conv.weight': np.ones((2, 2, 3), np.float32)}, 'send architecture.json'),
        ({'l.0.scale': np.ones(2, np.float32)}, "'l.0.scale'"),
        ({'l.1.bias': np.ones((2, 1), np.float32)}, 'is no bias'),
        ({'l.1.bias': np.ones(9, np.float32)}, 'do not take what those before'),
        ({'l.1.weight': np.ones((3, 9), np.float32)}, r'l\.1\.weight \[3, 9\]'),
    ],
)
def test_tensors_that_say_too_little(tmp_path: Path, change: Any, text: str) -> None:
    weights = saved(tmp_path, {**plain(['l.0', 'l.1'], [6, 4, 3]), **change})
    with pytest.raises(ConversionError, match=text) as caught:
        export_model_to_onnx(weights, [1, 6], [1, 3], tmp_path / 'model.onnx', [4])
    assert caught.value.code == 'architecture_mismatch'


def test_an_architecture_in_a_file_or_in_memory_gives_the_same_bytes(tmp_path: Path) -> None:
    stated = networks.transformer()
    parsed = parse_architecture_object(stated)
    folder = networks.write(tmp_path / 'job', stated, networks.weights(parsed.tensors()))
    options = BuildOptions(opset=15, input_name='counts', metadata={'model': 'isotope'})
    weights = folder / 'model.safetensors'
    export_model_with_architecture(weights, folder / 'architecture.json', tmp_path / 'a.onnx', options)
    report = export_model_with_architecture(weights, parsed, tmp_path / 'b.onnx', options)
    assert (tmp_path / 'a.onnx').read_bytes() == (tmp_path / 'b.onnx').read_bytes()
    assert report.to_json()['opset'] == 15
    assert onnx.load(tmp_path / 'b.onnx').graph.input[0].name == 'counts'
