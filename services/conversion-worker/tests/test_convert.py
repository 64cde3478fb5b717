"""Conversion: equal models are equal bytes, names are kept, what ONNX lacks is refused by name."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import FIXTURES, SaveModel
from millrace_conversion.convert import TensorInfo, convert_saved_model
from millrace_conversion.errors import ConversionError
from millrace_conversion.parity import measure, open_session, read_samples
from millrace_conversion.runtime import load
from millrace_conversion.saved_model import describe_signatures
from onnx import ModelProto


def vector_spec(size: int = 4, name: str = 'input') -> Any:
    tf = load('tensorflow')
    return tf.TensorSpec([None, size], tf.float32, name=name)


def test_names_shapes_and_format_of_a_keras_export() -> None:
    converted = convert_saved_model(FIXTURES / 'plain' / 'saved_model')
    assert converted.inputs == [TensorInfo('input', 'float32', [None, 16, 16, 3])]
    assert converted.outputs == [TensorInfo('output_0', 'float32', [None, 1])]
    assert {entry.domain: entry.version for entry in converted.model.opset_import}[''] == 17
    assert converted.ir_version == 8
    assert ModelProto.FromString(converted.data).graph.name == 'model'


def test_equal_models_are_equal_bytes_wherever_they_lie_and_however_keras_named_them(tmp_path: Path) -> None:
    elsewhere = Path(shutil.copytree(FIXTURES / 'plain' / 'saved_model', tmp_path / 'other name'))
    first = convert_saved_model(FIXTURES / 'plain' / 'saved_model').data
    assert convert_saved_model(elsewhere).data == first
    assert convert_saved_model(FIXTURES / 'again' / 'saved_model').data == first


def test_other_weights_are_other_bytes(save_model: SaveModel) -> None:
    def scaled(factor: float, name: str) -> bytes:
        def scale(input: Any) -> dict[str, Any]:
            return {'output_0': input * factor}

        folder = save_model(scale, vector_spec(), name=name)
        return convert_saved_model(folder / 'saved_model').data

    assert scaled(2.0, 'one') != scaled(3.0, 'two')


def test_augmentation_is_taken_out_and_nothing_else() -> None:
    converted = convert_saved_model(FIXTURES / 'augmented' / 'saved_model')
    assert [name.split('/')[-1] for name in converted.stripped] == [
        'random_flip_1',
        'random_rotation_1',
        'random_zoom_1',
    ]
    assert converted.data == convert_saved_model(FIXTURES / 'plain' / 'saved_model').data
    reference = read_samples(FIXTURES / 'augmented' / 'samples.npz', converted)
    assert measure(converted.data, reference, 1e-5).samples == 20


@pytest.mark.parametrize('opset', [13, 18])
def test_every_opset_of_the_range_runs_on_the_serving_runtime(opset: int) -> None:
    converted = convert_saved_model(FIXTURES / 'plain' / 'saved_model', opset=opset)
    reference = read_samples(FIXTURES / 'plain' / 'samples.npz', converted)
    assert measure(converted.data, reference, 1e-5).max_abs_diff <= 1e-5
    assert {entry.domain: entry.version for entry in converted.model.opset_import}[''] == opset


@pytest.mark.parametrize('opset', [12, 19])
def test_an_opset_out_of_range_is_refused(opset: int) -> None:
    with pytest.raises(ConversionError, match=r'13\.\.18') as caught:
        convert_saved_model(FIXTURES / 'plain' / 'saved_model', opset=opset)
    assert caught.value.code == 'conversion_failed'


def test_several_inputs_and_a_branch_keep_their_names_and_meaning(save_model: SaveModel) -> None:
    tf = load('tensorflow')

    def choose(left: Any, right: Any) -> dict[str, Any]:
        total = tf.reduce_sum(left)
        return {
            'chosen': tf.cond(total > 0.0, lambda: left * 2.0 + right, lambda: right - left * 3.0),
            'count': tf.shape(left)[0],
        }

    folder = save_model(choose, vector_spec(3, 'left'), vector_spec(3, 'right'))
    converted = convert_saved_model(folder / 'saved_model')
    assert {info.name for info in converted.inputs} == {'left', 'right'}
    assert [(info.name, info.dtype) for info in converted.outputs] == [
        ('chosen', 'float32'),
        ('count', 'int32'),
    ]
    session = open_session(converted.data)
    ones, negative = np.ones((2, 3), np.float32), np.full((2, 3), -1, np.float32)
    chosen, count = session.run(['chosen', 'count'], {'left': ones, 'right': ones})
    assert np.array_equal(chosen, np.full((2, 3), 3, np.float32))
    assert int(count) == 2
    chosen, _ = session.run(['chosen', 'count'], {'left': negative, 'right': ones})
    assert np.array_equal(chosen, np.full((2, 3), 4, np.float32))
    assert convert_saved_model(folder / 'saved_model').data == converted.data


def test_a_missing_tag_or_signature_is_refused_with_those_there_are() -> None:
    source = FIXTURES / 'plain' / 'saved_model'
    assert describe_signatures(source)['serve'] == ['serve', 'serving_default']
    with pytest.raises(ConversionError, match='no tag "gpu"; it has: serve'):
        convert_saved_model(source, tag='gpu')
    with pytest.raises(
        ConversionError, match=r'no signature "score" under tag "serve"; it has: serve, serving_default'
    ):
        convert_saved_model(source, signature='score')


def test_another_signature_can_be_chosen() -> None:
    converted = convert_saved_model(FIXTURES / 'plain' / 'saved_model', signature='serve')
    assert [info.dtype for info in converted.inputs] == ['float32']


@pytest.mark.parametrize('content', [None, b'', b'\x0a\xff\xff not a graph'])
def test_a_folder_that_is_no_saved_model_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / 'saved_model.pb').write_bytes(content)
    with pytest.raises(ConversionError) as caught:
        convert_saved_model(tmp_path)
    assert caught.value.code == 'conversion_failed'


def test_a_saved_model_without_its_variables_is_refused(tmp_path: Path) -> None:
    source = Path(shutil.copytree(FIXTURES / 'plain' / 'saved_model', tmp_path / 'broken'))
    (source / 'variables' / 'variables.data-00000-of-00001').write_bytes(b'')
    with pytest.raises(ConversionError, match='could not freeze') as caught:
        convert_saved_model(source)
    assert caught.value.code == 'conversion_failed'


def test_random_numbers_outside_of_a_layer_are_refused_by_name(save_model: SaveModel) -> None:
    tf = load('tensorflow')

    def noisy(input: Any) -> dict[str, Any]:
        return {'output_0': input * tf.random.normal([])}

    folder = save_model(noisy, vector_spec())
    with pytest.raises(ConversionError, match=r'RandomStandardNormal.*training=False') as caught:
        convert_saved_model(folder / 'saved_model')
    assert caught.value.code == 'conversion_failed'


def test_an_operation_that_onnx_lacks_is_refused_by_name(save_model: SaveModel) -> None:
    tf = load('tensorflow')

    def beta(input: Any) -> dict[str, Any]:
        return {'output_0': tf.math.betainc(input, input, input)}

    folder = save_model(beta, vector_spec())
    with pytest.raises(ConversionError, match='Betainc') as caught:
        convert_saved_model(folder / 'saved_model')
    assert caught.value.code == 'conversion_failed'
