"""TF.js graphs have fused operators that TensorFlow has not, or not for all types; they are taken apart."""

from __future__ import annotations

from typing import Any

from .errors import ConversionError
from .runtime import load

_BASE = {
    '_FusedConv2D': 'Conv2D',
    '_FusedMatMul': 'MatMul',
    'FusedDepthwiseConv2dNative': 'DepthwiseConv2dNative',
}
_KEPT = {
    'Conv2D': (
        'T',
        'strides',
        'padding',
        'data_format',
        'dilations',
        'explicit_paddings',
        'use_cudnn_on_gpu',
    ),
    'DepthwiseConv2dNative': ('T', 'strides', 'padding', 'data_format', 'dilations', 'explicit_paddings'),
    'MatMul': ('T', 'transpose_a', 'transpose_b'),
}
_ACTIVATIONS = frozenset({'Relu', 'Relu6', 'Elu', 'Sigmoid', 'Tanh', 'LeakyRelu'})


def unfuse(graph_def: Any) -> Any:
    """The same graph of plain operators; the last of each chain keeps the fused node's name.

    Raises `conversion_failed` for a fusion that is not known.
    """
    tf = load('tensorflow')
    plain = tf.compat.v1.GraphDef()
    plain.versions.CopyFrom(graph_def.versions)
    plain.library.CopyFrom(graph_def.library)
    for node in graph_def.node:
        if node.op in _BASE:
            _take_apart(plain, node)
        elif node.op == 'Prelu':
            _prelu(plain, node.name, node.input[0], node.input[1], node.attr['T'])
        else:
            plain.node.add().CopyFrom(node)
    return plain


def _add(graph: Any, name: str, op: str, inputs: list[str], dtype: Any) -> Any:
    node = graph.node.add(name=name, op=op, input=inputs)
    node.attr['T'].CopyFrom(dtype)
    return node


def _take_apart(graph: Any, node: Any) -> None:
    steps = [value.decode() for value in node.attr['fused_ops'].list.s]
    base = _BASE[node.op]
    count = len(steps)
    arguments = list(node.input[2:])
    dtype = node.attr['T']
    name = f'{node.name}/{base}' if count else node.name
    first = graph.node.add(name=name, op=base, input=[*node.input[:2]])
    for key in _KEPT[base]:
        if key in node.attr:
            first.attr[key].CopyFrom(node.attr[key])
    current = name
    for index, step in enumerate(steps):
        name = node.name if index == count - 1 else f'{node.name}/{step}'
        if step == 'BiasAdd':
            added = _add(graph, name, step, [current, arguments.pop(0)], dtype)
            if base != 'MatMul' and 'data_format' in node.attr:
                added.attr['data_format'].CopyFrom(node.attr['data_format'])
        elif step == 'Prelu':
            _prelu(graph, name, current, arguments.pop(0), dtype)
        elif step in _ACTIVATIONS:
            added = _add(graph, name, step, [current], dtype)
            if step == 'LeakyRelu' and 'leakyrelu_alpha' in node.attr:
                added.attr['alpha'].CopyFrom(node.attr['leakyrelu_alpha'])
        else:
            raise ConversionError('conversion_failed', f'{node.op} is fused with {step}, which is not known.')
        current = name


def _prelu(graph: Any, name: str, source: str, alpha: str, dtype: Any) -> None:
    """`relu(x) - alpha * relu(-x)`."""
    _add(graph, f'{name}/positive', 'Relu', [source], dtype)
    _add(graph, f'{name}/mirrored', 'Neg', [source], dtype)
    _add(graph, f'{name}/negative', 'Relu', [f'{name}/mirrored'], dtype)
    _add(graph, f'{name}/scaled', 'Mul', [f'{name}/negative', alpha], dtype)
    _add(graph, name, 'Sub', [f'{name}/positive', f'{name}/scaled'], dtype)
