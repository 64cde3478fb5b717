"""Whole networks: each family answers by its definition, and the same weights give the same bytes."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import onnxruntime
import pytest
from millrace_conversion.errors import ConversionError
from millrace_conversion.export import build, read_weights
from millrace_conversion.graph.architecture import parse_architecture_object
from millrace_conversion.graph.build import BuildOptions
from safetensors.numpy import save_file

OPSETS = [13, 16, 17, 18]


def folder_of(tmp_path: Path, family: str, seed: int = 0) -> Path:
    stated = networks.FAMILIES[family]()
    shapes = parse_architecture_object(stated).tensors()
    return networks.write(tmp_path / f'{family}-{seed}', stated, networks.weights(shapes, seed))


@pytest.mark.parametrize('opset', OPSETS)
@pytest.mark.parametrize('family', list(networks.FAMILIES))
def test_a_family_answers_by_its_definition(tmp_path: Path, family: str, opset: int) -> None:
    read = read_weights(folder_of(tmp_path, family))
    report = build(read, BuildOptions(opset=opset))
    assert report.parity.max_abs_diff < 2e-6
    model = onnx.load_from_string(report.converted.data)
    assert (model.opset_import[0].version, len(model.opset_import)) == (opset, 1)
    assert model.ir_version <= 9
    session = onnxruntime.InferenceSession(report.converted.data)
    for rows in (1, 7):
        counts = networks.spectra(rows)
        (answers,) = session.run(None, {'spectrum': counts})
        expected = read.architecture.answer(counts.astype(np.float64), read.tensors)
        np.testing.assert_allclose(answers, expected, atol=5e-6)
        np.testing.assert_allclose(np.asarray(answers).sum(1), 1, atol=1e-5)
        assert len(set(np.asarray(answers).argmax(1))) >= 1


@pytest.mark.parametrize('family', list(networks.FAMILIES))
def test_the_same_weights_give_the_same_bytes_however_they_are_written(tmp_path: Path, family: str) -> None:
    first = folder_of(tmp_path, family)
    stated = json.loads((first / 'architecture.json').read_text())
    again = tmp_path / 'elsewhere'
    again.mkdir()
    tensors = list(networks.weights(parse_architecture_object(stated).tensors()).items())
    random.Random(3).shuffle(tensors)  # noqa: S311
    save_file(dict(tensors), again / 'model.safetensors', metadata={'format': 'pt', 'date': 'today'})

    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: turned(inner) for name, inner in reversed(list(value.items()))}
        return [turned(inner) for inner in value] if isinstance(value, list) else value

    (again / 'architecture.json').write_text(json.dumps(turned(stated), indent=3))
    made = [build(read_weights(folder), BuildOptions()).converted.data for folder in (first, first, again)]
    assert made[0] == made[1] == made[2]
    other = build(read_weights(folder_of(tmp_path, family, seed=1)), BuildOptions()).converted.data
    assert other != made[0]


def test_matmul_and_add_become_gemm_unless_told_otherwise(tmp_path: Path) -> None:
    read = read_weights(folder_of(tmp_path, 'mlp'))
    fused, plain = (build(read, BuildOptions(fuse=fuse)) for fuse in (True, False))
    counts = [Counter(node.op_type for node in one.converted.model.graph.node) for one in (fused, plain)]
    assert (counts[0]['Gemm'], counts[0]['MatMul'], counts[0]['Add']) == (3, 0, 0)
    assert (counts[1]['Gemm'], counts[1]['MatMul'], counts[1]['Add']) == (0, 3, 3)
    assert (fused.fused, plain.fused) == (3, 0)
    assert fused.nodes_before_fusion == plain.nodes == fused.nodes + 3
    x = {'spectrum': networks.spectra(5)}
    answers = [onnxruntime.InferenceSession(one.converted.data).run(None, x)[0] for one in (fused, plain)]
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-6)


def test_tokens_are_not_fused_because_gemm_takes_matrices(tmp_path: Path) -> None:
    report = build(read_weights(folder_of(tmp_path, 'transformer')), BuildOptions())
    assert report.fused == 1  # the last layer, behind the pooling of tokens
    assert report.to_json()['operators']['MatMul'] == 7


def test_names_batch_and_metadata_are_as_asked(tmp_path: Path) -> None:
    read = read_weights(folder_of(tmp_path, 'mlp'))
    options = BuildOptions(
        input_name='x', output_name='y', batch_size=3, metadata={'version': '7', 'author': 'Ä'}
    )
    model = onnx.load_from_string(build(read, options).converted.data)
    given, made = model.graph.input[0], model.graph.output[0]
    assert (given.name, made.name) == ('x', 'y')
    assert [dim.dim_value for dim in given.type.tensor_type.shape.dim] == [3, 64]
    assert [dim.dim_value for dim in made.type.tensor_type.shape.dim] == [3, 5]
    texts = {entry.key: entry.value for entry in model.metadata_props}
    assert texts['version'] == '7'
    assert texts['author'] == 'Ä'
    assert json.loads(texts['classes']) == [f'class {index}' for index in range(5)]
    assert json.loads(texts['preprocessing'])[0] == {'step': 'square_root'}
    open_batch = onnx.load_from_string(build(read, BuildOptions()).converted.data).graph.input[0]
    assert open_batch.type.tensor_type.shape.dim[0].dim_param == 'batch'
    initialisers = {tensor.name for tensor in model.graph.initializer}
    assert {'layers.0.weight', 'layers.0.bias'} <= initialisers


@pytest.mark.parametrize(
    ('options', 'code', 'text'),
    [
        (BuildOptions(opset=12), 'conversion_failed', 'choose 13..18'),
        (BuildOptions(metadata={'classes': '[]'}), 'conversion_failed', 'rename it'),
        (BuildOptions(input_name='layers.0.weight'), 'invalid_architecture', 'Two values'),
        (BuildOptions(input_name='x', output_name='x'), 'invalid_architecture', "'x'"),
    ],
)
def test_what_cannot_be_built_is_refused(tmp_path: Path, options: BuildOptions, code: str, text: str) -> None:
    read = read_weights(folder_of(tmp_path, 'mlp'))
    with pytest.raises(ConversionError, match=text) as caught:
        build(read, options)
    assert caught.value.code == code
