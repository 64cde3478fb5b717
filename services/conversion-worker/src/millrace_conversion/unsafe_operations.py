"""Refuses graphs that touch files, processes, Python or the network, before TensorFlow loads them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from .errors import ConversionError

# Loading a SavedModel runs its initialisers, and freezing folds constants: both would run these.
_UNSAFE = re.compile(
    r'PyFunc|PyFuncStateless|ReadFile|WriteFile|MatchingFiles|ReaderV?\d*$|ReaderRead|^Whole|ImmutableConst'
    r'|InitializeTableFromTextFile|InitializeTableFromDataset|^Print|DebugIdentity|DebugNan|DebugNumeric|Summary'
    r'|(TextLine|TFRecord|FixedLengthRecord|Sql|Cache|Snapshot|Save|Load|ListSnapshot|Generator)Dataset'
    r'|^SnapshotDataset|^Rpc|Rpc$|RemoteCall|RemoteFused|^Send$|^Recv$|_Send|_Recv|DataService|CheckpointExists'
    r'|CollectiveBcast|^TPU|^Xla(Launch|Custom)|CustomCall|^Assert(CardinalityDataset)$|DecodeVideo|Bigtable|Kafka'
)
# Every SavedModel has these in its saver, which nothing else may use.
_CHECKPOINT = frozenset(
    {'Save', 'SaveV2', 'SaveSlices', 'Restore', 'RestoreV2', 'RestoreSlice', 'MergeV2Checkpoints'}
)
_LISTED_MAX = 8


def _refuse(found: Iterable[str], why: str) -> None:
    names = sorted(set(found))
    if names:
        raise ConversionError('unsafe_model', f'The graph {why}: {", ".join(names[:_LISTED_MAX])}.')


def _called(node: Any) -> Iterator[str]:
    for value in node.attr.values():
        if value.HasField('func'):
            yield value.func.name
        for function in value.list.func:
            yield function.name
    yield node.op


def check_graph(graph_def: Any) -> None:
    """`unsafe_model`, naming the operations, when a graph or a function of it has any that must not run."""
    nodes = [*graph_def.node, *(node for one in graph_def.library.function for node in one.node_def)]
    _refuse(
        (node.op for node in nodes if _UNSAFE.search(node.op)),
        'has operations that touch files, processes, Python or the network',
    )


def check_saved_model(proto: Any) -> None:
    """The same for every graph of a SavedModel; only its saver may read and write checkpoints."""
    for meta in proto.meta_graphs:
        check_graph(meta.graph_def)
        _check_saver(meta)


def _check_saver(meta: Any) -> None:
    library = {one.signature.name: one for one in meta.graph_def.library.function}
    savers = {name for name, one in library.items() if any(node.op in _CHECKPOINT for node in one.node_def)}
    callers = (
        f'{name} calls {called}'
        for name, one in library.items()
        if name not in savers
        for node in one.node_def
        for called in _called(node)
        if called in savers
    )
    reached = _reached_from_signatures(meta, savers)
    listed = savers & set(meta.object_graph_def.concrete_functions)
    _refuse([*callers, *reached, *listed], 'reads or writes checkpoints outside of its saver')


def _reached_from_signatures(meta: Any, savers: set[str]) -> list[str]:
    by_name = {node.name: node for node in meta.graph_def.node}
    waiting = [
        tensor.name for signature in meta.signature_def.values() for tensor in signature.outputs.values()
    ]
    for collection in meta.collection_def.values():
        waiting.extend(collection.node_list.value)
    seen: set[str] = set()
    found: list[str] = []
    while waiting:
        name = waiting.pop().removeprefix('^').split(':')[0]
        node = by_name.get(name)
        if node is None or name in seen:
            continue
        seen.add(name)
        if node.op in _CHECKPOINT or any(called in savers for called in _called(node)):
            found.append(f'{node.name} ({node.op})')
        waiting.extend(node.input)
    return found
