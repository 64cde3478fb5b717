"""MatMul and Add to Gemm, which runs as one kernel."""

from __future__ import annotations

from onnx import ModelProto, NodeProto, helper, shape_inference

_RANK = 2


def fuse_gemm(model: ModelProto) -> int:
    """Replaces, in place, each MatMul of two matrices whose only reader adds a vector of initialisers.

    Returns how many were replaced. The Gemm gets the name of the Add, whose value it gives.
    """
    ranks = _ranks(model)
    vectors = {tensor.name for tensor in model.graph.initializer if len(tensor.dims) == 1}
    made = {value.name for value in model.graph.output}
    readers: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    kept: list[NodeProto] = []
    fused: dict[str, NodeProto] = {}
    for node in model.graph.node:
        following = readers.get(node.output[0], [])
        if (
            node.op_type == 'MatMul'
            and all(ranks.get(name) == _RANK for name in node.input)
            and node.output[0] not in made
            and len(following) == 1
            and following[0].op_type == 'Add'
            and following[0].input[1] in vectors
        ):
            fused[node.output[0]] = node
        elif node.op_type == 'Add' and node.input[0] in fused:
            product = fused[node.input[0]]
            kept.append(
                helper.make_node(
                    'Gemm', [*product.input, node.input[1]], list(node.output), name=_renamed(node)
                )
            )
        else:
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return len(fused)


def _renamed(node: NodeProto) -> str:
    return f'{node.name.removesuffix("Add")}Gemm'


def _ranks(model: ModelProto) -> dict[str, int]:
    graph = shape_inference.infer_shapes(model, strict_mode=True).graph
    ranks = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.HasField('shape'):
            ranks[value.name] = len(value.type.tensor_type.shape.dim)
    return ranks
