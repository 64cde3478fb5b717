"""architecture.json: which layers, in which order, on which tensors."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from millrace_conversion.errors import ConversionError

from . import convolution, dense, tokens
from .emitter import Emitter
from .layer import RANK_MAX, VALUES_MAX, Layer, Shape, Size, Tensors, Values, expect
from .steps import AnyStep

FILE_BYTES_MAX = 1 << 20
LAYERS_MAX = 1024
STEPS_MAX = 32
CLASSES_MAX = 100_000
DEPTH_MAX = 8
_FAULTS_TOLD_MAX = 5
ValueName = Annotated[str, Field(pattern=r'^[A-Za-z_][A-Za-z0-9_.]*$', max_length=128)]
Label = Annotated[str, Field(min_length=1, max_length=256, pattern=r'^[^\x00-\x1f\x7f]+$')]


class Residual(Layer):
    """x + layers(x)."""

    type: Literal['residual']
    layers: Annotated[list[AnyLayer], Field(min_length=1, max_length=LAYERS_MAX)]

    def shape(self, given: Shape, place: str) -> Shape:
        made = chain_shape(self.layers, given, f'{place}.layers')
        expect(place, made == given, f'adds {list(made)} to {list(given)}')
        return given

    def tensors(self, given: Shape) -> dict[str, Shape]:
        return chain_tensors(self.layers, given, '')

    def emit(self, graph: Emitter, value: str, place: str, given: Shape, tensors: Tensors) -> str:
        inner = emit_chain(graph, self.layers, value, f'{place}.layers', given, tensors)
        return graph.node('Add', [value, inner], place)

    def answer(self, values: Values, tensors: Tensors) -> Values:
        return values + answer_chain(self.layers, values, tensors)


AnyLayer = Annotated[
    dense.Linear
    | dense.Relu
    | dense.Gelu
    | dense.Softmax
    | dense.Reshape
    | dense.Flatten
    | convolution.Conv1d
    | convolution.BatchNorm
    | convolution.MaxPool1d
    | convolution.GlobalAveragePool
    | tokens.Position
    | tokens.LayerNorm
    | tokens.Attention
    | tokens.MeanPool
    | Residual,
    Field(discriminator='type'),
]


class Input(BaseModel):
    """The graph's input; the first size is the batch."""

    model_config = ConfigDict(extra='forbid', frozen=True)
    name: ValueName
    shape: Annotated[list[Size | None], Field(min_length=2, max_length=RANK_MAX)]


class Output(BaseModel):
    """The graph's output; `classes` name the values of its last axis."""

    model_config = ConfigDict(extra='forbid', frozen=True)
    name: ValueName
    shape: Annotated[list[Size | None] | None, Field(min_length=2, max_length=RANK_MAX)] = None
    classes: Annotated[list[Label] | None, Field(min_length=1, max_length=CLASSES_MAX)] = None


class Architecture(BaseModel):
    """A whole network; `layers` decide, `family` only names it."""

    model_config = ConfigDict(extra='forbid', frozen=True)
    format: Literal[1]
    family: Annotated[str, Field(pattern=r'^[a-z0-9_]{1,32}$')]
    input: Input
    output: Output
    preprocessing: Annotated[list[AnyStep], Field(max_length=STEPS_MAX)] = Field(
        default_factory=list[AnyStep]
    )
    layers: Annotated[list[AnyLayer], Field(min_length=1, max_length=LAYERS_MAX)]

    @property
    def given(self) -> Shape:
        """Shape of one row of the input."""
        return tuple(size for size in self.input.shape[1:] if size is not None)

    def check(self) -> Shape:
        """Shape of one row of the output; `invalid_architecture` when the parts do not fit one another."""
        expect('input', self.input.shape[0] is None, 'must leave the batch open: its first size is null')
        expect('input', None not in self.input.shape[1:], 'must say every size but that of the batch')
        made = chain_shape(
            self.layers, chain_shape(self.preprocessing, self.given, 'preprocessing'), 'layers'
        )
        stated, classes = self.output.shape, self.output.classes
        expect(
            'output',
            stated is None or stated == [None, *made],
            f'says {stated}, the layers give {list(made)}',
        )
        if classes is not None:
            expect(
                'output', made == (len(classes),), f'has {len(classes)} classes, the layers give {list(made)}'
            )
            expect('output', len(set(classes)) == len(classes), 'names a class twice')
        return made

    def tensors(self) -> dict[str, Shape]:
        """Names and shapes of all tensors; `invalid_architecture` when two entries want the same one."""
        steps = chain_tensors(self.preprocessing, self.given, 'preprocessing')
        layers = chain_tensors(self.layers, self.given, 'layers')
        shared = sorted(steps.keys() & layers.keys())
        expect('layers', not shared, f'name the tensor {shared[:1]} of the preprocessing')
        return {**steps, **layers}

    def answer(self, values: Values, tensors: Tensors) -> Values:
        """What the network gives by the definitions of its parts, in float64."""
        return answer_chain(self.layers, answer_chain(self.preprocessing, values, tensors), tensors)


def chain_shape(layers: list[AnyLayer] | list[AnyStep], given: Shape, place: str) -> Shape:
    """The shape after all layers."""
    for index, layer in enumerate(layers):
        given = layer.shape(given, f'{place}.{index}')
        count = math.prod(given)
        expect(f'{place}.{index}', len(given) <= RANK_MAX, f'gives {len(given)} sizes')
        expect(
            f'{place}.{index}',
            count <= VALUES_MAX,
            f'gives {count} values a row; at most {VALUES_MAX} are taken',
        )
    return given


def chain_tensors(layers: list[AnyLayer] | list[AnyStep], given: Shape, place: str) -> dict[str, Shape]:
    """Tensors of all layers; their shapes must have been checked."""
    found: dict[str, Shape] = {}
    for index, layer in enumerate(layers):
        for name, shape in layer.tensors(given).items():
            expect(f'{place}.{index}', name not in found, f'names the tensor {name!r} a second time')
            found[name] = shape
        given = layer.shape(given, f'{place}.{index}')
    return found


def emit_chain(
    graph: Emitter,
    layers: list[AnyLayer] | list[AnyStep],
    value: str,
    place: str,
    given: Shape,
    tensors: Tensors,
) -> str:
    """Nodes of all layers, one after the other."""
    for index, layer in enumerate(layers):
        own = f'{place}.{index}'
        value = layer.emit(graph, value, own, given, tensors)
        given = layer.shape(given, own)
    return value


def answer_chain(layers: list[AnyLayer] | list[AnyStep], values: Values, tensors: Tensors) -> Values:
    """All definitions, one after the other."""
    for layer in layers:
        values = layer.answer(values, tensors)
    return values


def read_architecture(path: Path) -> Architecture:
    """Raises `invalid_architecture`."""
    size = path.stat().st_size
    if size > FILE_BYTES_MAX:
        raise _unreadable(f'it has {size} bytes; at most {FILE_BYTES_MAX} are read')
    return parse_architecture(path.read_bytes())


def parse_architecture(data: bytes) -> Architecture:
    """Raises `invalid_architecture` naming the first faults."""
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _unreadable(f'it is not JSON ({type(error).__name__})') from error
    if _depth(parsed) > 2 * DEPTH_MAX + 4:
        raise _unreadable(f'its layers are nested deeper than {DEPTH_MAX}')
    return parse_architecture_object(parsed)


def parse_architecture_object(value: object) -> Architecture:
    """Of what the JSON holds. Raises `invalid_architecture` naming the first faults."""
    try:
        architecture = Architecture.model_validate(value)
    except ValidationError as error:
        faults = [
            f'{".".join(str(part) for part in fault["loc"]) or "file"}: {fault["msg"]}'
            for fault in error.errors()
        ]
        raise _unreadable('; '.join(faults[:_FAULTS_TOLD_MAX])) from error
    architecture.check()
    architecture.tensors()
    return architecture


def _depth(value: object) -> int:
    """Levels of objects and lists inside one another."""
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        one, level = waiting.pop()
        deepest = max(deepest, level)
        if isinstance(one, dict):
            one = list(cast('dict[str, object]', one).values())
        if isinstance(one, list):
            waiting.extend((item, level + 1) for item in cast('list[object]', one))
    return deepest


def _unreadable(reason: str) -> ConversionError:
    return ConversionError('invalid_architecture', f'architecture.json cannot be used: {reason[:1000]}.')
