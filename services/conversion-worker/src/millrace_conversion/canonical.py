"""One form for every ONNX graph, so that equal models are equal bytes.

tf2onnx names nodes after TensorFlow scopes and a counter of its own process, so two conversions of one
model, or of two trainings that ended with the same weights, would differ in names only. Here nodes are
ordered by a walk from the outputs, and everything but the graph's inputs and outputs is named by that
order.
"""

from __future__ import annotations

from collections.abc import Callable

from onnx import GraphProto, ModelProto, NodeProto, helper


def canonicalise(model: ModelProto, graph_name: str) -> ModelProto:
    """A copy of `model` with canonical order and names, no doc strings and no metadata."""
    result = ModelProto()
    result.CopyFrom(model)
    result.ir_version = helper.find_min_ir_version_for(list(result.opset_import), True)
    result.doc_string = ''
    del result.metadata_props[:]
    imports = sorted(result.opset_import, key=lambda entry: entry.domain)
    copies = [helper.make_opsetid(entry.domain, entry.version) for entry in imports]
    del result.opset_import[:]
    result.opset_import.extend(copies)
    result.graph.name = graph_name
    _Renamer().graph(result.graph, {})
    _name_dimensions(result.graph, {})
    return result


def _name_dimensions(graph: GraphProto, names: dict[str, str]) -> None:
    for value in [*graph.input, *graph.output]:
        for dim in value.type.tensor_type.shape.dim:
            if dim.HasField('dim_param'):
                dim.dim_param = names.setdefault(dim.dim_param, f'dim_{len(names)}')
    for node in graph.node:
        for inner in _bodies(node):
            _name_dimensions(inner, names)


def _bodies(node: NodeProto) -> list[GraphProto]:
    """The subgraphs of a control-flow node."""
    return [
        graph
        for attribute in node.attribute
        for graph in [*([attribute.g] if attribute.HasField('g') else []), *attribute.graphs]
    ]


def serialise(model: ModelProto) -> bytes:
    """The model's bytes; equal models give equal bytes."""
    return model.SerializeToString(deterministic=True)


class _Renamer:
    def __init__(self) -> None:
        self._values = 0
        self._constants = 0
        self._nodes = 0
        self._bodies = 0

    def graph(self, graph: GraphProto, outer: dict[str, str]) -> None:
        """Orders and renames `graph` in place; `outer` maps names of the enclosing graphs."""
        is_nested = bool(outer)
        graph.doc_string = ''
        names = dict(outer)
        for value in graph.input:
            names[value.name] = self._value() if is_nested else value.name
        if not is_nested:
            names.update({value.name: value.name for value in graph.output})
        ordered = _walk(graph)
        del graph.node[:]
        used = self._name_initialisers(graph, ordered, names)
        for node in ordered:
            self._node(node, names)
        graph.node.extend(ordered)
        for value in [*graph.input, *graph.output]:
            value.name = names[value.name]
            value.doc_string = ''
        _keep_initialisers(graph, used)
        del graph.value_info[:]

    def _name_initialisers(
        self, graph: GraphProto, ordered: list[NodeProto], names: dict[str, str]
    ) -> dict[str, str]:
        own = {tensor.name for tensor in graph.initializer}
        used: dict[str, str] = {}
        readers = [name for node in ordered for name in _reads(node)] + [value.name for value in graph.output]
        for name in readers:
            if name in own and name not in used:
                if name not in names:
                    names[name] = f'const_{self._constants}'
                    self._constants += 1
                used[name] = names[name]
        return used

    def _node(self, node: NodeProto, names: dict[str, str]) -> None:
        node.doc_string = ''
        node.name = f'{node.op_type}_{self._nodes}'
        self._nodes += 1
        for index, name in enumerate(node.input):
            node.input[index] = names[name] if name else ''
        for index, name in enumerate(node.output):
            if name and name not in names:
                names[name] = self._value()
            node.output[index] = names[name] if name else ''
        for attribute in node.attribute:
            attribute.doc_string = ''
        for inner in _bodies(node):
            inner.name = f'body_{self._bodies}'
            self._bodies += 1
            self.graph(inner, names)
        attributes = sorted(node.attribute, key=lambda attribute: attribute.name)
        copies = [type(attribute).FromString(attribute.SerializeToString()) for attribute in attributes]
        del node.attribute[:]
        node.attribute.extend(copies)

    def _value(self) -> str:
        self._values += 1
        return f'value_{self._values - 1}'


def _walk(graph: GraphProto) -> list[NodeProto]:
    """Nodes that the outputs need, each after what it reads; the order depends on the structure alone."""
    producers = {name: node for node in graph.node for name in node.output if name}
    ordered: list[NodeProto] = []
    done: set[int] = set()
    stack: list[tuple[NodeProto, bool]] = []

    def push(name: str) -> None:
        node = producers.get(name)
        if node is not None and id(node) not in done:
            stack.append((node, False))

    for value in graph.output:
        push(value.name)
        _drain(stack, done, ordered, push)
    return [NodeProto.FromString(node.SerializeToString()) for node in ordered]


def _drain(
    stack: list[tuple[NodeProto, bool]], done: set[int], ordered: list[NodeProto], push: Callable[[str], None]
) -> None:
    while stack:
        node, is_ready = stack.pop()
        if id(node) in done:
            continue
        if is_ready:
            done.add(id(node))
            ordered.append(node)
            continue
        stack.append((node, True))
        for name in reversed(_reads(node)):
            push(name)


def _reads(node: NodeProto) -> list[str]:
    """Names that a node reads, those read in its subgraphs included."""
    names = [name for name in node.input if name]
    for graph in _bodies(node):
        names += [name for inner in graph.node for name in _reads(inner)]
        names += [value.name for value in graph.output]
    return names


def _keep_initialisers(graph: GraphProto, used: dict[str, str]) -> None:
    by_name = {tensor.name: tensor for tensor in graph.initializer}
    kept: list[bytes] = []
    for old, new in used.items():
        tensor = by_name[old]
        tensor.name = new
        tensor.doc_string = ''
        kept.append(tensor.SerializeToString(deterministic=True))
    del graph.initializer[:]
    for data in kept:
        graph.initializer.add().ParseFromString(data)
