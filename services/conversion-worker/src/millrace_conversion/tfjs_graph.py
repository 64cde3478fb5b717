"""A TF.js graph model is read twice: by tf2onnx to convert it, and as a TensorFlow graph for its answers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ConversionError
from .fused import unfuse
from .runtime import load
from .unsafe_operations import check_graph

MODEL_JSON = 'model.json'
WEIGHTS_FILE = 'weights.bin'
JSON_BYTES_MAX = 32 << 20
_FILE_NAME = re.compile(r'(?!\.{1,2}$)[^/\\:%?#\x00-\x1f]{1,255}')


@dataclass(frozen=True)
class TfjsGraph:
    """A model.json with its weights; `inputs` and `outputs` map names to tensors of the graph."""

    topology: dict[str, Any]
    weights: list[dict[str, Any]]
    data: bytes
    inputs: dict[str, str]
    outputs: dict[str, str]

    def write(self, folder: Path) -> Path:
        """Writes one model.json and one weight file, under names of our own; returns the model.json."""
        signature = {
            'inputs': {name: {'name': tensor} for name, tensor in self.inputs.items()},
            'outputs': {name: {'name': tensor} for name, tensor in self.outputs.items()},
        }
        document = {
            'modelTopology': self.topology,
            'weightsManifest': [{'paths': [WEIGHTS_FILE], 'weights': self.weights}],
            'signature': signature,
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / WEIGHTS_FILE).write_bytes(self.data)
        (folder / MODEL_JSON).write_text(json.dumps(document))
        return folder / MODEL_JSON


def _failed(message: str) -> ConversionError:
    return ConversionError('conversion_failed', message)


def read_tfjs(folder: Path) -> TfjsGraph:
    """Reads `model.json` and the weight files beside it that it names.

    Raises `conversion_failed` when it is no graph model or a file is missing.
    """
    path = folder / MODEL_JSON
    try:
        if path.stat().st_size > JSON_BYTES_MAX:
            raise _failed(f'{MODEL_JSON} is over {JSON_BYTES_MAX} bytes.')
        model: Any = json.loads(path.read_bytes())
        topology = model['modelTopology']
        nodes = topology['node']
        files = [name for group in model['weightsManifest'] for name in group['paths']]
        foreign = [name for name in files if not isinstance(name, str) or not _FILE_NAME.fullmatch(name)]
        if foreign:
            raise _failed(f'The weights manifest names {foreign[0]!r}, which is no file beside {MODEL_JSON}.')
        data = b''.join((folder / name).read_bytes() for name in files)
        weights = [weight for group in model['weightsManifest'] for weight in group['weights']]
        signature: Any = model.get('signature') or _of_metadata(model)
        inputs = _named(signature.get('inputs')) or _placeholders(nodes)
        outputs = _named(signature.get('outputs')) or _leaves(nodes)
    except ConversionError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _failed(
            f'The source is no readable TF.js graph model: {type(error).__name__}: {error}'
        ) from error
    if not outputs:
        raise _failed('The graph has no output.')
    return TfjsGraph(topology, weights, data, inputs, outputs)


def _of_metadata(model: Any) -> Any:
    """Older files keep the signature among what the user may add."""
    metadata: Any = model.get('userDefinedMetadata')
    found: Any = None if metadata is None else metadata.get('signature')
    return {'inputs': None, 'outputs': None} if found is None else found


def _named(side: Any) -> dict[str, str]:
    """Tensors by name, without those that the runtime fills itself."""
    entries: Any = [] if side is None else side.items()
    return {name: entry['name'] for name, entry in entries if entry.get('resourceId') is None}


def _placeholders(nodes: list[dict[str, Any]]) -> dict[str, str]:
    return {node['name']: f'{node["name"]}:0' for node in nodes if node['op'] == 'Placeholder'}


def _leaves(nodes: list[dict[str, Any]]) -> dict[str, str]:
    read = {name.removeprefix('^').split(':')[0] for node in nodes for name in node.get('input', [])}
    skipped = {'NoOp', 'Const', 'Placeholder'}
    return {
        node['name']: f'{node["name"]}:0'
        for node in nodes
        if node['name'] not in read and node['op'] not in skipped
    }


def to_graph_def(model: TfjsGraph) -> Any:
    """The graph as TensorFlow runs it: weights back in their constants, TF.js's fused operators taken apart.

    Raises `conversion_failed`, `unsafe_model`.
    """
    tf = load('tensorflow')
    tfjs_utils = load('tf2onnx.tfjs_utils')
    json_format = load('google.protobuf.json_format')
    try:
        arrays: dict[str, NDArray[Any]] = {}
        offset = 0
        for weight in model.weights:
            name, array, size = tfjs_utils.read_tfjs_weight(weight, model.data, offset)
            arrays[name] = array
            offset += size
        if offset != len(model.data):
            raise _failed(f'The weights take {offset} bytes, the weight files have {len(model.data)}.')
        topology = json.loads(json.dumps(model.topology))
        for node in topology['node']:
            tfjs_utils.fix_string_attr(node)
        graph_def = json_format.ParseDict(topology, tf.compat.v1.GraphDef(), ignore_unknown_fields=True)
        for node in graph_def.node:
            if node.op == 'Const' and node.name in arrays:
                dtype = tf.dtypes.as_dtype(node.attr['dtype'].type)
                value = arrays[node.name].astype(dtype.as_numpy_dtype)
                node.attr['value'].tensor.CopyFrom(tf.make_tensor_proto(value, dtype, value.shape))
    except ConversionError:
        raise
    except Exception as error:
        raise _failed(f'The graph cannot be read: {type(error).__name__}: {str(error)[:300]}') from error
    check_graph(graph_def)
    return unfuse(graph_def)


def ask_graph(graph_def: Any, model: TfjsGraph, feeds: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """TensorFlow's answers by output name. Raises `conversion_failed` when it cannot run the graph."""
    tf = load('tensorflow')
    try:
        with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
            tf.import_graph_def(graph_def, name='')
            tensors = {name: graph.get_tensor_by_name(_full(model.inputs[name])) for name in feeds}
            values = {
                tensors[name]: value.astype(tensors[name].dtype.as_numpy_dtype)
                for name, value in feeds.items()
            }
            names = list(model.outputs)
            answers = session.run([_full(model.outputs[name]) for name in names], values)
    except Exception as error:
        raise _failed(f'TensorFlow cannot run the graph: {str(error).strip()[:300]}') from error
    return {name: np.asarray(answer) for name, answer in zip(names, answers, strict=True)}


def _full(tensor: str) -> str:
    return tensor if ':' in tensor else f'{tensor}:0'
