"""architecture.json and the tensors: each fault has its code and names its place."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from millrace_conversion.errors import ConversionError
from millrace_conversion.export import read_weights
from millrace_conversion.graph.architecture import parse_architecture, parse_architecture_object
from safetensors.numpy import save_file


def changed(family: str, *path: Any, to: Any) -> Any:
    """The family's architecture with the value at `path` replaced."""
    stated = copy.deepcopy(networks.FAMILIES[family]())
    inner = stated
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = to
    return stated


def nested(depth: int) -> Any:
    layer: Any = {'type': 'relu'}
    for _ in range(depth):
        layer = {'type': 'residual', 'layers': [layer]}
    return changed('mlp', 'layers', 1, to=layer)


@pytest.mark.parametrize(
    ('stated', 'text'),
    [
        (changed('mlp', 'format', to=2), 'format'),
        (changed('mlp', 'colour', to='red'), 'colour: Extra inputs'),
        (changed('mlp', 'layers', to=[]), 'layers'),
        (changed('mlp', 'layers', 1, to={'type': 'lambda'}), 'lambda'),
        (changed('mlp', 'layers', 0, 'in', to=65), 'layers.0 takes 65 values, but gets .64.'),
        (changed('mlp', 'layers', 0, 'in', to=64.5), 'layers.0.linear.in'),
        (changed('mlp', 'layers', 0, 'in', to='64'), 'layers.0.linear.in'),
        (changed('mlp', 'layers', 0, 'in', to=1 << 40), 'layers.0.linear.in'),
        (changed('mlp', 'layers', 2, 'weight', to='layers.0.weight'), "'layers.0.weight' a second time"),
        (changed('mlp', 'input', 'shape', to=[1, 64]), 'its first size is null'),
        (changed('mlp', 'input', 'shape', to=[None, None]), 'every size but that of the batch'),
        (changed('mlp', 'input', 'name', to='a b'), 'input.name'),
        (changed('mlp', 'output', 'shape', to=[None, 6]), 'the layers give .5.'),
        (changed('mlp', 'output', 'classes', to=['a']), 'has 1 classes'),
        (changed('mlp', 'output', 'classes', to=['a', 'b', 'c', 'd', 'a']), 'names a class twice'),
        (changed('mlp', 'output', 'classes', to=['a\nb', 'b', 'c', 'd', 'e']), 'classes'),
        (changed('cnn1d', 'layers', 0, 'shape', to=[1, 63]), r'cannot make \[1, 63\] of \[64\]'),
        (changed('cnn1d', 'layers', 1, 'in', to=2), r'takes \[2, length\], but gets \[1, 64\]'),
        (changed('cnn1d', 'layers', 1, 'padding', to=5), 'pads a whole kernel'),
        (changed('cnn1d', 'layers', 1, 'kernel', to=70), 'longer than its input'),
        (changed('cnn1d', 'layers', 2, 'channels', to=5), r'takes \[5\] or'),
        (changed('cnn1d', 'layers', 2, 'epsilon', to=0), 'epsilon'),
        (changed('cnn1d', 'layers', 4, 'kernel', to=65), 'longer than its input'),
        (changed('cnn1d', 'layers', 7, to={'type': 'mean_pool'}), 'layers.8 takes 8 values'),
        (changed('mlp', 'layers', 1, to={'type': 'global_average_pool'}), r'takes \[channels, length\]'),
        (changed('mlp', 'layers', 1, to={'type': 'mean_pool'}), r'layers.1 takes \[tokens, dim\]'),
        (changed('mlp', 'layers', 1, to={'type': 'max_pool1d', 'kernel': 1, 'stride': 1}), '1 takes'),
        (changed('transformer', 'layers', 2, 'tokens', to=9), r'layers.2 takes \[9, 12\]'),
        (changed('transformer', 'layers', 3, 'layers', 1, 'heads', to=5), 'cannot split 12 into 5'),
        (changed('transformer', 'layers', 3, 'layers', 0, 'dim', to=8), 'layers.3.layers.0 takes 8'),
        (changed('transformer', 'layers', 3, 'layers', 1, to=networks.linear(9, 12, 13)), '3 adds'),
        (changed('transformer', 'layers', 3, 'layers', 1, 'dim', to=24), 'layers.3.layers.1 takes'),
        (nested(9), 'nested deeper than 8'),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_named(stated: Any, text: str) -> None:
    with pytest.raises(ConversionError, match=text) as caught:
        parse_architecture(json.dumps(stated).encode())
    assert caught.value.code == 'invalid_architecture'


@pytest.mark.parametrize(
    'data',
    [
        b'',
        b'\xff',
        b'{',
        b'[]',
        b'null',
        b'[' * 100_000,
        b'{"format": 1e999}',
        b'{"layers": NaN}',
        b'{"a":' * 5000 + b'1' + b'}' * 5000,
    ],
)
def test_what_is_no_architecture_is_refused(data: bytes) -> None:
    with pytest.raises(ConversionError) as caught:
        parse_architecture(data)
    assert caught.value.code == 'invalid_architecture'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 80) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(list(networks.FAMILIES)), st.data())
def test_any_change_is_accepted_or_refused_with_the_code(family: str, draw: st.DataObject) -> None:
    stated = copy.deepcopy(networks.FAMILIES[family]())
    inner, key = stated, draw.draw(st.sampled_from(sorted(stated)))
    while isinstance(inner[key], dict | list) and inner[key] and draw.draw(st.booleans()):
        inner = inner[key]
        key = draw.draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner))))
    inner[key] = draw.draw(JSON)
    try:
        parse_architecture_object(stated).tensors()
    except ConversionError as error:
        assert error.code == 'invalid_architecture'


def test_a_family_of_its_own_is_only_a_name() -> None:
    assert parse_architecture_object(changed('mlp', 'family', to='my_net')).family == 'my_net'


def fault(tmp_path: Path, change: Any) -> ConversionError:
    """The error of a folder whose tensors `change` has spoiled."""
    stated = networks.cnn1d()
    tensors = networks.weights(parse_architecture_object(stated).tensors())
    change(tensors)
    with pytest.raises(ConversionError) as caught:
        read_weights(networks.write(tmp_path / 'job', stated, tensors))
    return caught.value


def test_tensors_that_are_not_those_of_the_architecture(tmp_path: Path) -> None:
    name = 'layers.1.weight'
    missing = fault(tmp_path, lambda tensors: tensors.pop(name))
    assert (missing.code, name in missing.message) == ('missing_tensor', True)
    extra = fault(tmp_path, lambda tensors: tensors.update({'layers.99.weight': np.ones(3, np.float32)}))
    assert (extra.code, 'layers.99.weight' in extra.message) == ('extra_tensor', True)
    shape = fault(tmp_path, lambda tensors: tensors.update({name: np.ones((4, 1, 6), np.float32)}))
    assert shape.code == 'tensor_shape_mismatch'
    assert '[4, 1, 6]' in shape.message
    assert '[4, 1, 5]' in shape.message
    for dtype in (np.float64, np.float16, np.int32):
        wrong = fault(
            tmp_path, lambda tensors, dtype=dtype: tensors.update({name: tensors[name].astype(dtype)})
        )
        assert wrong.code == 'tensor_dtype_mismatch'
    for value in (np.nan, np.inf):
        spoilt = fault(tmp_path, lambda tensors, value=value: tensors[name].fill(value))
        assert (spoilt.code, name in spoilt.message) == ('weights_not_finite', True)
    many = fault(tmp_path, lambda tensors: [tensors.pop(each) for each in list(tensors)[1:]])
    assert many.message.count("'layers.") + many.message.count("'preprocessing.") == 5
    assert 'more' in many.message


def test_the_counter_of_batch_normalisation_is_passed_over(tmp_path: Path) -> None:
    stated = networks.cnn1d()
    tensors = networks.weights(parse_architecture_object(stated).tensors())
    folder = networks.write(tmp_path / 'job', stated, tensors)
    save_file({**tensors, 'layers.2.num_batches_tracked': np.array(7)}, folder / 'model.safetensors')
    assert 'layers.2.num_batches_tracked' not in read_weights(folder).tensors


def test_a_source_without_weights_or_with_a_huge_architecture(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r'has no model\.safetensors'):
        read_weights(tmp_path)
    stated = networks.mlp()
    folder = networks.write(
        tmp_path / 'job', stated, networks.weights(parse_architecture_object(stated).tensors())
    )
    (folder / 'architecture.json').write_bytes(b' ' * ((1 << 20) + 1))
    with pytest.raises(ConversionError, match='at most 1048576 are read'):
        read_weights(folder)
    with pytest.raises(ConversionError, match='hidden layers are for sources without'):
        read_weights(folder, [32, 16])
