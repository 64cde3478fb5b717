"""Reading a SavedModel: which tags and signatures it has, and one signature frozen into a GraphDef."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import augmentation, unsafe_operations
from .errors import ConversionError
from .runtime import load


@dataclass(frozen=True)
class FrozenSignature:
    """A signature with its variables as constants.

    `inputs` and `outputs` are tensor names of `graph_def`; `names` maps them to the signature's own names,
    which the ONNX model gets. `tables` holds look-up tables for tf2onnx; `stripped` names the layers taken
    out.
    """

    graph_def: Any
    inputs: list[str]
    outputs: list[str]
    names: dict[str, str]
    tables: dict[Any, Any]
    stripped: list[str]


def describe_signatures(path: Path) -> dict[str, list[str]]:
    """Signature names by tag set (joined by commas) of the SavedModel at `path`; `conversion_failed` if
    unreadable, `unsafe_model` if it has operations that must not run.
    """
    loader = load('tensorflow.python.saved_model.loader_impl')
    try:
        proto = loader.parse_saved_model(str(path))
    except Exception as error:
        raise ConversionError(
            'conversion_failed',
            f'The source has no readable SavedModel in {path.name}/ ({_first_line(error)}). '
            'Export it with tf.saved_model.save or model.export.',
        ) from error
    unsafe_operations.check_saved_model(proto)
    return {
        ','.join(sorted(graph.meta_info_def.tags)): sorted(
            name for name in graph.signature_def if not name.startswith('_')
        )
        for graph in proto.meta_graphs
    }


def _check_choice(path: Path, tag: str, signature: str) -> None:
    choices = describe_signatures(path)
    if tag not in choices:
        raise ConversionError(
            'conversion_failed',
            f'The SavedModel has no tag "{tag}"; it has: {", ".join(sorted(choices)) or "none"}.',
        )
    if signature not in choices[tag]:
        raise ConversionError(
            'conversion_failed',
            f'The SavedModel has no signature "{signature}" under tag "{tag}"; '
            f'it has: {", ".join(choices[tag]) or "none"}.',
        )


def freeze(path: Path, tag: str, signature: str) -> FrozenSignature:
    """Loads one signature, freezes it and takes image augmentation out of it.

    Raises `conversion_failed` when the folder is no SavedModel, the tag or signature is absent, or random
    operations remain that are not part of an augmentation layer.
    """
    _check_choice(path, tag, signature)
    tf = load('tensorflow')
    tf_loader = load('tf2onnx.tf_loader')
    tf.compat.v1.reset_default_graph()
    try:
        graph_def, inputs, outputs, tables, names = tf_loader.from_saved_model(
            str(path),
            None,
            None,
            tag.split(','),
            [signature],
            return_initialized_tables=True,
            return_tensors_to_rename=True,
        )
    except Exception as error:
        raise ConversionError(
            'conversion_failed', f'TensorFlow could not freeze the SavedModel: {_first_line(error)}'
        ) from error
    random_ops = augmentation.random_operations(graph_def)
    if not random_ops:
        return FrozenSignature(graph_def, inputs, outputs, names, tables or {}, [])
    # The optimiser has already merged nodes of different layers, so the layers are cut out of the graph
    # before it.
    raw = _freeze_unoptimised(path, tag, signature)
    stripped_def, layers = augmentation.strip(raw, outputs)
    with tf.Graph().as_default():
        tf.import_graph_def(stripped_def, name='')
        optimised = tf_loader.tf_optimize(inputs, outputs, stripped_def)
    return FrozenSignature(optimised, inputs, outputs, names, tables or {}, layers)


def _freeze_unoptimised(path: Path, tag: str, signature: str) -> Any:
    """The steps of tf2onnx's loader up to its optimiser."""
    tf = load('tensorflow')
    tf_loader = load('tf2onnx.tf_loader')
    constants = load('tensorflow.python.framework.convert_to_constants')
    imported = tf.saved_model.load(
        str(path), tags=tag.split(',')
    )  # owns the variables: must outlive the freezing
    function = imported.signatures[signature]
    try:
        frozen = constants.convert_variables_to_constants_v2(
            function, lower_control_flow=False, aggressive_inlining=True
        )
        graph_def = frozen.graph.as_graph_def(add_shapes=True)
    except ValueError as error:
        # Keras's seed generators are variables that the graph writes to, and those cannot be frozen as they
        # are.
        if 'incompatible with expected resource' not in str(error):
            raise
        graph_def = tf_loader.fix_freezing_errors(
            tf_loader.convert_variables_to_constants_large_model(function)
        )
    return tf_loader.fix_freezing_errors_part2(graph_def)


def run_signature(path: Path, tag: str, signature: str, feeds: dict[str, Any]) -> dict[str, Any]:
    """Answers of the SavedModel itself, in this environment's TensorFlow; arrays by output name."""
    tf = load('tensorflow')
    imported = tf.saved_model.load(str(path), tags=tag.split(','))
    answers = imported.signatures[signature](**{name: tf.constant(value) for name, value in feeds.items()})
    return {name: value.numpy() for name, value in answers.items()}


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0][:300] if text else type(error).__name__
