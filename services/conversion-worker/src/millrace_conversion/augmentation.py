"""Finding and removing image augmentation (RandomFlip, RandomRotation, RandomZoom, ...) in a frozen graph.

Keras leaves such layers in an exported graph, and onnxruntime has none of their operations. A layer is
recognised by its shape, not by its name: the smallest name scope around a random operation that takes one
image tensor in and gives one tensor of the same type and rank out. Removing it joins the two; parity with
the framework's own answers then shows that nothing else was lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from .errors import ConversionError
from .runtime import load

_RANDOM = re.compile(r'Random|^Rng|^Multinomial$|^StatelessMultinomial$|^ParameterizedTruncatedNormal$')
_IMAGE_WARPS = frozenset({'ImageProjectiveTransformV2', 'ImageProjectiveTransformV3'})
_MIN_IMAGE_RANK = 3
_LISTED_MAX = 8


def random_operations(graph_def: Any) -> list[str]:
    """`name (op)` of every node that draws random numbers or warps images by them, functions included."""
    nodes = [
        *graph_def.node,
        *(node for function in graph_def.library.function for node in function.node_def),
    ]
    return sorted(
        f'{node.name} ({node.op})' for node in nodes if _RANDOM.search(node.op) or node.op in _IMAGE_WARPS
    )


def strip(graph_def: Any, outputs: list[str]) -> tuple[Any, list[str]]:
    """The graph without its augmentation layers, and the names of the layers taken out.

    `conversion_failed`, naming the operations, when one is not part of a removable layer.
    """
    current = _reachable(graph_def, outputs)
    removed: list[str] = []
    while True:
        names = [node.name for node in current.node if _RANDOM.search(node.op) or node.op in _IMAGE_WARPS]
        if not names:
            return current, removed
        graph = _Graph(current, outputs)
        layer = next((found for name in names if (found := graph.layer_of(name)) is not None), None)
        if layer is None:
            listed = random_operations(current)
            more = f' and {len(listed) - _LISTED_MAX} more' if len(listed) > _LISTED_MAX else ''
            raise ConversionError(
                'conversion_failed',
                'The graph draws random numbers outside of an augmentation layer that could be taken out: '
                f'{", ".join(listed[:_LISTED_MAX])}{more}. Export the model for inference (training=False).',
            )
        scope, source, target = layer
        graph.rewire(target, source)
        removed.append(scope.removeprefix('StatefulPartitionedCall/'))
        current = _reachable(current, outputs)


def _reachable(graph_def: Any, outputs: Iterable[str]) -> Any:
    util = load('tensorflow').compat.v1.graph_util
    copy = type(graph_def)()
    copy.CopyFrom(graph_def)
    for node in copy.node:
        data = [name for name in node.input if not name.startswith('^')]
        del node.input[:]
        node.input.extend(data)
    return util.extract_sub_graph(copy, [_node_of(name) for name in outputs])


def _node_of(tensor: str) -> str:
    return tensor.removeprefix('^').split(':')[0]


def _tensor(name: str) -> str:
    return name if ':' in name else f'{name}:0'


class _Graph:
    """A GraphDef with its consumers and inferred shapes at hand."""

    def __init__(self, graph_def: Any, outputs: list[str]) -> None:
        tf = load('tensorflow')
        self._nodes = {node.name: node for node in graph_def.node}
        self._outputs = {_tensor(name) for name in outputs}
        self._tf_graph = tf.Graph()
        with self._tf_graph.as_default():
            tf.import_graph_def(graph_def, name='')

    def layer_of(self, name: str) -> tuple[str, str, str] | None:
        """(scope, tensor in, tensor out) of the smallest removable layer around the node `name`."""
        parts = name.split('/')
        for depth in range(len(parts) - 1, 0, -1):
            scope = '/'.join(parts[:depth])
            ends = self._ends(scope + '/')
            if ends is not None:
                return (scope, *ends)
        return None

    def _ends(self, prefix: str) -> tuple[str, str] | None:
        sources: set[str] = set()
        targets: set[str] = {name for name in self._outputs if name.startswith(prefix)}
        for node in self._nodes.values():
            inside = node.name.startswith(prefix)
            for raw in node.input:
                tensor = _tensor(raw)
                if inside and not tensor.startswith(prefix) and self._nodes[_node_of(raw)].op != 'Const':
                    sources.add(tensor)
                if not inside and tensor.startswith(prefix):
                    targets.add(tensor)
        # Shapes and the state of the random generator come in as integers and resources.
        images = [name for name in sources if self._tf_graph.get_tensor_by_name(name).dtype.is_floating]
        if len(images) != 1 or len(targets) != 1:
            return None
        source, target = images[0], targets.pop()
        return (source, target) if self._same_kind(source, target) else None

    def _same_kind(self, source: str, target: str) -> bool:
        one = self._tf_graph.get_tensor_by_name(source)
        two = self._tf_graph.get_tensor_by_name(target)
        if one.dtype != two.dtype:
            return False
        rank = one.shape.rank
        return rank is not None and rank >= _MIN_IMAGE_RANK and bool(two.shape.is_compatible_with(one.shape))

    def rewire(self, target: str, source: str) -> None:
        """Every reader of `target` reads `source` from now on."""
        for node in self._nodes.values():
            for index, raw in enumerate(node.input):
                if _tensor(raw) == target:
                    node.input[index] = source
        if target in self._outputs:
            producer = self._nodes[_node_of(target)]
            del producer.input[:]
            producer.input.append(source)
            kind = producer.attr['T'].type or self._tf_graph.get_tensor_by_name(source).dtype.as_datatype_enum
            producer.attr.clear()
            producer.attr['T'].type = kind
            producer.op = 'Identity'
