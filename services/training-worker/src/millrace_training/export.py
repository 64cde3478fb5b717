# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportUnknownLambdaType=false
# pyright: reportAttributeAccessIssue=false, reportUntypedFunctionDecorator=false, reportMissingImports=false
# TensorFlow and Keras ship no complete types.
"""A trained model as files: for Keras, for serving, for conversion, and for checking a conversion."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

from .digests import canonical_json, sha256_file
from .events import Reporter
from .exported import Exported
from .framework import model_weights
from .keras_file import normalise_keras
from .weights import weights_digest

INPUT_NAME = 'input'
OUTPUT_NAME = 'output_0'
SIGNATURE = 'serving_default'
KERAS_FILE = 'model.keras'
SAVED_MODEL = 'saved_model'
FROZEN_GRAPH = 'frozen_graph.pb'
WEIGHTS_FILE = 'model.weights.h5'
SAMPLES_FILE = 'samples.npz'
EXAMPLES_FILE = 'examples.json'
EXAMPLE_PIXELS_FILE = 'examples.u8'
ONNX_FILE = 'model.onnx'
ONNX_OPSET = 17

_AUGMENTATION_LAYERS = (
    keras.layers.RandomFlip,
    keras.layers.RandomRotation,
    keras.layers.RandomZoom,
    keras.layers.RandomTranslation,
    keras.layers.RandomContrast,
    keras.layers.RandomBrightness,
)


@dataclass(frozen=True)
class Samples:
    """Held-out images [n, 224, 224, 3] uint8 with labels, names and the framework's outputs [n, 1]
    float32.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    groups: NDArray[np.str_]
    sources: NDArray[np.str_]
    outputs: NDArray[np.float32]


def strip_augmentation(model: Any) -> Any:
    """`model` without its random image layers, sharing its weights; onnxruntime cannot run them."""

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        return args[0] if isinstance(layer, _AUGMENTATION_LAYERS) else layer(*args, **kwargs)

    if not any(isinstance(layer, _AUGMENTATION_LAYERS) for layer in model.layers):
        return model
    functional = (
        model
        if not isinstance(model, keras.Sequential)
        else keras.Model(model.inputs, model.outputs, name=model.name)
    )
    return keras.models.clone_model(functional, clone_function=lambda layer: layer, call_function=call)


def _serving_function(model: Any) -> Any:
    """The model as a TensorFlow function with fixed names and a free batch size."""
    shape = [None, *model.inputs[0].shape[1:]]

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name=INPUT_NAME)])
    def serve(input: Any) -> dict[str, Any]:
        return {OUTPUT_NAME: tf.identity(model(input, training=False))}

    return serve


def write_saved_model(model: Any, folder: Path) -> Any:
    """Write a SavedModel with the one signature `serving_default`; returns its concrete function.

    Shapes: `input` [n, height, width, channels] float32 to `output_0` [n, outputs] float32.
    """
    module = tf.Module(name='served')
    # The variables that the function reads, and not the Keras model: through that each would be saved once
    # more, under a name that no function reads, and the loader of C, Go and TensorFlow Serving restores that.
    module.weights = [variable.value for variable in model.variables]
    module.serve = _serving_function(model)
    function = module.serve.get_concrete_function()
    tf.saved_model.save(module, str(folder), signatures={SIGNATURE: function})
    return function


def write_frozen_graph(function: Any, path: Path) -> None:
    """Write the graph with its weights as constants; equal weights give equal bytes, whatever ran before."""
    frozen = convert_variables_to_constants_v2(function)
    graph = frozen.graph.as_graph_def()
    [output] = frozen.outputs
    last = output.name.split(':')[0]
    for node in graph.node:
        if node.name == last:
            node.name = OUTPUT_NAME
        # Attributes that start with an underscore speak of this process, such as its function names.
        for key in [key for key in node.attr if key.startswith('_')]:
            del node.attr[key]
    graph.ClearField('versions')
    graph.versions.producer = tf.version.GRAPH_DEF_VERSION
    path.write_bytes(graph.SerializeToString(deterministic=True))


def write_samples(folder: Path, samples: Samples, examples: int) -> None:
    """Write inputs with the framework's own outputs: all as .npz, the first `examples` as raw pixels with a
    JSON index.
    """
    np.savez(
        folder / SAMPLES_FILE,
        inputs=samples.images,
        labels=samples.labels,
        groups=samples.groups.astype('<U64'),
        sources=samples.sources.astype('<U16'),
        outputs=samples.outputs,
    )
    chosen = samples.images[:examples]
    (folder / EXAMPLE_PIXELS_FILE).write_bytes(np.ascontiguousarray(chosen).tobytes())
    index = [
        {
            'label': int(label),
            'group': str(group),
            'source': str(source),
            # An output of several axes is no figure to show; `samples.npz` has it whole.
            **({'output': float(output[0])} if output.ndim == 1 else {}),
        }
        for label, group, source, output in zip(
            samples.labels[:examples],
            samples.groups[:examples],
            samples.sources[:examples],
            samples.outputs[:examples],
            strict=True,
        )
    ]
    description = {
        'dtype': 'uint8',
        'shape': list(chosen.shape),
        'pixels': EXAMPLE_PIXELS_FILE,
        'examples': index,
    }
    (folder / EXAMPLES_FILE).write_bytes(canonical_json(description) + b'\n')


def export_model(model: Any, folder: Path, samples: Samples, examples: int) -> Exported:
    """Write every form of `model` into `folder` (made if missing) and return the digests that name it."""
    folder.mkdir(parents=True, exist_ok=True)
    served = strip_augmentation(model)
    served.save(folder / KERAS_FILE)
    normalise_keras(folder / KERAS_FILE)
    served.save_weights(folder / WEIGHTS_FILE)
    function = write_saved_model(served, folder / SAVED_MODEL)
    write_frozen_graph(function, folder / FROZEN_GRAPH)
    write_samples(folder, samples, examples)
    sizes = {
        name: _size(folder / name)
        for name in (KERAS_FILE, SAVED_MODEL, FROZEN_GRAPH, WEIGHTS_FILE, SAMPLES_FILE)
    }
    graphs = {'frozenGraphDigest': sha256_file(folder / FROZEN_GRAPH)}
    return Exported(weights_digest(model_weights(served)), graphs, sizes)


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = path.rglob('*') if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def export_onnx(folder: Path, report: Reporter) -> bool:
    """Convert the SavedModel in `folder` with tf2onnx if this environment has it; says so and goes on if not.

    The training environment has no tf2onnx on purpose: it would downgrade protobuf under TensorFlow.
    """
    try:
        converter = importlib.import_module('tf2onnx.convert')
        proto, _ = converter.from_graph_def(
            tf.compat.v1.GraphDef.FromString((folder / FROZEN_GRAPH).read_bytes()),
            input_names=[f'{INPUT_NAME}:0'],
            output_names=[f'{OUTPUT_NAME}:0'],
            opset=ONNX_OPSET,
        )
        (folder / ONNX_FILE).write_bytes(proto.SerializeToString(deterministic=True))
    except Exception as error:
        report.log(
            f'ONNX export skipped ({type(error).__name__}: {error}); the SavedModel is complete. '
            'Convert it in the conversion environment: npm run ml:convert',
            'warning',
        )
        return False
    report.log(f'wrote {ONNX_FILE} (opset {ONNX_OPSET})')
    return True
