"""Keras files and TF.js graphs as sources, and what is refused before anything of it runs."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from millrace_conversion.errors import ConversionError
from millrace_conversion.fused import unfuse
from millrace_conversion.keras_model import check_config
from millrace_conversion.parity import open_session
from millrace_conversion.report import Options, run_conversion
from millrace_conversion.runtime import load
from millrace_conversion.tfjs_graph import read_tfjs, to_graph_def

TFJS = Path(__file__).parents[2] / 'inference/test/fixtures/tfjs'
SaveModel = Callable[..., Path]


def convert(source: Path, form: Any, out: Path) -> dict[str, Any]:
    return run_conversion(source, out, Options(source_format=form), lambda _stage: None)


def small_keras(folder: Path) -> Path:
    """A model with augmentation, which is nothing at inference."""
    keras = load('keras')
    keras.utils.set_random_seed(1)
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.RandomFlip('horizontal'),
            layers.Conv2D(2, 3, activation='relu'),
            layers.Flatten(),
            layers.Dense(3, activation='softmax'),
        ]
    )
    folder.mkdir(parents=True)
    model.save(folder / 'model.keras')
    return folder


@pytest.fixture
def tfjs(tmp_path: Path) -> Path:
    shutil.copytree(TFJS / 'graph', tmp_path / 'job' / 'tfjs')
    return tmp_path / 'job'


def test_a_keras_file_answers_as_keras_does(tmp_path: Path) -> None:
    report = convert(small_keras(tmp_path / 'job'), 'keras', tmp_path / 'out')
    assert report['sourceFormat'] == 'keras'
    assert report['parity']['reference'].startswith('Keras 3')
    assert report['parity']['maxAbsDiff'] < 1e-6
    assert (tmp_path / 'out' / 'model.onnx').stat().st_size > 0


def test_a_tfjs_graph_answers_as_tensorflow_does(tfjs: Path, tmp_path: Path) -> None:
    report = convert(tfjs, 'tfjs_graph', tmp_path / 'out')
    assert [info['name'] for info in report['inputs']] == ['image']
    assert [info['name'] for info in report['outputs']] == ['scores']
    assert report['parity']['maxAbsDiff'] < 1e-6
    samples = json.loads((TFJS / 'samples.json').read_text())
    pictures = np.array(samples['inputs'], np.float32).reshape(-1, 32, 32, 3)
    session = open_session((tmp_path / 'out' / 'model.onnx').read_bytes())
    (answers,) = session.run(['scores'], {'image': pictures})
    assert np.allclose(answers, samples['outputs'], atol=1e-6)
    again = convert(tfjs, 'tfjs_graph', tmp_path / 'again')
    assert again['digests'] == report['digests']


def test_fused_operators_are_taken_apart() -> None:
    tf = load('tensorflow')
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [2, 3], 'x')
        w = tf.constant(np.arange(6, dtype=np.float32).reshape(3, 2) - 2, name='w')
        b = tf.constant([1.0, -9.0], name='b')
        alpha = tf.constant([0.5, 0.25], name='alpha')
        expected = tf.matmul(x, w) + b
        expected = tf.maximum(expected, 0.0) + alpha * tf.minimum(expected, 0.0)
    graph_def = graph.as_graph_def()
    node = graph_def.node.add(name='fused', op='_FusedMatMul', input=['x', 'w', 'b', 'alpha'])
    node.attr['T'].type = tf.float32.as_datatype_enum
    node.attr['fused_ops'].list.s.extend([b'BiasAdd', b'Prelu'])
    values = np.array([[1, -1, 2], [0, 3, -2]], np.float32)
    with tf.Graph().as_default() as plain, tf.compat.v1.Session(graph=plain) as session:
        tf.import_graph_def(unfuse(graph_def), name='')
        fused, direct = session.run(['fused:0', expected.name], {'x:0': values})
    assert np.allclose(fused, direct)


def edited(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / 'tfjs' / 'model.json'
    model = json.loads(path.read_text())
    change(model)
    path.write_text(json.dumps(model))


def test_a_manifest_cannot_name_other_files(tfjs: Path, tmp_path: Path) -> None:
    (tmp_path / 'job' / 'secret').write_bytes(b'x' * 5880)
    for name in ['../secret', '/etc/passwd', 'http://example.com/a', 'a:b', '']:

        def point(model: dict[str, Any], name: str = name) -> None:
            model['weightsManifest'][0]['paths'] = [name]

        edited(tfjs, point)
        with pytest.raises(ConversionError, match='no file beside'):
            read_tfjs(tfjs / 'tfjs')


def test_a_short_weight_file_is_refused(tfjs: Path) -> None:
    path = tfjs / 'tfjs' / 'group1-shard1of1.bin'
    path.write_bytes(path.read_bytes() + b'1234')
    with pytest.raises(ConversionError, match='weight files have 5884'):
        to_graph_def(read_tfjs(tfjs / 'tfjs'))


def test_a_graph_with_unsafe_operations_is_refused(tfjs: Path) -> None:
    def spoil(model: dict[str, Any]) -> None:
        model['modelTopology']['node'].append({'name': 'r', 'op': 'ReadFile', 'input': ['image']})

    edited(tfjs, spoil)
    with pytest.raises(ConversionError, match='ReadFile') as caught:
        to_graph_def(read_tfjs(tfjs / 'tfjs'))
    assert caught.value.code == 'unsafe_model'


@pytest.mark.parametrize('kind', ['read', 'write', 'python', 'print'])
def test_a_saved_model_with_unsafe_operations_is_refused(
    kind: str, save_model: SaveModel, tmp_path: Path
) -> None:
    tf = load('tensorflow')
    target = tmp_path / 'target'

    def run(x: Any) -> dict[str, Any]:
        if kind == 'read':
            return {'y': tf.strings.length(tf.io.read_file(str(target)))}
        if kind == 'write':
            tf.io.write_file(str(target), 'x')
        if kind == 'python':
            return {'y': tf.numpy_function(lambda value: value, [x], tf.float32)}
        if kind == 'print':
            tf.print(x, output_stream=f'file://{target}')
        return {'y': x * 2.0}

    folder = save_model(run, tf.TensorSpec([None], tf.float32, 'x'))
    with pytest.raises(ConversionError) as caught:
        convert(folder, 'saved_model', tmp_path / 'out')
    assert caught.value.code == 'unsafe_model'
    assert not target.exists()
    assert not (tmp_path / 'out').exists()


def test_a_checkpoint_operation_outside_of_the_saver_is_refused(
    save_model: SaveModel, tmp_path: Path
) -> None:
    tf = load('tensorflow')

    def run(x: Any) -> dict[str, Any]:
        read = tf.raw_ops.RestoreV2(
            prefix='/nowhere', tensor_names=['a'], shape_and_slices=[''], dtypes=[tf.float32]
        )
        return {'y': x + read[0]}

    folder = save_model(run, tf.TensorSpec([None], tf.float32, 'x'))
    with pytest.raises(ConversionError, match='outside of its saver') as caught:
        convert(folder, 'saved_model', tmp_path / 'out')
    assert caught.value.code == 'unsafe_model'


def rewritten(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / 'model.keras'
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(files['config.json'])
    change(config)
    files['config.json'] = json.dumps(config).encode()
    with zipfile.ZipFile(path, 'w') as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def test_a_lambda_layer_is_refused(tmp_path: Path) -> None:
    keras = load('keras')
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Lambda(lambda x: x * 2)])
    (tmp_path / 'job').mkdir()
    model.save(tmp_path / 'job' / 'model.keras')
    with pytest.raises(ConversionError, match='Lambda') as caught:
        convert(tmp_path / 'job', 'keras', tmp_path / 'out')
    assert caught.value.code == 'unsafe_model'


@pytest.mark.parametrize(
    'layer',
    [
        {'module': 'os', 'class_name': 'system', 'config': {}, 'registered_name': None},
        {'module': 'keras.layers', 'class_name': 'Mine', 'config': {}, 'registered_name': 'mine>Mine'},
        {'module': 'keras.layers', 'class_name': 'TFSMLayer', 'config': {'filepath': '/'}},
        {'module': 'builtins', 'class_name': 'function', 'config': 'open', 'registered_name': 'mine>open'},
        {'class_name': '__lambda__', 'config': {'value': 'x'}},
        {
            'module': 'keras.layers',
            'class_name': 'TextVectorization',
            'config': {'vocabulary': '/etc/passwd'},
        },
    ],
)
def test_custom_objects_are_refused_by_the_configuration_alone(layer: dict[str, Any]) -> None:
    with pytest.raises(ConversionError) as caught:
        check_config({'class_name': 'Sequential', 'module': 'keras', 'config': {'layers': [layer]}})
    assert caught.value.code == 'unsafe_model'


def test_weights_that_lie_elsewhere_are_refused(tmp_path: Path) -> None:
    h5py = load('h5py')
    folder = small_keras(tmp_path / 'job')
    with h5py.File(tmp_path / 'other.h5', 'w') as other:
        other['secret'] = np.ones(3)
    with zipfile.ZipFile(folder / 'model.keras') as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    weights = io.BytesIO(files['model.weights.h5'])
    with h5py.File(weights, 'r+') as file:
        file['stolen'] = h5py.ExternalLink(str(tmp_path / 'other.h5'), 'secret')
    files['model.weights.h5'] = weights.getvalue()
    with zipfile.ZipFile(folder / 'model.keras', 'w') as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    with pytest.raises(ConversionError, match='link') as caught:
        convert(folder, 'keras', tmp_path / 'out')
    assert caught.value.code == 'unsafe_model'


def test_an_unknown_layer_is_no_crash(tmp_path: Path) -> None:
    folder = small_keras(tmp_path / 'job')

    def rename(config: dict[str, Any]) -> None:
        config['config']['layers'][-1]['class_name'] = 'Sparse'

    rewritten(folder, rename)
    with pytest.raises(ConversionError) as caught:
        convert(folder, 'keras', tmp_path / 'out')
    assert caught.value.code in ('conversion_failed', 'unsafe_model')
